"""From what became of calls to the samples of a request, whichever API was asked.

`response_of` makes a response of one call; `filled` asks again for samples that an answer lacked,
`one_by_one` asks where a host gives one at a time; `SystemMessages` knows what a host refuses.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Final

from harness.campaign import Arm
from harness.targets import answers, received
from harness.targets.answers import Usage
from harness.targets.host import Outcome
from harness.targets.problems import Refused
from harness.targets.protocol import Context, Request, Response, no_reply
from harness.targets.quirks import SYSTEM_REFUSED
from harness.targets.side_routes import FRUITLESS

#: Makes one call for the samples of a request.
Call = Callable[[Request], Awaitable[Response]]
_ALL_OK: Final = {"ok"}


async def filled(call: Call, request: Request, attempts: int) -> Response:
    """One call; samples without a choice are asked for again, up to ``attempts`` calls in all."""
    indices = request.indices
    response = await call(request)
    for _ in range(attempts - 1):
        if response.whole:
            break
        short = answers.without_choice(response)
        if not short or len(short) == len(indices):
            break
        again = await call(request._replace(indices=[indices[p] for p in short]))
        answers.fill(response, short, again)
    return response


async def one_by_one(call: Call, request: Request) -> Response:
    """A call for each sample."""
    parts = (call(request._replace(indices=(index,))) for index in request.indices)
    return answers.joined(await asyncio.gather(*parts))


class SystemMessages:
    """Arms whose system message the host refuses: after some refusals it is not asked again.

    One answer shows that the host takes it: then each refusal is of one request alone.
    """

    def __init__(self) -> None:
        self._taken: set[Arm] = set()
        self._refused: dict[Arm, list[str]] = defaultdict(list)

    def note(self, arm: Arm, response: Response) -> None:
        first = response.replies[0]
        if first.status == "unsupported" and len(self._refused[arm]) < FRUITLESS:
            self._refused[arm].append(first.error or "")
        elif first.status not in ("unsupported", "failed"):
            self._taken.add(arm)

    def given_up(self, arm: Arm) -> str | None:
        """Why an arm is not asked any more, or None where it is."""
        if arm in self._taken or len(self._refused[arm]) < FRUITLESS:
            return None
        return self._refused[arm][-1]


def response_of(request: Request, context: Context, outcome: Outcome, seed: int | None) -> Response:
    """What a call brought for each sample of its request."""
    answer = outcome.answer
    if isinstance(answer, Refused):
        return no_reply(
            request,
            "unsupported" if _system_refused(request, answer) else "failed",
            answer.reason,
            context,
            attempts=tuple(outcome.tried),
            seconds=outcome.seconds,
            seed=seed,
            raw=outcome.body.decode("utf-8", "replace") or None,
            booked=outcome.tried.booked,
        )
    usage = answer.usage or Usage()
    replies = answers.replies(answer, request.indices, request.sampling.max_tokens)
    return Response(
        replies,
        context,
        received.name(answer.model),
        received.name(answer.system_fingerprint),
        received.name(answer.provider),
        received.name(answer.id),
        usage.prompt_tokens,
        usage.completion_tokens,
        seed,
        outcome.body.decode("utf-8", "replace"),
        tuple(outcome.tried),
        outcome.seconds,
        outcome.tried.booked,
        whole={reply.status for reply in replies} == _ALL_OK,
    )


def _system_refused(request: Request, refused: Refused) -> bool:
    """Whether the host refuses system messages, not this one call."""
    with_system = request.messages[0]["role"] == "system" and refused.status is not None
    return (
        with_system
        and refused.problem.fate == "fail"
        and SYSTEM_REFUSED.search(refused.reason) is not None
    )
