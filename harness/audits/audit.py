"""One audit from beginning to end.

Claim it, sample, score, write down what was seen, judge the history, tell.
"""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from harness.audits import alarms
from harness.audits.config import Audit, LoadedAudit, OfRun
from harness.audits.events import Event
from harness.audits.history import History, least, left
from harness.audits.instants import stamp, utcnow
from harness.audits.keeping import USED_UP, month_begins, used_up
from harness.audits.links import evidence
from harness.audits.seen import ERROR, Observer, Seen
from harness.audits.watching import begun, judge
from harness.campaign import Loaded, Plan
from harness.counting import Scoring
from harness.errors import AuditError, StoreError, TruenameError
from harness.journal import (
    Journal,
    Run,
    begin_run,
    campaign_of,
    checked_name,
    checkpoint,
    find_run,
    open_engine,
    sqlite_url,
)
from harness.masking import hide
from harness.report import write_page
from harness.sampling import Sampler, prepare
from harness.scoring import names_in
from harness.targets import check, reach

RENEW_S: Final = 15.0
#: Requests, tokens and money.
Spent = tuple[int, int, float]
NOTHING: Final[Spent] = (0, 0, 0.0)


class Outcome(NamedTuple):
    """What became of one audit."""

    #: Done, silent, stopped, nothing due, or held by someone else.
    state: str
    due: str | None
    run: str | None
    reason: str | None
    raised: list[Event]
    untold: list[str]


class _Sampled(NamedTuple):
    """What was sampled for one audit."""

    #: What was seen, failures too; None if nothing was asked.
    seen: dict[str, Seen] | None
    #: Why nothing was scored, or why it is not all.
    reason: str | None
    spent: Spent

    @property
    def scored(self) -> bool:
        return self.seen is not None and any(one.scored for one in self.seen.values())


class _Stopped(NamedTuple):
    """Why sampling ended before its time, if it did, and what it had cost."""

    reason: str | None
    spent: Spent
    #: Why targets were given up, by name.
    given_up: dict[str, str]


def store_url(results: Path, store: str | None) -> str:
    """The one database of all audits: by default a file beside the runs."""
    if store is None:
        results.mkdir(parents=True, exist_ok=True)
    return store or sqlite_url(results / "audits.sqlite")


def open_history(results: Path, store: str | None) -> History:
    """The history of all audits (a context manager)."""
    return History(open_engine(store_url(results, store)))


def present(at: str | None) -> datetime.datetime | None:
    """The instant that a user wants taken for the present, if any.

    Raises
    ------
    AuditError
        It is no instant.
    """
    try:
        now = datetime.datetime.fromisoformat(at) if at else None
    except ValueError:
        raise AuditError(
            f"'{at}' is no instant", next="write it as 2026-11-24T12:00:00+00:00"
        ) from None
    return now.replace(tzinfo=datetime.UTC) if now and now.tzinfo is None else now


def told(audit: Audit, outcome: Outcome, now: datetime.datetime | None) -> list[str]:
    """What became of an audit, and the alarms that it raised, in lines."""
    if outcome.state == "nothing due":
        following = audit.schedule.next(now or utcnow())
        at = f"; next at {following:%Y-%m-%d %H:%M} UTC" if following else ""
        return [f"nothing is due{at}"]
    reason = f", {outcome.reason}" if outcome.reason else ""
    lines = [f"{audit.audit} due {outcome.due}: {outcome.state}{reason}"]
    for event in outcome.raised:
        lines += [f"{_said(event)} {event.headline}", *(f"  {one}" for one in event.changes)]
        lines += [f"  next: {event.next}"] if event.next else []
    return lines


def _said(event: Event) -> str:
    return f"ALARM ({event.severity})" if event.opens else "NOTE"


def reaches(loaded: LoadedAudit) -> list[str]:
    """The addresses, variables, programs and files of an audit's targets and channels, in lines."""
    lines = [*reach(loaded.campaign.campaign.targets), *alarms.reach(loaded.audit)]
    return [f"{loaded.audit.audit}: {hide(line)}" for line in lines]


def run_audit(
    loaded: LoadedAudit,
    results: Path,
    store: str | None,
    *,
    now: datetime.datetime | None = None,
    forced: bool = False,
    say: Callable[[str], None] = lambda said: None,
) -> Outcome:
    """Run the audit that is due, or finish the one that was begun and left.

    ``say`` is told what it reaches for, before anything is sent.

    Raises
    ------
    AuditError
        A channel's variable is not set. Whatever else goes wrong is an audit that could not run,
        and an alarm.
    """
    audit = loaded.audit
    alarms.check(audit)
    now = now or utcnow()
    url = store_url(results, store)
    with History(open_engine(url)) as history:
        if (holder := history.running(audit.audit)) is not None:
            return Outcome("held", None, None, f"{holder} works on it", [], [])
        left_over = history.abandoned(audit.audit)
        at = now if forced else audit.schedule.due(now)
        due = left_over[0] if left_over else None if at is None else stamp(at)
        if due is None:
            return Outcome("nothing due", None, None, None, [], [])
        name = checked_name(f"{audit.audit}-{due.replace('-', '').replace(':', '')}")
        alarms.meet(audit, history)
        where = evidence(audit, results)
        if not history.claim(audit.audit, due, name):
            raised = _judged(loaded, history, url, results)  # of one that was killed before
            untold = alarms.tell(audit, history, where, now)
            return Outcome("nothing due", due, None, None, raised, untold)
        for line in reaches(loaded):
            say(line)
        sampled = _sampled(loaded, history, results, url, name, due)
        reason = sampled.reason
        # by a signal: whoever comes next goes on with it
        if reason is not None and reason.startswith("stopped"):
            history.release(audit.audit, due)
            return Outcome("stopped", due, name, reason, [], [])
        _finish(history, audit, due, sampled)
        raised = _judged(loaded, history, url, results)
        untold = alarms.tell(audit, history, where, now)
        state = "done" if sampled.scored else "silent"
        return Outcome(state, due, name, reason, raised, untold)


