"""What an operator types: accept, ack, silence, test-alarm, plan, export."""

from __future__ import annotations

import pandas as pd
import pytest

from harness.audits import run_audit
from harness.audits.history import History
from harness.journal import open_engine
from tests.audits.shop import DAY, START, WATCH, Receiver, Shop, prepared
from tests.commands import truename


class Month:
    """Some days of a month, in a folder."""

    def __init__(self, tmp_path, serve, database, **fields):
        self.shop, self.folder, self.database = Shop(serve), tmp_path, database
        self.fields = {"alarm": WATCH} | fields

    def play(self, *days):
        loaded = prepared(self.folder, self.shop, **self.fields)
        raised = []
        for day in days:
            self.shop.day = day
            now = START + (day - 1) * DAY
            raised += run_audit(loaded, self.folder / "results", self.database, now=now).raised
        return [(event.witness, event.kind, event.due[8:10]) for event in raised]

    def typed(self, *words):
        where = ("--results", self.folder / "results", "--store", self.database)
        return truename("audit", *words, *where, folder=self.folder)

    def states(self):
        history = History(open_engine(self.database))
        found = history.states("watch")
        history.engine.dispose()
        return found


@pytest.fixture
def month(tmp_path, serve, database):
    return Month(tmp_path, serve, database)


def test_a_change_that_is_accepted_is_over_and_the_way_back_is_a_change(month):
    assert month.play(9, 10, 11, 12) == [
        ("rates", "change", "11"),
        ("prompt_tokens", "change", "11"),
    ]
    wrong = month.typed("accept", "watch", "--event", "watch/nothing")
    assert (
        wrong.exit_code == 2 and "open are: watch/2026-03-11T06:00:00Z/shop/rates" in wrong.output
    )
    wrong = month.typed("accept", "watch", "--target", "shpo")
    assert wrong.exit_code == 2 and "did you mean" in wrong.output
    rates, _ = month.states()
    done = month.typed("accept", "watch", "--event", rates.event.event)
    assert done.exit_code == 0 and "over: watch: shop has changed" in done.output
    assert [alarm.is_open for alarm in month.states()] == [False, True]
    assert month.typed("accept", "watch").exit_code == 0
    assert month.play(13, 22, 23) == [
        ("rates", "change", "22"),
        ("prompt_tokens", "change", "22"),
    ]
    assert [alarm.closed_by for alarm in month.states()] == ["accepted"] * 2 + [None] * 2
    assert month.typed("accept", "no-such").exit_code == 2


def test_an_alarm_that_somebody_knows_and_a_silence(month):
    month.play(10, 11)
    done = month.typed("ack", "watch")
    assert done.exit_code == 0 and done.output.count("acknowledged: watch: shop") == 2
    assert "no alarm is open" in month.typed("ack", "watch").output
    assert "nobody is told until 2" in month.typed("silence", "watch", "--for", "2h").output
    wrong = month.typed("silence", "watch", "--for", "soon")
    assert wrong.exit_code == 2 and "30m, 2h or 3d" in wrong.output


def test_what_is_watched_is_added_and_nothing_of_before_is_told(month, serve):
    """A fact, an accepted baseline and a channel that come later judge and send no past."""
    month.fields["alarm"] = "{watch: [rates, silence]}"
    assert month.play(9, 10, 11, 12) == [("rates", "change", "11")]
    hook = Receiver(serve)
    month.fields["alarm"] = WATCH
    month.fields["notify"] = f"[{{kind: webhook, url: '{hook.host.url}'}}]"
    assert month.play(13, 14) == [] and hook.posted == []
    month.fields["baseline"] = "{run: watch-20260312T060000Z}"
    assert month.play(15, 16) == [] and hook.posted == []
    assert [kind for _, kind, _ in month.play(22)] == ["change", "change"]
    assert len(hook.posted) == 2


def test_the_clock_set_back_makes_no_baseline(month):
    assert month.play(10, 9) == []
    month.shop.day = 11
    loaded = prepared(month.folder, month.shop, **month.fields)
    back = START - 30 * DAY
    raised = run_audit(loaded, month.folder / "results", month.database, now=back).raised
    assert [(event.witness, event.kind) for event in raised] == [
        ("rates", "change"),
        ("prompt_tokens", "change"),
    ]


def test_a_test_reaches_every_channel_and_says_which_did_not_take_it(month, serve):
    hook = Receiver(serve)
    month.fields["notify"] = (
        f"[{{kind: webhook, url: '{hook.host.url}'}}, {{kind: command, run: [/bin/false]}}]"
    )
    prepared(month.folder, month.shop, **month.fields)
    done = truename("audit", "test-alarm", month.folder / "watch.yaml")
    assert done.exit_code == 3
    assert "webhook: told\n" in done.output and "command: not told, exit code 1" in done.output
    assert hook.posted[0]["kind"] == "test" and "this is a test" in hook.posted[0]["headline"]
    assert month.states() == []


def test_a_plan_says_how_small_a_drop_is_found(month):
    prepared(month.folder, month.shop)
    first = month.typed("plan", month.folder / "watch.yaml").output
    assert "shop absent, to begin with: after 1 audit of 30 replies at 95 %" in first
    month.play(1, 2, 3)
    later = month.typed("plan", month.folder / "watch.yaml").output
    assert "shop absent: after 3 audits of 30 replies at 100 %" in later
    assert "within 1 audit, to " in later


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_history_and_alarms_are_tables_for_other_programs(month, ending):
    month.play(10, 11)
    read = pd.read_csv if ending == "csv" else pd.read_parquet
    to = month.folder / f"history.{ending}"
    assert "rows" in month.typed("export", "--to", to).output
    seen = read(to)
    nex = seen[seen.identity == "nex"]
    assert list(nex.hits) == [30, 0] and list(nex.asked) == [30, 30]
    to = month.folder / f"events.{ending}"
    month.typed("export", "--to", to, "--table", "events", "--audit", "watch")
    assert list(read(to).witness) == ["rates", "prompt_tokens"]
    wrong = month.typed("export", "--to", month.folder / "x.docx")
    assert wrong.exit_code == 2
