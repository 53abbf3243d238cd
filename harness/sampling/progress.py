"""How far a run is: counts by target, for whoever watches."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from harness.sampling.stopping import Decision
from harness.targets import Gate


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
    """Counts by target.

    ``changed`` is called after each commit, ``noted`` for what a log should say, ``told`` for what
    whoever waits should know at once: of which target, and what.
    """

    targets: dict[str, Counts]
    resumed: int = 0
    stopped: str | None = None
    decisions: dict[tuple[str, str], Decision] = field(default_factory=dict)
    doubts: dict[tuple[str, str], str] = field(default_factory=dict)
    changed: Callable[[], None] = field(default=lambda: None)
    noted: Callable[[str, dict[str, Any]], None] = field(default=lambda event, about: None)
    told: Callable[[str, str], None] = field(default=lambda target, said: None)

    def decided(self, target: str, arm: str, decision: Decision) -> None:
        """An arm needs no further samples."""
        self.decisions[target, arm] = decision
        self.noted("decided", {"target": target, "arm": arm, **decision._asdict()})

    def doubted(self, target: str, arm: str, why: str) -> None:
        """An arm could have been stopped, and is sampled in full, for its repeats do not pass."""
        self.doubts[target, arm] = why
        self.told(target, f"{arm} is sampled in full: {why}")

    def say(self, target: str, word: str) -> None:
        """Tell what a target is doing; no word: it is sampled."""
        self.targets[target].said = word
        self.noted("target", {"target": target, "state": word or "sampling"})
        self.changed()
