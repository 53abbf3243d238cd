"""The first words with a host: does it answer to all that will be sent, and if not, what to mend.

One request with every parameter. Where it is refused, `parameters.py` finds which of them the host
refuses; where nothing is found at the address, others of the same host are tried (`addresses.py`),
and the names of its models are looked at.
"""

from __future__ import annotations

import asyncio
import difflib
import functools
from typing import Any, Final, NamedTuple

from harness.campaign import Sampling, sample_seed
from harness.errors import TargetError
from harness.targets import parameters, received
from harness.targets.addresses import Addresses, likely
from harness.targets.answers import Completion
from harness.targets.bodies import FEW, Bodies, write
from harness.targets.host import Host, used
from harness.targets.pace import Tries
from harness.targets.parameters import Entry, Found
from harness.targets.problems import PROBLEMS, Refused
from harness.targets.spending import BudgetReached

HELLO: Final[dict[str, Any]] = {"messages": [{"role": "user", "content": "Say hello."}]}
#: Statuses that say that nothing is at an address, beside those of redirects.
_NOTHING_THERE: Final = frozenset((404, 405))
#: Statuses of an address that is a chat route, whatever it refuses.
_THERE: Final = frozenset((400, 401, 422, 429))
#: Names of models that are told.
_TOLD: Final = 5


class Hello(NamedTuple):
    """The answer to all that will be sent, whether it holds several samples, what is to be told."""

    answer: Completion
    many: bool
    notes: tuple[str, ...]
    seconds: float


