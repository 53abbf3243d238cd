"""What a run still owes: samples that are in the plan and not in the journal, by blocks."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from harness.campaign import Plan, Stop
from harness.journal import Journal
from harness.sampling.progress import Counts
from harness.sampling.stopping import Answer, Early, NamesIn, Stopping

#: Trials whose blocks in the journal are looked up at a time.
LOOK_AHEAD: Final = 2000


class Block(NamedTuple):
    """Samples of one trial that are owed together."""

    position: int
    indices: range


class Owed:
    """What one target owes; ``size`` is how many samples a block has at most."""

    def __init__(
        self, journal: Journal, plan: Plan, target: str, counts: Counts, size: int
    ) -> None:
        self.journal, self.plan, self.counts, self.size = journal, plan, counts, size
        self.positions = plan.positions(target)
        self.resumed = counts.done > 0

    def blocks(self) -> Iterator[Block]:
        """Blocks in the order of the plan; the journal is asked a stretch of trials at a time."""
        for start in range(self.positions.start, self.positions.stop, LOOK_AHEAD):
            stretch = range(start, min(start + LOOK_AHEAD, self.positions.stop))
            done = self.journal.done(stretch) if self.resumed else {}
            for position in stretch:
                samples = self.plan.samples(position)
                held = done.get(position, ())
                for first in range(0, samples, self.size):
                    block = range(first, min(first + self.size, samples))
                    yield from (Block(position, part) for part in missing(block, held))

    def in_rounds(self, stopping: Early) -> Iterator[Block]:
        """What asks for the name, a sample of each question after the other, then the rest.

        An arm whose case is clear owes no more of it.
        """
        done = self.journal.done(self.positions) if self.resumed else {}
        for position, number in stopping.order():
            if not missing(range(number, number + 1), done.get(position, ())):
                continue
            if stopping.wants(position):
                yield Block(position, range(number, number + 1))
            else:
                self.counts.planned -= 1
        yield from (block for block in self.blocks() if block.position not in stopping.arms)

    def note_held(self, stopping: Early) -> None:
        """What the journal holds already counts."""
        if self.resumed:
            for held in self.journal.replies(self.positions):
                answer = Answer(held.replies, held.response_id, held.backend)
                stopping.note(held.position, answer)


def owing(
    journal: Journal, plan: Plan, rule: Stop | None, names_in: NamesIn
) -> Iterator[tuple[str, str, int]]:
    """(target, arm, samples) of what the next sitting would ask for, where it is any.

    An arm that ``rule`` has stopped owes nothing.
    """
    for target in (t.name for t in plan.campaign.targets):
        counts = Counts(plan.samples_per_target, done=1)
        owed = Owed(journal, plan, target, counts, plan.samples_per_target)
        if rule:
            stopping = Stopping(rule, plan, target, names_in)
            owed.note_held(stopping)
            blocks = owed.in_rounds(stopping)
        else:
            blocks = owed.blocks()
        by_arm: Counter[str] = Counter()
        for block in blocks:
            by_arm[plan.arm(block.position).label] += len(block.indices)
        yield from ((target, arm, samples) for arm, samples in by_arm.items())


def missing(block: range, held: Sequence[range]) -> list[range]:
    """The parts of a block that no stored block holds.

    Blocks may have been of another size when the run was begun, by another truename.

    >>> missing(range(0, 8), [range(2, 4), range(6, 12)])
    [range(0, 2), range(4, 6)]
    """
    parts, at = [], block.start
    for stored in sorted(held, key=lambda stored: stored.start):
        if stored.start > at:
            parts.append(range(at, min(stored.start, block.stop)))
        at = max(at, stored.stop)
        if at >= block.stop:
            break
    if at < block.stop:
        parts.append(range(at, block.stop))
    return [part for part in parts if part]
