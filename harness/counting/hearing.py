"""One sitting of a judge at a run: it is asked about reply after reply, and each answer is kept.

A label is written before what is known of it, for labels are what later sittings look for. Whatever
ends the sitting (a signal, a cap, a fault, a full disk) leaves files that the same command goes on
with; what was in flight then is asked again.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from typing import Any, Final

import msgspec

from harness.campaign import Campaign, Sampling, parse_arm, prompt_token_bound
from harness.counting.drawn import digest, text_of
from harness.counting.judged import (
    JUDGED,
    LONGEST_ANSWER,
    LONGEST_REASON,
    LONGEST_REPLY,
    Judged,
    append_judged,
    asked,
    digest_of,
    encodable,
    judge_name,
    labelled,
    read_judged,
)
from harness.counting.labels import Label, append_labels, now, read_labels
from harness.errors import RunError, TargetError, TruenameError
from harness.journal import Run
from harness.sampling import first_of, stop_at_signals
from harness.targets import (
    LEDGER,
    Booked,
    BudgetReached,
    ErrorRate,
    Ledger,
    Pace,
    Request,
    Response,
    Spending,
    Stopped,
    Target,
    open_target,
    pace_of,
)

#: What every judge is asked with: its likeliest answer. Length and seed are its campaign's.
LIKELIEST: Final[dict[str, Any]] = {
    **{"temperature": 0.0, "top_p": 1.0, "stop": []},
    **{"presence_penalty": 0.0, "frequency_penalty": 0.0},
}


class Hearing:
    """One sitting of a judge at a run."""

    def __init__(self, run: Run, campaign: Campaign, target: str) -> None:
        self.run, self.campaign, self.settings = run, campaign, campaign.target(target)
        self.name = judge_name(target)
        self.sampling: Sampling = campaign.sampling.model_copy(update=LIKELIEST)
        self.by = digest_of(campaign, target, self.sampling)
        self.before = read_judged(run.folder, self.name)
        if any(line.by != self.by for line in self.before):
            raise RunError(
                f"{self.name} has judged this run with another model, sampling or prompt",
                where=str(run.folder / JUDGED),
                next="give the judge's entry another name, so that both are kept apart",
            )
        self.ledger = self._ledger()
        self.spending = Spending(campaign.budget)
        self.spending.past(self.ledger.before[target], self.settings.price)
        self.rate = ErrorRate(campaign.limits.stop_at_error_rate)
        self.labels, self.answered = 0, 0
        self.bad, self.failed = Counter[str](), Counter[str]()
        self.stopped: str | None = None
        self.problem: TargetError | None = None
        self.pace: Pace = pace_of(self.settings, campaign.limits, self.spending, self.ledger)

    def _ledger(self) -> Ledger:
        """What the judge's earlier sittings at this run used counts against its caps."""
        used = functools.reduce(Booked.plus, (Booked(*x.booked) for x in self.before), Booked())
        path = self.run.folder / f"{self.settings.name}.{LEDGER}"
        return Ledger(path, {self.settings.name: used})

    def had(self, there: set[str]) -> set[str]:
        """Replies whose answer is kept, a label or not; counts them."""
        kept = {x.sample: x.sha256 for x in read_labels(self.run.folder) if self._mine(x)}
        last = {line.sample: line for line in self.before if line.outcome != "failed"}
        bad = {s: line for s, line in last.items() if line.outcome == "bad" and s not in kept}
        texts = kept | {sample: line.sha256 for sample, line in bad.items()}
        had = {s for s, sha in texts.items() if s in there and digest(self._text(s)) == sha}
        self.labels = sum(s in kept for s in had)
        self.bad.update(line.why for s, line in bad.items() if s in had)
        return had

    def _mine(self, label: Label) -> bool:
        return label.labeller == self.name

    def _text(self, sample: str) -> str:
        text: str = text_of(self.run, sample)["text"]
        return text

    def hear(self, owed: Sequence[str], say: Callable[[str], None]) -> None:
        """Ask about each reply, until all are judged, a cap is reached, or the user stops it."""
        self.spending.tell = self.pace.gate.tell = say
        with self.ledger:
            asyncio.run(self._hear(owed, say))
        if self.problem is None and self.failed and not self.answered and not self.stopped:
            self.problem = self._unreachable("every request failed", next(iter(self.failed)))
        if self.problem is not None:
            raise self.problem

    def _unreachable(self, how_many: str, why: str) -> TargetError:
        return TargetError(
            f"{how_many}; the last reason: {why}",
            where=f"target {self.settings.name}",
            next="mend the target and run again: what was judged is kept",
        )

    async def _hear(self, owed: Sequence[str], say: Callable[[str], None]) -> None:
        here = asyncio.current_task()
        assert here is not None
        stop = functools.partial(self._stop, "stopped by you; what was judged is saved")
        finish_s = self.campaign.limits.finish_s
        stop_at_signals(here, lambda: self.stopped is not None, stop, finish_s)
        target = open_target(self.settings, self.pace)
        queue, step = iter(owed), max(10, len(owed) // 10)

        def noted() -> None:
            if self.answered % step == 0 and self.answered < len(owed):
                say(f"{self.answered} of {len(owed)} judged")

        try:
            await target.preflight(self.sampling)
            async with asyncio.TaskGroup() as group:
                for _ in range(min(target.width, len(owed))):
                    group.create_task(self._work(target, queue, noted))
        except* TruenameError as group_of:
            raise first_of(group_of) from None
        except* BudgetReached as group_of:
            self._stop_at_budget(first_of(group_of))
        except* Stopped:
            pass
        except* asyncio.CancelledError:
            self.stopped = "stopped at once; what was judged is saved"
        finally:
            with suppress(asyncio.CancelledError):
                await target.close()

    def _stop(self, why: str) -> None:
        """Take no more replies; what is in flight may finish."""
        self.stopped = self.stopped or why
        self.pace.stop()

    def _stop_at_budget(self, reached: BudgetReached) -> None:
        self._stop(f"the budget of the judge's campaign is reached ({reached}): raise it to go on")

    async def _work(self, target: Target, queue: Iterator[str], noted: Callable[[], None]) -> None:
        """One worker: a reply, the judge's answer, the files, the next reply."""
        while self.stopped is None and (sample := next(queue, None)) is not None:
            row = text_of(self.run, sample)
            text = row["text"]
            about = Judged(self.name, sample, digest(text), self.by, "bad")
            if len(text) > LONGEST_REPLY:
                why = f"the reply has more than {LONGEST_REPLY:,} characters"
                self._keep(msgspec.structs.replace(about, why=why), None)
                noted()
                continue
            question = msgspec.json.decode(row["messages"])[-1]["content"]
            messages = asked(question, text, about.sha256)
            bound = prompt_token_bound(messages)
            key = f"{self.by}:{sample}"
            request = Request(key, parse_arm("absent"), messages, self.sampling, (0,), bound)
            response = await self._answer(target, request)
            if response is None:
                return
            if self._judged(about, response):
                noted()

    async def _answer(self, target: Target, request: Request) -> Response | None:
        """The judge's answer; None where nothing more may be asked."""
        bound = request.prompt_bound, self.sampling.max_tokens
        holding = contextlib.nullcontext(0) if target.paced else self.pace.reserved(*bound)
        try:
            async with holding as number:
                response = await target.sample(request)
        except BudgetReached as reached:
            self._stop_at_budget(reached)
            return None
        except Stopped:
            return None
        if not target.paced:
            used = response.prompt_tokens or 0, response.completion_tokens or 0
            self.spending.add(*used, self.settings.price, known=True)
            self.pace.settle(number, 0, *used)
            response.booked = Booked(1, 0, *used)
        return response

    def _judged(self, about: Judged, response: Response) -> bool:
        """Keep what came back; stop where the judge cannot be reached. True for an answer."""
        reply = response.replies[0]
        about = msgspec.structs.replace(
            about,
            answer=None if reply.text is None else encodable(reply.text[:LONGEST_ANSWER]),
            model=None if response.model is None else encodable(response.model[:LONGEST_REASON]),
            booked=tuple(response.booked),
        )
        failed = reply.status in ("failed", "unsupported")
        if failed:
            why = encodable((reply.error or reply.status)[:LONGEST_REASON])
            self._keep(msgspec.structs.replace(about, outcome="failed", why=why), None)
        elif reply.status != "ok":
            why = "the answer is empty"
            if reply.status == "truncated":
                why = f"the answer is cut off at {self.sampling.max_tokens} tokens"
            elif reply.status == "filtered":
                why = reply.error or "the answer is filtered"
            self._keep(msgspec.structs.replace(about, why=why), None)
        else:
            made = labelled(reply.text or "", self.name, about.sample, about.sha256)
            if isinstance(made, str):
                self._keep(msgspec.structs.replace(about, why=made), None)
            else:
                self._keep(msgspec.structs.replace(about, outcome="label"), made)
        if self.rate.passed(failed):
            share = f"{self.campaign.limits.stop_at_error_rate:.0%}"
            self.problem = self._unreachable(
                f"more than {share} of the last requests failed", reply.error or reply.status
            )
            self._stop("too many requests failed")
        return not failed

    def _keep(self, judged: Judged, label: Label | None) -> None:
        """Write down one answer; a label first, for that is what later sittings look for."""
        if label is not None:
            append_labels(self.run.folder, [label])
        append_judged(self.run.folder, msgspec.structs.replace(judged, when=now()))
        if judged.outcome == "failed":
            self.failed[judged.why] += 1
            return
        self.answered += 1
        self.labels += label is not None
        if label is None:
            self.bad[judged.why] += 1
