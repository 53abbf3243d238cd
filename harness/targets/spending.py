"""What requests cost, and caps that are never passed."""

from __future__ import annotations

import operator
from dataclasses import dataclass, field
from typing import NamedTuple

from harness.campaign import Budget, Price


class BudgetReached(Exception):
    """A cap would be passed by the next request; nothing was sent."""


class Booked(NamedTuple):
    """What requests cost: how many there were, and their tokens; unknown ones at their bound."""

    requests: int = 0
    unknown_usage: int = 0
    prompt: int = 0
    completion: int = 0

    def plus(self, other: Booked) -> Booked:
        return Booked(*map(operator.add, self, other))


@dataclass
class Spending:
    """What a run has used, and what its requests in flight may still use.

    Tokens are worst cases until they are known.
    """

    budget: Budget
    requests: int = 0
    tokens: int = 0
    money: float = 0.0
    unknown_usage: int = 0
    _flying: int = field(default=0, repr=False)
    _flying_tokens: int = field(default=0, repr=False)
    _flying_money: float = field(default=0.0, repr=False)

    def reserve(self, prompt: int, completion: int, price: Price | None) -> bool:
        """Reserve the worst case of one request; False, and nothing reserved, past a cap."""
        tokens, money, cap = prompt + completion, cost(prompt, completion, price), self.budget
        if (
            (cap.requests is not None and self.requests + self._flying + 1 > cap.requests)
            or (cap.tokens is not None and self.tokens + self._flying_tokens + tokens > cap.tokens)
            or (cap.money is not None and self.money + self._flying_money + money > cap.money)
        ):
            return False
        self._flying += 1
        self._flying_tokens += tokens
        self._flying_money += money
        return True

    def release(self, prompt: int, completion: int, price: Price | None, *, sent: bool) -> None:
        """Give a reservation back; ``sent``: the request was made and counts."""
        self._flying -= 1
        self._flying_tokens -= prompt + completion
        self._flying_money -= cost(prompt, completion, price)
        self.requests += sent

    def add(self, prompt: int, completion: int, price: Price | None, *, known: bool) -> None:
        """Book tokens; unreported usage is booked at its bound and counted as unknown."""
        self.unknown_usage += not known
        self.tokens += prompt + completion
        self.money += cost(prompt, completion, price)

    def past(self, used: Booked, price: Price | None) -> None:
        """Count what earlier sittings used."""
        self.requests += used.requests
        self.unknown_usage += used.unknown_usage
        self.tokens += used.prompt + used.completion
        self.money += cost(used.prompt, used.completion, price)


def cost(prompt: int, completion: int, price: Price | None) -> float:
    return (prompt * price.prompt + completion * price.completion) / 1e6 if price else 0.0
