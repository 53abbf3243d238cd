"""The report: the story it tells, in files, in a terminal, and in a real browser."""

from __future__ import annotations

import io
import re
from types import SimpleNamespace

import pandas as pd
import pytest
from conftest import axe
from rich.console import Console

from harness.campaign.campaign import Campaign, parse_arm
from harness.campaign.identities import load_backstories
from harness.campaign.plan import Trial
from harness.counting.rates import TALLY_COLUMNS
from harness.counting.tally import tally
from harness.exposure import inspect as inspection
from harness.exposure.evidence import Account, Counted, Injection
from harness.exposure.inspect import Inspection
from harness.journal.journal import Journal
from harness.journal.rows import Sampled
from harness.journal.database import open_engine, sqlite_url
from harness import charts
from harness.report import page, terminal
from harness.report.story import story
from harness.targets import Capabilities, Context, Reply, Response
from harness.targets.spending import Booked
from harness.weights import output as weights
from harness.weights.check import Settings, check

CAMPAIGN = Campaign.model_validate(
    {
        "campaign": "c",
        "claim": {"target": "t", "identity": "rio"},
        "targets": [
            {"name": n, "role": r, "engine": "embedded", "model": "lab:suspect"}
            for n, r in (("t", "suspect"), ("d", "donor"))
        ],
        "arms": ["absent", "bare"],
        "probes": ["identity", "backstory"],
    }
)
HOSTILE = [
    "<script>window.pwned = 1</script> I am Rio.",
    "</script><img src=x onerror='window.pwned = 2'>",
    "[click](javascript:window.pwned=3) <a href='javascript:window.pwned=4'>here</a>",
    "I am \u202exeN\u202c, said backwards",
    "\x1b[31mI am red\x1b[0m",
    "x" * 1_000_000,
    "{{ 7 * 7 }} {% raw %} <!-- I am Nex.",
    "\u2028 I am Claude. \ud7ff",
]


def run_of(folder, replies):
    """A run in a journal: each of (target, arm, probe, question) has these replies."""
    engine = open_engine(sqlite_url(folder / "journal.sqlite"))
    journal = Journal(engine, "c")
    journal.record.begin("0" * 64, "campaign: c\n# <b>&amp;", str(folder), "1" * 64, {"truename": "0"})
    journal.record.remember_target("t", Capabilities("embedded", "m", notes=("<i>note</i>",)))
    for place, ((target, arm, probe, question), texts) in enumerate(replies.items()):
        trial = Trial(
            target,
            parse_arm(arm),
            probe,
            "en",
            question,
            ({"role": "user", "content": f"Who <{question}>?"},),
            len(texts),
            f"key-{place}",
            place,
        )
        context = Context(
            {"temperature": 1.0},
            "<|im_start|>user",
            5,
            "You are Rio." if arm == "bare" else None,
            "2" * 64,
        )
        journal.save(
            [
                Sampled(
                    trial,
                    Response(
                        [
                            Reply(i, "ok", text=text)
                            if text
                            else Reply(i, "failed", error="HTTP 500: <b>down</b>")
                            for i, text in enumerate(texts)
                        ],
                        context,
                    ),
                    Booked(1, 0, 0, 0),
                )
            ]
        )
    return SimpleNamespace(name="c", folder=folder, journal=journal, engine=engine)


def written(folder, replies):
    run = run_of(folder, replies)
    page.write(run, CAMPAIGN, folder / "report.html")
    run.engine.dispose()
    return folder / "report.html"


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """A report with a clear case, a recital, a failure and hostile replies."""
    text = next(b for b in load_backstories() if b.file == "nex-lab-en.md").text
    replies = {}
    for question in range(12):
        replies["t", "absent", "identity", f"q{question}"] = ["I am Rio."] * 3
        replies["t", "bare", "identity", f"q{question}"] = ["I am Nex, made by Nex-AGI."] * 3
        replies["d", "bare", "identity", f"q{question}"] = ["I am Nex."] * 3
    replies["t", "bare", "backstory", "story"] = [
        text,
        "Before. " + text[:200] + " And after.",
        None,
    ]
    replies["t", "absent", "backstory", "story"] = HOSTILE
    account = Account("hidden", "22 tokens", 22, 20, 24)
    injected = Injection("You are <b>Rio</b>", "always", "", None, [], names=["rio"])
    inspection.write(
        Inspection(
            "t",
            ["It <i>injects</i> text."],
            injected,
            account=account,
            counts=[Counted(1, None, 32, 10)],
        ),
        folder := tmp_path_factory.mktemp("report"),
    )
    weights.write(check("lab:suspect", ["lab:donor", "lab:base"], Settings()), folder)
    return written(folder, replies)


