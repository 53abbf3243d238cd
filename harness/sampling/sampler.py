"""The orchestrator: owed blocks to targets, bounded; every answer to the journal before it counts.

Local engines are asked one after another (they would only share the same cores), endpoints side by
side. Whatever ends a run (a signal, a cap, a fault) leaves a journal that the same command goes on
with.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from harness.campaign import (
    EndpointTarget,
    Limits,
    Loaded,
    Plan,
    RemoteTarget,
    Trial,
    prompt_token_bound,
)
from harness.errors import TargetError, TruenameError
from harness.journal import Journal, Sampled, Writer
from harness.sampling.committer import Committer
from harness.sampling.ending import first_of, stop_at_signals
from harness.sampling.owed import Block, Owed
from harness.sampling.progress import Counts, Progress
from harness.sampling.stopping import Answer, Early, MakeEarly, NamesIn, Stopping
from harness.targets import (
    LEDGER,
    Booked,
    BudgetReached,
    ErrorRate,
    Ledger,
    Pace,
    Request,
    Response,
    Settings,
    Spending,
    Stopped,
    Target,
    open_target,
    pace_of,
    told_of,
)

#: Whom words about the budget are said of, which is the run's and no target's.
BUDGET: Final = "budget"


class Sampler:
    """Samples everything that a campaign still owes.

    ``names_in`` tells which names texts claim; a campaign with ``stop`` needs it. ``early`` makes
    another rule that decides what is still asked. ``folder`` is
    where the ledger of what is sent lies: without it only what the journal holds counts against the
    caps of a run that is gone on with.
    """

    def __init__(
        self,
        loaded: Loaded,
        journal: Journal,
        progress: Progress,
        plan: Plan | None = None,
        names_in: NamesIn | None = None,
        folder: Path | None = None,
        early: MakeEarly | None = None,
    ) -> None:
        self.loaded, self.journal, self.progress = loaded, journal, progress
        self.early = early
        self.plan = plan or Plan(loaded)
        self.names_in = names_in
        self.limits: Limits = loaded.campaign.limits
        self.spending = Spending(loaded.campaign.budget)
        self.rate = ErrorRate(self.limits.stop_run_at_error_rate, 200)
        self.stopping = False
        self.ledger = self._ledger(folder)
        self.spending.tell = functools.partial(progress.told, BUDGET)
        self._paces: list[Pace] = []
        #: Why a target was given up, by its name.
        self.given_up: dict[str, str] = {}

    def run(self) -> None:
        """Sample until nothing is owed, a cap is reached, or the user stops it.

        Raises
        ------
        TruenameError
            A target cannot be used or the journal cannot be written; what was committed is kept.
        """
        ledger = self.ledger or contextlib.nullcontext()
        with ledger, asyncio.Runner(loop_factory=_loop()) as runner:
            runner.run(self._run())

    async def _run(self) -> None:
        self._tell_of_lost()
        self.committer = Committer(self.loaded, Writer(self.journal), self.progress)
        here = asyncio.current_task()
        assert here is not None
        stop = functools.partial(self.stop, "stopped by you; what was in flight is saved")
        stop_at_signals(here, lambda: self.stopping, stop, self.limits.finish_s)
        committing = asyncio.create_task(self.committer.run())
        committing.add_done_callback(lambda _: self._committing_ended(here))
        problems: list[TruenameError] = []
        wanted = self.loaded.campaign.targets
        remote = [t for t in wanted if isinstance(t, RemoteTarget)]
        local = [t for t in wanted if not isinstance(t, RemoteTarget)]
        try:
            sampled = [self._one_by_one([t], problems) for t in remote]
            await asyncio.gather(self._one_by_one(local, problems), *sampled)
        except asyncio.CancelledError:
            self.progress.stopped = "stopped at once; what was committed is saved"
        finally:
            self.committer.end()
            await committing
        if len(problems) > 1:
            raise TargetError(
                "\n".join(str(problem) for problem in problems),
                next="mend these targets and run again: what was sampled is kept",
            )
        if problems:
            raise problems[0]

    def _committing_ended(self, here: asyncio.Task[Any]) -> None:
        """Without a writer nothing may go on, nor wait.

        A cancellation alone can be lost in a transport that has just answered.
        """
        if not self.committer.ended:
            self.stop("the journal cannot be written")
            self.committer.abandon()
            here.cancel()

    def stop(self, why: str) -> None:
        """Take no more work; what is in flight may finish."""
        if not self.stopping:
            self.stopping, self.progress.stopped = True, why
            self.progress.noted("stopping", {"why": why})
        for pace in self._paces:
            pace.stop()

    def stop_at_budget(self, reached: BudgetReached) -> None:
        """Stop because a cap could be passed; which is told."""
        self.stop(
            f"the budget is reached ({reached}): raise it in the campaign and run again to go on, "
            "or tally what there is"
        )

    def _ledger(self, folder: Path | None) -> Ledger | None:
        """Count what earlier sittings of this run used against the same caps."""
        used: dict[str, Booked] = {}
        for settings in self.loaded.campaign.targets:
            held = self.journal.counted(self.plan.positions(settings.name))
            tokens = held.booked_prompt, held.booked_completion
            used[settings.name] = Booked(held.requests, held.unknown_usage, *tokens)
        ledger = None if folder is None else Ledger(folder / LEDGER, used)
        for settings in self.loaded.campaign.targets:
            before = used if ledger is None else ledger.before
            self.spending.past(before[settings.name], settings.price)
        return ledger

    def _tell_of_lost(self) -> None:
        if self.ledger is not None and self.ledger.lost:
            self.progress.told(
                BUDGET,
                f"{self.ledger.lost} requests were in flight when the last sitting was killed; "
                "they count at their worst case",
            )

    async def _one_by_one(self, wanted: Sequence[Settings], problems: list[TruenameError]) -> None:
        for settings in wanted:
            counts = self.progress.targets[settings.name]
            if self.stopping or counts.done >= counts.planned:
                continue
            self.progress.say(settings.name, "opening")
            pace = pace_of(settings, self.limits, self.spending, self.ledger)
            pace.stopping = self.stopping
            pace.gate.tell = functools.partial(self.progress.told, settings.name)
            self._paces.append(pace)
            try:
                await _Asking(self, settings, pace, counts).run()
            except TruenameError as problem:
                self.progress.say(settings.name, "stopped")
                problems.append(problem)
                self.given_up[settings.name] = problem.what
                if not isinstance(problem, TargetError):
                    self.stop(problem.what)
            else:
                self.progress.say(settings.name, "")


class _Asking:
    """One target is asked until it owes nothing.

    As many workers as it takes requests at once, each with one block in hand.
    """

    def __init__(self, sampler: Sampler, settings: Settings, pace: Pace, counts: Counts) -> None:
        self.sampler, self.settings, self.pace, self.counts = sampler, settings, pace, counts
        self.target: Target = open_target(settings, pace)
        self.rate = ErrorRate(sampler.limits.stop_at_error_rate)
        owed = Owed(sampler.journal, sampler.plan, settings.name, counts, self.target.block)
        self.early: Early | None = None
        if sampler.early is not None:
            self.early = sampler.early(sampler.plan, settings.name)
        elif (rule := sampler.loaded.campaign.stop) is not None:
            assert sampler.names_in is not None, "a campaign with 'stop' needs names_in"
            self.early = Stopping(rule, sampler.plan, settings.name, sampler.names_in)
        if self.early is not None:
            owed.note_held(self.early)
        self.blocks: Iterator[Block] = owed.in_rounds(self.early) if self.early else owed.blocks()

    async def run(self) -> None:
        first = next(self.blocks, None)
        if first is None:
            return
        self.blocks = itertools.chain([first], self.blocks)
        remote = isinstance(self.settings, RemoteTarget)
        self.counts.gate = self.pace.gate if remote else None
        workers = min(self.target.width, max(1, self.counts.planned - self.counts.done))
        try:
            async with asyncio.TaskGroup() as group:
                opening = group.create_task(self._open())
                if not _may_begin_unopened(self.settings, self.target):
                    await opening
                for _ in range(workers):
                    group.create_task(self._work())
        except* TruenameError as group_of:
            raise first_of(group_of) from None
        except* BudgetReached as group_of:
            self.sampler.stop_at_budget(first_of(group_of))
        except* Stopped:
            pass
        finally:
            await self.target.close()

    async def _open(self) -> None:
        can = await self.target.preflight(self.sampler.loaded.campaign.sampling)
        self.sampler.journal.record.remember_target(self.settings.name, can)
        self.sampler.progress.say(self.settings.name, "")

    async def _work(self) -> None:
        """One worker: a block, its answer, the journal, the next block."""
        sampler = self.sampler
        trial: Trial | None = None
        while not sampler.stopping:
            block = next(self.blocks, None)
            if block is None:
                return
            if trial is None or trial.position != block.position:
                trial = sampler.plan.trial(block.position)
            answered = await self._asked(trial, block)
            if answered is None:
                return
            if self.early is not None:
                self._look(trial, answered.response)
            await sampler.committer.take(answered)
            self._judge_failures(answered)

    def _look(self, trial: Trial, response: Response) -> None:
        """Tell where an arm's case is clear now, or where it may not be looked at any more."""
        assert self.early is not None
        backend = told_of(response.model, response.fingerprint, response.provider)
        answer = Answer(response.replies, response.response_id, backend)
        decision = self.early.note(trial.position, answer)
        if decision:
            self.sampler.progress.decided(self.settings.name, trial.arm.label, decision)
        for arm, why in self.early.fresh_doubts():
            self.sampler.progress.doubted(self.settings.name, arm, why)

    async def _asked(self, trial: Trial, block: Block) -> Sampled | None:
        """The answer to one block, and what it cost; None where nothing more may be asked."""
        sampler = self.sampler
        sampling, size = sampler.loaded.campaign.sampling, len(block.indices)
        prompt = prompt_token_bound(trial.messages)
        bound = prompt * size, sampling.max_tokens * size
        request = Request(trial.key, trial.arm, trial.messages, sampling, block.indices, prompt)
        paced = self.target.paced
        holding = contextlib.nullcontext(0) if paced else self.pace.reserved(*bound)
        self.counts.running += size
        try:
            async with holding as number:
                response = await self.target.sample(request)
        except BudgetReached as reached:
            sampler.stop_at_budget(reached)
            return None
        except Stopped:
            return None
        finally:
            self.counts.running -= size
        booked = response.booked if paced else self._book(bound, response, number)
        return Sampled(trial, response, booked)

    def _book(self, bound: tuple[int, int], response: Response, number: int) -> Booked:
        """What a block of an engine of this process cost; endpoints book as they go."""
        if not response.whole:
            unanswered = response.having("failed") + response.having("unsupported")
            if unanswered == len(response.replies):
                return Booked(len(response.attempts))
        prompt, completion = response.prompt_tokens, response.completion_tokens
        known = prompt is not None and completion is not None
        prompt = bound[0] if prompt is None else prompt
        completion = bound[1] if completion is None else completion
        self.sampler.spending.add(prompt, completion, self.settings.price, known=known)
        self.pace.settle(number, int(not known), prompt, completion)
        return Booked(1, not known, prompt, completion)

    def _judge_failures(self, answered: Sampled) -> None:
        """Note a failed block; stop the target, or the run, where too many fail."""
        response, sampler = answered.response, self.sampler
        replies = () if response.whole else response.replies
        reasons = [r.error for r in replies if r.status in ("failed", "misrouted")]
        if failed := bool(reasons):
            self.counts.last_error = reasons[0] or ""
            about = {"target": self.settings.name, "trial": answered.trial.key}
            about |= {"reason": self.counts.last_error}
            sampler.progress.noted("failed", {**about, "attempts": list(response.attempts)})
        last = f"the last reason: {self.counts.last_error}"
        if self.rate.passed(failed):
            share = f"{sampler.limits.stop_at_error_rate:.0%}"
            raise TargetError(
                f"more than {share} of the last requests failed; {last}",
                where=f"target {self.settings.name}",
                next=(
                    "mend the target and run again: the failed samples stand as rows "
                    "(--retry-failed asks them again), the others are still owed"
                ),
            )
        if sampler.rate.passed(failed):
            share = f"{sampler.limits.stop_run_at_error_rate:.0%}"
            sampler.stop(f"more than {share} of the run's last requests failed; {last}")


def _may_begin_unopened(settings: Settings, target: Target) -> bool:
    """Whether nothing that the preflight finds could change the first request."""
    return isinstance(settings, EndpointTarget) and bool(settings.concurrency) and target.block == 1


def _loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """The loop of uvloop where there is one (not on Windows).

    Answers from the transport's threads wake it at half the cost.
    """
    try:
        import uvloop
    except ImportError:
        return None
    factory: Callable[[], asyncio.AbstractEventLoop] = uvloop.new_event_loop
    return factory