class Preflight:
    """Finds out what one host takes; ``bodies`` are changed where the target's entry allows it."""

    def __init__(self, host: Host, bodies: Bodies, sampling: Sampling) -> None:
        self.host, self.bodies, self.sampling = host, bodies, sampling
        self.seed = sample_seed(sampling.seed, "preflight", 0)
        self.hello_words = bodies.prompt(HELLO["messages"])
        self.notes: list[str] = []
        self._seconds = 0.0

    async def hello(self, samples: int) -> Hello:
        """Ask with all that will be sent, for several samples by one request.

        Raises
        ------
        TargetError
            The host does not answer, or refuses what would be sent: it says what to write.
        """
        answer = await self._several(samples)
        if isinstance(answer, Refused) and parameters.concerns(answer):
            answer = await self._mended()
            if isinstance(answer, Completion):
                answer = await self._several(samples)
        if isinstance(answer, Refused) and parameters.broken(answer):
            answer = await self._asked(self._whole(samples), patient=True)
        if isinstance(answer, Refused):
            raise await self._unusable(answer)
        many = samples > 1 and len(answer.choices or []) == samples
        return Hello(answer, many, tuple(self.notes), self._seconds)

    async def _several(self, samples: int) -> Completion | Refused:
        """The answer for several samples, or for one where the host refuses `n`."""
        answer = await self._asked(self._whole(samples))
        if samples == 1 or isinstance(answer, Completion) or not parameters.concerns(answer):
            return answer
        alone = await self._asked(self._whole(1))
        if isinstance(alone, Refused):
            return alone
        if parameters.broken(answer):  # which may pass
            again = await self._asked(self._whole(samples))
            if isinstance(again, Completion):
                return again
        self.notes.append(f"the host refuses n, so samples are asked for one by one: {answer}")
        return alone

    def _whole(self, samples: int) -> dict[str, Any]:
        return self.bodies.small(self.sampling, self.hello_words, samples=samples, seed=self.seed)

    async def _asked(self, body: dict[str, Any], patient: bool = False) -> Completion | Refused:
        """One small answer; that a server is broken is waited for only by the patient."""
        sent, clock = write(self.bodies.placed(body)), self.host.pace.gate.clock
        began = clock()

        async def once() -> Completion:
            nonlocal began
            began = clock()
            try:
                answer, _ = await self.host.attempt(self.host.at.chat, sent)
            except Refused as refused:
                if not patient and parameters.broken(refused):
                    refused.problem = refused.problem._replace(fate="fail")
                raise
            return answer

        tried = Tries()
        try:
            answer = await self.host.pace.fetch(
                once, 64, FEW * body.get(self.bodies.called("n"), 1), tried
            )
        except Refused as refused:
            return refused
        self._seconds = clock() - began
        self.host.pace.book(tried, *used(answer))
        return answer

    async def _mended(self) -> Completion | Refused:
        """The answer once what the host refuses is left out, where the entry allows that.

        Raises
        ------
        TargetError
            It does not: every parameter that is refused is named, with the lines to write.
        """
        few = self.sampling.model_copy(update={"max_tokens": FEW})
        sent = self.bodies.parameters(few, 1, self.seed)
        found = await parameters.find(self._asked, self.bodies, sent, self.hello_words)
        if found.least is not None:
            return found.least
        before = Entry(self.bodies.omit, self.bodies.rename)
        after = parameters.mended(found, before)
        extra = [one.name for one in found.refused if one.extra]
        if after != before or extra:
            if extra or found.limit == "" or not self.host.settings.auto_omit:
                raise self._refuses(found, before, after)
            self.bodies.omit, self.bodies.rename = after
            self.notes.append(f"changed as auto_omit allows: {parameters.changes(before, after)}")
        return await self._asked(self._whole(1))

    def _refuses(self, found: Found, before: Entry, after: Entry) -> TargetError:
        """Every parameter that is refused, and the lines to write."""
        said = [f"{one.name} ({one.reason})" for one in found.refused]
        if found.together:
            said.append(f"{' and '.join(found.together)} (only together)")
        steps = [f"'{line}'" for line in after.lines(before)]
        next_step = f"write {' and '.join(steps)} into the target's entry" if steps else ""
        if before.omit or before.rename:
            next_step += next_step and ", in the place of the lines of that name"
        extra = [one.name for one in found.refused if one.extra]
        if extra:
            more = f"take {', '.join(extra)} out of extra_body"
            next_step = f"{next_step}, and {more}" if next_step else more
        elif found.limit != "":
            next_step += "; or 'auto_omit: true', which does so by itself and is told in the report"
        return TargetError(
            f"the host refuses what would be sent: {'; '.join(said)}",
            where=f"target {self.host.settings.name}",
            next=next_step,
        )

    async def _unusable(self, refused: Refused) -> TargetError:
        """Why nothing can be asked, and what to mend."""
        mend = "mend model, base_url or the key variable in the target's entry"
        if refused.status is None:
            gone = refused.problem.fate == "retry"
            mend = "start the server or mend base_url" if gone else refused.problem.mend
        if _may_be_elsewhere(refused):
            mend = await self._elsewhere(refused) or mend
        return TargetError(
            f"the endpoint does not answer: {refused.reason}",
            where=f"target {self.host.settings.name}, {self.host.url}",
            next=mend,
        )

    async def _elsewhere(self, refused: Refused) -> str | None:
        """The model or the address that would have been right, where one can be found."""
        model = self.host.settings.model
        if refused.status == 404 and model in refused.reason and (known := await self._models()):
            near = difflib.get_close_matches(model, known, _TOLD, 0.5) or known[:_TOLD]
            return f"write a model that the host has as `model`, such as {', '.join(near)}"
        meant = list(likely(self.host.at, model))
        answers = await asyncio.gather(*(self._at(one) for one in meant))
        for wanted in (Completion, Refused):
            for one, answer in zip(meant, answers, strict=True):
                if isinstance(answer, wanted) and _is_there(answer, model):
                    return f"write 'base_url: {one}' into the target's entry: there it answers"
        return None

    async def _at(self, at: Addresses) -> Completion | Refused:
        """What a host answers at another address; asked once."""
        sent = write(self.bodies.placed(self._whole(1)))
        try:
            return await self.host.aside(at.chat, sent)
        except Refused as refused:
            return refused
        except BudgetReached as reached:
            return Refused(str(reached), PROBLEMS["choices"])

    async def _models(self) -> list[str]:
        """The names of the models that the host lists."""
        get = functools.partial(self.host.wire.get, self.host.at.models)
        try:
            got = await self.host.pace.aside(get, lambda got: (0, 0), 0, 0)
        except (Refused, BudgetReached):
            return []
        found = received.object_of(got.body) or {}
        listed = found.get("data") or found.get("models")
        entries = (
            [one for one in listed if isinstance(one, dict)] if isinstance(listed, list) else []
        )
        named = (one.get("id") or one.get("name") for one in entries)
        return [name for one in named if (name := received.name(one))]


def _may_be_elsewhere(refused: Refused) -> bool:
    """Whether an answer is that of an address at which no chat route is."""
    page = refused.problem is PROBLEMS["json"] and refused.body.lstrip()[:1] == b"<"
    moved = refused.problem is PROBLEMS["redirect"]
    return page or moved or refused.status in _NOTHING_THERE


def _is_there(answer: Completion | Refused, model: str) -> bool:
    """Whether an answer shows that a chat route is at its address."""
    if isinstance(answer, Completion):
        return True
    if answer.status == 404:
        return model in answer.reason
    return answer.status in _THERE and received.object_of(answer.body) is not None