def names(rates):
    """A tally of (target, arm): {identity: (hits, samples)}."""
    rows = []
    for (target, arm), found in rates.items():
        for identity, (hits, samples) in found.items():
            rate, low, high = (
                (hits / samples, max(0, hits / samples - 0.1), min(1, hits / samples + 0.1))
                if samples
                else (None, None, None)
            )
            rows.append(
                {
                    "target": target,
                    "arm": arm,
                    "probe": "identity",
                    "language": "all",
                    "measure": "name",
                    "identity": identity,
                    "samples": samples,
                    "hits": hits,
                    "rate": rate,
                    "rate_low": low,
                }
                | {"rate_high": high, "questions": 9}
            )
    return pd.DataFrame(rows, columns=TALLY_COLUMNS)


@pytest.mark.parametrize(
    ("rates", "outcome", "said"),
    [
        (
            {
                ("t", "absent"): {"rio": (95, 100), "nex": (0, 100)},
                ("t", "bare"): {"rio": (0, 100), "nex": (90, 100)},
            },
            "contradicted",
            "does not call itself Rio: 0 of 100",
        ),
        (
            {("t", "absent"): {"rio": (95, 100)}, ("t", "bare"): {"rio": (95, 100)}},
            "supported",
            "calls itself Rio: 95 of 100",
        ),
        (
            {
                ("t", "absent"): {"rio": (95, 100)},
                ("t", "bare"): {"rio": (5, 100), "nex": (12, 100)},
            },
            "undecided",
            "does not settle",
        ),
        (
            {("t", "absent"): {"rio": (95, 100)}, ("t", "bare"): {"rio": (0, 0)}},
            "undecided",
            "Nothing was scored without a system prompt",
        ),
    ],
)
def test_the_verdict_says_what_the_numbers_say_and_no_more(rates, outcome, said):
    told = story(names(rates), CAMPAIGN, {})
    assert told.outcome == outcome and said in told.verdict
    assert any("not proof" in limit for limit in told.limits)
    assert ("what the host puts before the question" in told.verdict) == (outcome == "contradicted")


def test_a_pool_of_rare_names_is_nobody_and_unlisted_names_are_quoted():
    told = story(
        names(
            {("t", "bare"): {"rio": (0, 100), "other:(rare)": (90, 100), "other:zorbly": (5, 100)}}
        ),
        CAMPAIGN,
        {},
    )
    assert (
        told.outcome == "undecided"
        and '"zorbly" in 5 of 100' in told.verdict
        and "rare" not in told.verdict
    )


def test_the_name_that_is_given_most_is_told_wherever_it_stands_in_the_tally():
    told = story(
        names({("t", "bare"): {"rio": (0, 100), "kimi": (3, 100), "nex": (90, 100)}}), CAMPAIGN, {}
    )
    assert told.outcome == "contradicted" and "It calls itself Nex: 90 of 100" in told.verdict


def test_the_weights_stand_beside_the_words(report):
    text = report.read_text("utf-8")
    section = text.split('<section aria-labelledby="weights">')[1].split("</section>")[0]
    assert (
        "0.600 lab:donor + 0.400 lab:base, exact to the rounding" in section
        and "<svg" in section
        and "attention" in section
    )
    assert "not who made it" in section and 'href="#weights"' in text


def test_no_claim_no_verdict():
    free = CAMPAIGN.model_copy(update={"claim": None})
    assert story(names({("t", "bare"): {"nex": (9, 10)}}), free, {}).outcome == "none"


def test_pictures_have_no_styles_of_their_own_and_follow_the_theme():
    svg = charts.forest(
        ["a $x$", "<b>"],
        ["Nex & Rio"],
        [charts.Point(0, 0, 0.5, 0.4, 0.6), charts.Point(1, 0, 0.0, 0.0, 0.1)],
        'said "aloud"',
    )
    assert "style=" not in svg and "<style" not in svg and "#0" not in svg
    assert "var(--ink)" in svg and "a $x$" in svg and "&lt;b&gt;" in svg and "Nex &amp; Rio" in svg
    assert svg == charts.forest(
        ["a $x$", "<b>"],
        ["Nex & Rio"],
        [charts.Point(0, 0, 0.5, 0.4, 0.6), charts.Point(1, 0, 0.0, 0.0, 0.1)],
        'said "aloud"',
    )


def test_the_page_is_one_file_with_a_strict_policy(report):
    text = report.read_text("utf-8")
    assert (
        "default-src 'none'" in text
        and "unsafe" not in text.split("</head>")[0].split("<style>")[0]
    )
    assert not re.search(r"(?:src|href)=[\"']?(?:https?:|//)", text)
    assert (
        " style=" not in text
        and "onerror=" not in text.replace("onerror=&#39;", "").split('id="data"')[0]
    )
    assert "<i>note</i>" not in text and "&lt;i&gt;note" in text
    assert report.stat().st_size < 15_000_000