def _judged(loaded: LoadedAudit, history: History, url: str, results: Path) -> list[Event]:
    """Judge the audits that were not judged yet, and raise what they add up to.

    What was judged before raises nothing any more, whatever the audit's file says now.
    """
    audit = loaded.audit
    numbers = history.unjudged(audit.audit)
    if not numbers:
        return []
    entries = history.entries(audit.audit)
    since = history.since(audit.audit, begun(audit))
    baseline = _baseline(loaded, history, url, results)
    found = judge(audit, entries, baseline, since, history.accepted(audit.audit))
    fresh = {entry.due for entry in entries if entry.number in set(numbers)}
    return history.judged([event for event in found if event.due in fresh], numbers)


def _finish(history: History, audit: Audit, due: str, sampled: _Sampled) -> None:
    requests, tokens, money = sampled.spent
    before = history.spent(audit.audit, month_begins(audit, due))
    spent = before[0] + requests, before[1] + tokens, before[2] + money
    history.finish(
        audit.audit,
        due,
        seen=sampled.seen,
        reason=sampled.reason,
        requests=requests,
        tokens=tokens,
        money=money,
        budget_used=used_up(audit.budget.month, spent) if _is_capped(audit) else None,
    )


def _is_capped(audit: Audit) -> bool:
    month = audit.budget.month
    return any(cap is not None for cap in (month.requests, month.tokens, month.money))


def _sampled(
    loaded: LoadedAudit, history: History, results: Path, url: str, name: str, due: str
) -> _Sampled:
    """Sample and observe, and keep the lease meanwhile."""
    audit = loaded.audit
    rest = left(audit.budget.month, history.spent(audit.audit, month_begins(audit, due)))
    if rest is None:
        return _Sampled(None, USED_UP, NOTHING)
    stop = threading.Event()
    threading.Thread(target=_renewing, args=(history, audit.audit, due, stop), daemon=True).start()
    try:
        cut = loaded.at(due, least(least(audit.budget.run, loaded.campaign.campaign.budget), rest))
        run = begin_run(cut, name, results, url)
        try:
            return _observed(cut, run)
        finally:
            with suppress(StoreError):
                checkpoint(run.journal.engine)
            run.journal.engine.dispose()
    except TruenameError as problem:
        return _Sampled(None, problem.what, NOTHING)
    finally:
        stop.set()


def _observed(cut: Loaded, run: Run) -> _Sampled:
    """Sample a run, and look at its samples while the report is written."""
    reason, spent, given_up = _run_sampler(cut, run)
    observer = Observer({t.name: t.identity for t in cut.campaign.targets})
    try:
        write_page(run, campaign_of(run), run.folder / "report.html", look=observer)
    except TruenameError as problem:
        reason = reason or problem.what
    for name, why in given_up.items():
        observer.seen[name].problem = hide(why)[:ERROR]
    if observer.silent():
        reason = reason or "no reply could be scored"
        asked = any(one.failed or one.problem for one in observer.seen.values())
        return _Sampled(observer.seen if asked else None, reason, spent)
    return _Sampled(observer.seen, reason, spent)


def _run_sampler(cut: Loaded, run: Run) -> _Stopped:
    sampler: Sampler | None = None
    try:
        check(cut.campaign.targets)
        plan = Plan(cut)
        progress = prepare(cut, run.journal, plan)
        sampler = Sampler(cut, run.journal, progress, plan, names_in, run.folder)
        sampler.run()
        reason = progress.stopped
    except TruenameError as problem:
        reason = problem.what
    if sampler is None:
        return _Stopped(reason, NOTHING, {})
    spending = sampler.spending
    spent = spending.requests, spending.tokens, spending.money
    return _Stopped(reason, spent, sampler.given_up)


def _baseline(
    loaded: LoadedAudit, history: History, url: str, results: Path
) -> dict[str, Seen] | None:
    """What the named run saw, where the audit names one."""
    if not isinstance(loaded.audit.baseline, OfRun):
        return None
    name = loaded.audit.baseline.run
    journal = Journal(history.engine, name)
    if journal.record.describe() is None:
        journal = find_run(name, results, None).journal
    observer = Observer({t.name: t.identity for t in loaded.campaign.campaign.targets})
    for scored in Scoring(journal.engine).score(journal.rows()):
        if scored.row["target"] in observer.seen:
            observer(scored)
    if observer.silent():
        raise AuditError(
            f"the baseline run '{name}' holds no scored reply",
            where=loaded.where,
            next="name another run, or write baseline: first",
        )
    return observer.seen


def _renewing(history: History, audit: str, due: str, stop: threading.Event) -> None:
    while not stop.wait(RENEW_S):
        with suppress(StoreError):  # the next time may do; who samples tells of a database gone
            history.renew(audit, due)
