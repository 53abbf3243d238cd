"""A host as it is spoken to: one attempt, then as many as patience allows, each booked.

Nothing that comes in by the wire, neither an answer's bytes nor a refusal's words, holds a secret.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, NamedTuple

from harness.campaign import RemoteTarget
from harness.errors import TargetError
from harness.targets.addresses import Addresses, address_of, addresses
from harness.targets.answers import Completion, Usage, read_completion
from harness.targets.bodies import write
from harness.targets.credentials import Credentials
from harness.targets.inner_errors import refusal
from harness.targets.pace import Pace, Tries, Used
from harness.targets.problems import PROBLEMS, STATUSES, Refused
from harness.targets.quirks import SYSTEM_REFUSED
from harness.targets.transport import Transport


class Outcome(NamedTuple):
    """What became of a call: the answer, or the last refusal; the bytes that came; the attempts."""

    answer: Completion | Refused
    body: bytes
    tried: Tries
    seconds: float


class Host:
    """The far end of an endpoint: its addresses, the wire to it, the pace at which it is asked.

    ``at`` says what a base_url means, ``read`` makes a completion of an answer's bytes.
    """

    def __init__(
        self,
        settings: RemoteTarget,
        pace: Pace,
        at: Callable[[str], Addresses] = addresses,
        read: Callable[[bytes], Completion | str] = read_completion,
    ) -> None:
        self.settings, self.pace, self.read = settings, pace, read
        self.credentials = Credentials(settings)
        self.url = address_of(settings)
        self.at = at(self.url)
        self._wire: Transport | None = None

    @property
    def wire(self) -> Transport:
        """Made when it is first used: a target that is only checked needs none."""
        if self._wire is None:
            at_most = int(self.settings.max_reply_mb * 1e6)
            headers, patience = self.credentials.headers, self.settings.timeout_s
            self._wire = Transport(self.url, headers, patience, at_most)
        return self._wire

    def use(self, wire: Transport) -> None:
        """Speak by another wire than plain HTTP."""
        self._wire = wire

    async def close(self) -> None:
        if self._wire is not None:
            await self._wire.close()

    async def call(self, url: str, body: dict[str, Any], prompt: int, completion: int) -> Outcome:
        """The answer, booked, or the last refusal where the sample fails.

        Raises
        ------
        TargetError
            A refusal that concerns the whole target.
        """
        tried, sent = Tries(), write(body)
        began = time.monotonic()
        try:
            answer, got = await self.fetch(url, sent, prompt, completion, tried)
        except Refused as refused:
            if refused.problem.fate == "stop":
                raise TargetError(
                    refused.reason,
                    where=f"target {self.settings.name}",
                    next=f"{refused.problem.mend}, and run again: what was sampled is kept",
                ) from None
            return Outcome(refused, tried.came, tried, time.monotonic() - began)
        return Outcome(answer, got, tried, time.monotonic() - began)

    async def fetch(
        self, url: str, body: bytes, prompt: int, completion: int, tried: Tries
    ) -> tuple[Completion, bytes]:
        """An answer and its bytes, booked; tried again where that may help.

        Raises as `Pace.fetch`.
        """
        got = await self.pace.fetch(lambda: self.attempt(url, body), prompt, completion, tried)
        self.pace.book(tried, *used(got[0]))
        return got

    async def aside(self, url: str, body: bytes) -> Completion:
        """A small request beside the samples, once, booked. Raises as `Pace.aside`."""
        answer, _ = await self.pace.aside(lambda: self.attempt(url, body), lambda got: used(got[0]))
        return answer

    async def attempt(self, url: str, body: bytes) -> tuple[Completion, bytes]:
        """One attempt. Raises `Refused` with what became of it."""
        try:
            got, wait = await self.wire.post(url, body)
        except Refused as refused:
            raise _for_good(refused, body) from None
        if wait:
            self.pace.gate.hold(wait, "the host's rate limit is used up")
        answer = self.read(got)
        if isinstance(answer, str):
            raise Refused(answer, PROBLEMS["json"], body=got)
        choices = answer.choices or []
        if answer.error or not choices or choices[0].error:
            told = refusal(answer.error, [choice.error for choice in choices], got)
            if told is not None:
                raise _for_good(told, body)
        if not choices:
            said = f"the answer holds no choices: {got[:80]!r}"
            raise Refused(said, PROBLEMS["choices"], body=got)
        return answer, got


def used(answer: Completion) -> Used:
    """The tokens that a host says an answer took."""
    usage = answer.usage or Usage()
    return usage.prompt_tokens, usage.completion_tokens


def _for_good(refused: Refused, body: bytes) -> Refused:
    """A refusal, which is not asked again where a template refuses the system message.

    Some servers answer that with status 500, as if they were broken.
    """
    if refused.problem.fate != "retry" or b'"role":"system"' not in body:
        return refused
    answered = refused.status is not None or refused.problem is PROBLEMS["told"]
    if not answered or not SYSTEM_REFUSED.search(refused.reason):
        return refused
    return Refused(refused.reason, STATUSES[400], status=refused.status or 400, body=refused.body)