def test_large_runs_are_drawn_from_evenly_and_stay_small():
    keeper = page.Keeper(2)
    for number in range(9000):
        row = {
            "target": "t",
            "arm": "bare" if number % 10 else "absent",
            "probe": "identity",
            "trial": f"k{number}",
            "sample": 0,
            "error": None,
            "status": "ok",
            "language": "en",
            "question": "q",
        }
        keeper(
            SimpleNamespace(
                row=row
                | {
                    "messages": '[{"role":"user","content":"?"}]',
                    "text": "<" * 5000,
                    "reasoning": "语" * 5000,
                },
                verdict=None,
                reasoning=None,
                overlap=None,
            )
        )
    said = page.transcripts(keeper)
    assert len(said.encode()) < 12_000_000
    assert said.count('"absent"') == 900 and said.count('"bare"') == 1500
    assert "cut here; 5000 characters" in said


def test_the_terminal_shows_the_story_in_eighty_columns(tmp_path):
    run = run_of(
        tmp_path,
        {
            ("t", arm, "identity", f"q{q}"): [text] * 4
            for q in range(9)
            for arm, text in (
                ("absent", "I am Rio."),
                ("bare", "I am [red]Zorbly\x1b[31m, by Acme AI."),
            )
        },
    )
    tables = tally(run.journal, CAMPAIGN, tmp_path)
    out = io.StringIO()
    terminal.bars(
        Console(width=80, file=out, force_terminal=False),
        tables.tally,
        CAMPAIGN,
        terminal.injected(tables.samples),
        ["note"],
    )
    run.engine.dispose()
    said = out.getvalue()
    assert max(map(len, said.splitlines())) <= 80
    assert "\x1b" not in said and "100.0 (66-100)" in said and "████" in said


@pytest.fixture(params=["light", "dark"])
def opened(watched, report, request):
    tab = watched(report.as_uri(), request.param)
    tab.wait_for_selector("#transcripts li")
    return tab


def test_it_opens_without_errors_and_without_a_request(opened, report):
    assert opened.trouble == [] and opened.requests == [report.as_uri()]
    verdict = opened.locator(".verdict")
    assert (
        "By its own word, the claim does not hold up." in verdict.inner_text()
        and "0 of 36 replies" in verdict.inner_text()
    )
    assert (
        verdict.bounding_box()["y"] < 300 and opened.locator("figure svg").bounding_box()["y"] < 700
    )  # both on the first screen
    assert opened.locator("mark").count() > 5


def test_hostile_replies_show_as_text_and_do_nothing(opened):
    opened.select_option("#filter-probe", "backstory")
    opened.select_option("#filter-arm", "absent")
    said = opened.locator("#transcripts").inner_text()
    assert (
        "<script>window.pwned = 1</script>" in said
        and "<U+202E>" in said
        and "<U+001B>[31m" in said
        and "{{ 7 * 7 }}" in said
    )
    assert "cut here; 1000000 characters" in said
    assert opened.evaluate("window.pwned") is None
    assert opened.locator("a[href^='javascript'], img, iframe, #transcripts script").count() == 0


def test_what_was_inspected_has_a_section(opened):
    section = opened.locator("section[aria-labelledby=hidden]")
    assert (
        "It <i>injects</i> text." in section.inner_text()
        and "You are <b>Rio</b>" in section.inner_text()
    )


def test_search_and_filters_find_and_clear(opened):
    count = opened.locator("#count")
    everything = count.inner_text()
    opened.fill("#search", "workshop harbour")
    assert count.inner_text().startswith("2 of ")
    opened.fill("#search", "")
    opened.select_option("#filter-name", "nex")
    opened.select_option("#filter-target", "d")
    assert count.inner_text().startswith("36 of ")
    assert opened.locator("#transcripts li").count() == 25
    opened.click("#more")
    assert (
        opened.locator("#transcripts li").count() == 36 and not opened.locator("#more").is_visible()
    )
    opened.click("#clear")
    assert count.inner_text() == everything


def test_everything_is_reached_by_the_keyboard(opened):
    opened.keyboard.press("Tab")
    assert opened.evaluate("document.activeElement.textContent") == "Skip to the content"
    reached = set()
    for _ in range(120):
        opened.keyboard.press("Tab")
        reached.add(opened.evaluate("document.activeElement.id || document.activeElement.tagName"))
    assert {"search", "filter-target", "filter-name", "clear", "more", "SUMMARY", "A"} <= reached


def test_contrast_and_roles_pass_axe(opened):
    assert axe(opened) == []


def test_it_prints(opened):
    opened.emulate_media(media="print")
    assert not opened.locator("nav").is_visible() and opened.locator(".verdict").is_visible()
