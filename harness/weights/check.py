"""The merge check from end to end: read in bounded memory, fit, look twice, decide.

What is read is planned first (`_job`); every tensor is fitted; some are looked at twice.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import numpy as np
import numpy.typing as npt
from threadpoolctl import threadpool_limits

from harness.errors import WeightsError
from harness.jobs import cores
from harness.weights import layers, single
from harness.weights.aligned import LOST, aligned
from harness.weights.checkpoint import Checkpoint, open_checkpoint
from harness.weights.decode import Real, significand
from harness.weights.fit import PARTS, Fit, Rounding, Sums, Worker, first_guess, solved
from harness.weights.invariants import kinships
from harness.weights.matching import Match, Matched, component_of, evenly, layer_of, match
from harness.weights.methods import Case, Tensor, Verdict
from harness.weights.signs import Look, kind_of, look, look_beside
from harness.weights.story import decide, told_in_order, told_in_vain, told_unsought

#: Stored bytes of the suspect that one task reads at most; less where the memory setting asks so.
BLOCK: Final = 8_000_000
#: Bytes of one request to a sampled tensor, at least.
REQUEST: Final = 256_000
#: The interpreter and its packages, before any weights.
RESIDENT: Final = 200_000_000
SMALLEST: Final = 300_000_000
#: Blocks that are announced ahead.
AHEAD: Final = 6
GUESS: Final = 1 << 16
#: Matrices that are looked at twice, and the numbers of each.
LOOKS, LOOK_ROWS, LOOK_NUMBERS = 24, 256, 1 << 20
REMOTE_THREADS: Final = 8


class Settings(NamedTuple):
    """How much is read, and with what.

    ``sample`` is a share of rows, ``budget`` bytes of all checkpoints together, ``memory`` bytes.
    """

    sample: float = 1.0
    budget: int | None = None
    memory: int = 1_000_000_000
    threads: int | None = None
    seed: int = 0
    cache: Path | None = None


class Progress(NamedTuple):
    """Told after every block: bytes that were read, bytes that are planned."""

    done: int
    planned: int


class Checked(NamedTuple):
    """All that was found."""

    suspect: Checkpoint
    parents: list[Checkpoint]
    matched: Matched
    tensors: list[Tensor]
    looks: dict[str, Look]
    verdict: Verdict
    sample: float
    bytes_read: int
    bytes_whole: int
    seed: int

    @property
    def unexplained(self) -> dict[str, float]:
        """Matrices that no combination of the parents explains well, and how much is left."""
        lost = [t for t in self.tensors if t.matrix and t.kind in ("unrelated", "near")]
        return {t.name: t.fit.free_residual for t in lost if t.fit.free_residual > LOST}


def check(
    suspect: str,
    parents: Sequence[str],
    settings: Settings,
    journal: Path | None = None,
    tell: Callable[[Progress], None] = lambda p: None,
) -> Checked:
    """Check a suspect against donors and a base (the last parent), or against one parent alone.

    Parameters
    ----------
    journal
        File that keeps each tensor's sums; a run that was cut off goes on from it.
        It is removed at the end.

    Raises
    ------
    WeightsError
        A checkpoint cannot be read, or nothing in it can be compared.
    """
    if not parents:
        raise WeightsError("no parent is given", next="write --parents DONOR BASE, or --parents X")
    if settings.memory < SMALLEST:
        raise WeightsError(
            f"{settings.memory / 1e6:.0f} MB are too little: "
            f"Python with its packages needs {RESIDENT / 1e6:.0f} MB itself",
            next=f"write --memory {SMALLEST / 1e6:.0f}MB or more",
        )
    # a whole checkpoint is not kept a second time
    cache = settings.cache if settings.sample < 1 or settings.budget else None
    mine, *theirs = (open_checkpoint(place, cache) for place in (suspect, *parents))
    _not_twice(theirs)
    mine, *theirs = _apart([mine, *theirs])
    if len(theirs) == 1:
        theirs = [theirs[0], single.nothing(theirs[0])]
    depths = {layers.count(one) for one in (mine, *theirs)}
    stacked = layers.aligned(mine, theirs) if len(depths) > 1 else None
    with threadpool_limits(1):
        checked = _checked(mine, theirs, stacked, settings, journal, tell)
        lost = sum(t.kind == "unrelated" for t in checked.tensors if t.matrix)
        if stacked is None and lost and (stacked := layers.aligned(mine, theirs)) is not None:
            again = _checked(mine, theirs, stacked, settings, journal, tell)
            checked = again._replace(bytes_read=again.bytes_read + checked.bytes_read)
        elif stacked is None and checked.unexplained:
            checked = _in_order(checked, mine, theirs, settings, journal, tell)
    if journal is not None:
        journal.unlink(missing_ok=True)
    return checked._replace(parents=checked.parents[: len(parents)])


def _in_order(
    checked: Checked,
    mine: Checkpoint,
    theirs: list[Checkpoint],
    settings: Settings,
    journal: Path | None,
    tell: Callable[[Progress], None],
) -> Checked:
    """Fit again with rows and columns in the parents' order, if they stand in another."""
    if checked.sample < 1 or any(one.remote for one in (mine, *theirs)):
        return checked._replace(verdict=told_unsought(checked.verdict))
    found = aligned(mine, theirs, checked.unexplained)
    if found.checkpoint is None:
        return checked._replace(verdict=told_in_vain(checked.verdict, found))
    again = _checked(found.checkpoint, theirs, None, settings, journal, tell)
    read, renamed = checked.bytes_read + again.bytes_read, checked.matched.renamed
    matched = again.matched._replace(renamed=[*renamed, *again.matched.renamed])
    verdict = told_in_order(again.verdict, found)
    return again._replace(bytes_read=read, matched=matched, verdict=verdict)


def _not_twice(parents: Sequence[Checkpoint]) -> None:
    """Parents that are one and the same file say nothing of a blend."""
    seen: set[str] = set()
    for one in parents:
        place = one.where if one.remote else os.path.realpath(one.where)
        if place in seen:
            raise WeightsError(
                f"{one.label} is given twice as a parent: a blend needs two that differ",
                where=one.where,
                next="write --parents DONOR BASE",
            )
        seen.add(place)


def _apart(all_of_them: list[Checkpoint]) -> list[Checkpoint]:
    """Labels that tell checkpoints apart, without the whole path: labels are published."""
    places = list(dict.fromkeys((one.label, one.where) for one in all_of_them))
    named: dict[str, str] = {}
    for label, where in places:
        twice = sum(label == other for other, _ in places) > 1
        longer = "/".join(where.rstrip("/").split("/")[-2:]) if twice else label
        named[where] = f"{longer} ({len(named) + 1})" if longer in named.values() else longer
    return [one._replace(label=named[one.where]) for one in all_of_them]


def _checked(
    mine: Checkpoint,
    theirs: list[Checkpoint],
    stacked: dict[int, tuple[int, ...]] | None,
    settings: Settings,
    journal: Path | None,
    tell: Callable[[Progress], None],
) -> Checked:
    matched = match(mine, theirs, stacked)
    whole = sum(m.bytes_of(m.suspect.rows) for m in matched.matches)
    sample = settings.sample
    if settings.budget:  # a tenth of it is for the second look
        sample = min(sample, max(1e-9, 0.9 * settings.budget / whole))
    threads = _threads(settings, mine, theirs)
    jobs = [_job(m, sample, settings, threads) for m in matched.matches]
    files = [[one.digest, *(s.identity() for s in one.sources)] for one in (mine, *theirs)]
    key = hashlib.sha256(repr([sample, settings.seed, stacked, *files]).encode()).hexdigest()
    fits, read = _fits(jobs, threads, _Journal(journal, key), tell)
    tensors = [_tensor(m, fit) for m, fit in zip(matched.matches, fits, strict=True)]
    alone = theirs[-1].digest == single.NOTHING
    looks, looked = _looks(matched.matches, tensors, threads, settings.budget, alone)
    labels = [one.label for one in theirs]
    lost = any(t.kind == "unrelated" and t.component == "attention" for t in tensors)
    kin = kinships(mine, theirs[:1] if alone else theirs) if lost else []
    case = Case(tensors, looks, labels, stacked, mine.label)
    verdict = (single.judged if alone else decide)(case, matched.compared, kin)
    return Checked(
        mine, theirs, matched, tensors, looks, verdict, sample, read + looked, whole, settings.seed
    )


def _tensor(m: Match, fit: Fit) -> Tensor:
    return Tensor(
        m.name,
        component_of(m.name),
        layer_of(m.name),
        m.suspect.columns > 1,
        m.suspect.quantised,
        fit,
        kind_of(fit, m.suspect.quantised),
    )


def _threads(settings: Settings, mine: Checkpoint, theirs: Sequence[Checkpoint]) -> int:
    if settings.threads:
        return settings.threads
    if any(one.remote for one in (mine, *theirs)):
        return REMOTE_THREADS
    return cores()


class _Mine(threading.local):
    """What one thread works with: made once, for fresh memory costs more than the sums."""

    def __init__(self) -> None:
        self._held: tuple[int, Any, Worker, list[npt.NDArray[np.uint8]]] | None = None

    def get(self, k: int, kind: Any) -> tuple[Worker, list[npt.NDArray[np.uint8]]]:
        if self._held is None or self._held[:2] != (k, kind):
            self._held = k, kind, Worker(k, kind), [np.empty(BLOCK, np.uint8) for _ in range(k + 2)]
        return self._held[2:]


_MINE: Final = _Mine()


class _Job:
    """One tensor: the runs of rows that are read of it, and its sums so far."""

    def __init__(self, m: Match, runs: list[tuple[int, int]]) -> None:
        self.match, self.runs = m, runs
        self.kind = np.float64 if any(p.wide for p in m.pieces) else np.float32
        self.bits = m.suspect.bits
        self.sums: dict[int, Sums] = {}
        self.kept: Rounding | None = None
        self._guess: npt.NDArray[np.float64] | None = None
        self._lock = threading.Lock()

    def guess(self) -> npt.NDArray[np.float64]:
        """A first fit, from some rows in several places; made once."""
        with self._lock:
            if self._guess is None:
                s, *parents, b = self._some()
                self._guess = first_guess(s, parents, b)
                if self.bits == 24:
                    self.bits = significand(s.astype(np.float32))
                mine = self.match.suspect
                follows = not mine.quantised and not mine.turned
                self.kept = Rounding(parents, b, self.bits if follows else 0)
        return self._guess

    def _some(self) -> list[Real]:
        """Some rows of each checkpoint, from several places of what is read."""
        shortest = min(rows for _, rows in self.runs)
        each = max(1, min(GUESS // PARTS // self.match.suspect.columns, shortest))
        places = sorted({self.runs[round(i)][0] for i in np.linspace(0, len(self.runs) - 1, PARTS)})
        if len(places) < PARTS:  # few runs: places within the first
            first, rows = self.runs[0]
            places = sorted({first + round(i) for i in np.linspace(0, max(0, rows - each), PARTS)})
        read = (self.read(place, each) for place in places)
        return [np.concatenate(parts) for parts in zip(*read, strict=True)]

    def read(self, first: int, rows: int) -> list[Real]:
        """Rows of the suspect, the donors and the base."""
        made = [np.empty((rows, piece.columns), self.kind) for piece in self.match.pieces]
        with self._told():
            for piece, out in zip(self.match.pieces, made, strict=True):
                piece.read(first, out)
        return made

    def work(self, number: int) -> Sums:
        first, rows = self.runs[number]
        guess = self.guess()
        k, columns = len(self.match.parents) - 1, self.match.suspect.columns
        worker, buffers = _MINE.get(k, self.kind)
        sums = Sums(k, columns)
        with self._told():
            models = [
                piece.open(first, rows, buffer)
                for piece, buffer in zip(self.match.pieces, buffers, strict=True)
            ]
        try:
            worker.add(sums, models, rows, columns, guess, self.bits)
        except OverflowError:
            raise WeightsError(
                f"tensor {self.match.name}: its numbers are so large "
                "that their squares have no value",
                next="check the file: no working model holds such numbers",
            ) from None
        return sums

    @contextmanager
    def _told(self) -> Iterator[None]:
        """An error of reading says of which tensor."""
        try:
            yield
        except WeightsError as problem:
            raise WeightsError(
                f"tensor {self.match.name}: {problem.what}", where=problem.where, next=problem.next
            ) from None

    def bytes_of(self, number: int) -> int:
        return self.match.bytes_of(self.runs[number][1])

    def fit(self) -> Fit:
        total = self.sums[0]
        for number in range(1, len(self.runs)):
            total.add(self.sums[number])
        self.sums.clear()
        found = solved(total, self.guess(), self.match.elements, self.kept)
        self.kept = None
        return found


def _job(m: Match, sample: float, settings: Settings, threads: int) -> _Job:
    """Which rows are read: all, or runs of neighbours at seeded places.

    Of runs there is one in each of equal parts of the tensor.
    """
    piece = m.suspect
    width = max(p.row_bytes for p in m.pieces)
    room = max(1.0, (settings.memory - RESIDENT) / (2 * threads))  # half is slack for the allocator
    most = max(1, int(min(BLOCK, room / (len(m.parents) + 1)) / width))
    run = min(most, piece.rows, max(1, math.ceil(REQUEST / max(1.0, piece.row_bytes))))
    runs = max(1, round(sample * piece.rows / run))
    if runs == 1:
        telling = min(piece.rows, math.ceil(4096 / piece.columns))
        run = min(run, max(1, math.ceil(sample * piece.rows), telling))
    if sample >= 1 or runs * run >= piece.rows:
        return _Job(m, [(at, min(most, piece.rows - at)) for at in range(0, piece.rows, most)])
    seed = hashlib.sha256(f"{settings.seed} {m.name}".encode()).digest()[:8]
    rng = np.random.default_rng(int.from_bytes(seed, "big"))
    edges = np.linspace(0, piece.rows, runs + 1).astype(int)
    places = [
        (int(a + rng.integers(0, max(1, b - a - run + 1))), min(run, int(b - a)))
        for a, b in itertools.pairwise(edges)
    ]
    return _Job(m, places)


class _Journal:
    """The fits of tensors that are done, a line each, under a first line that says of what."""

    def __init__(self, path: Path | None, key: str) -> None:
        self.path, self.done = path, {}
        if path is None:
            return
        lines = path.read_bytes().splitlines() if path.is_file() else []
        if lines and lines[0].decode("utf-8", "replace") == key:
            for line in lines[1:]:
                try:
                    name, fit = msgspec.json.decode(line, type=tuple[str, Fit])
                except msgspec.DecodeError:  # the last line of a run that was killed
                    continue
                self.done[name] = fit
        kept = (msgspec.json.encode((name, fit)) for name, fit in self.done.items())
        self._write("wb", key.encode(), *kept)

    def add(self, name: str, fit: Fit) -> None:
        if self.path is not None and all(map(math.isfinite, _numbers(fit))):
            self._write("ab", msgspec.json.encode((name, fit)))

    def _write(self, mode: str, *lines: bytes) -> None:
        assert self.path is not None
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open(mode) as out:
                out.write(b"".join(line + b"\n" for line in lines))
        except OSError as problem:
            raise WeightsError(
                f"what was found cannot be kept: {problem.strerror}",
                where=str(self.path),
                next="free some space, or choose another folder with --out",
            ) from None


def _numbers(fit: Fit) -> Iterator[float]:
    for value in fit:
        if isinstance(value, tuple):
            yield from value
        else:
            yield value


def _fits(
    jobs: list[_Job], threads: int, journal: _Journal, tell: Callable[[Progress], None]
) -> tuple[list[Fit], int]:
    """The fit of every tensor, worked on by some threads; and the bytes that were read.

    Sums are put together in the order of rows, so threads change no digit.
    """
    fits: dict[int, Fit] = {
        number: journal.done[job.match.name]
        for number, job in enumerate(jobs)
        if job.match.name in journal.done
    }
    places = [(j, r) for j, job in enumerate(jobs) for r in range(len(job.runs))]
    owed = _announced(jobs, [(j, r) for j, r in places if j not in fits])
    planned = sum(jobs[j].bytes_of(r) for j, r in places)
    done = sum(jobs[j].bytes_of(r) for j, r in places if j in fits)
    read = 0
    running: dict[Future[Sums | Fit], tuple[int, int | None]] = {}
    pool = ThreadPoolExecutor(threads)
    try:
        while True:
            while len(running) < threads and (place := next(owed, None)) is not None:
                running[pool.submit(jobs[place[0]].work, place[1])] = place
            if not running:
                break
            for future in wait(running, return_when=FIRST_COMPLETED).done:
                j, r = running.pop(future)
                job, result = jobs[j], future.result()
                if isinstance(result, Fit):
                    fits[j] = result
                    journal.add(job.match.name, result)
                    continue
                assert r is not None
                job.sums[r] = result
                read += job.bytes_of(r)
                tell(Progress(done + read, planned))
                if len(job.sums) == len(job.runs):
                    running[pool.submit(job.fit)] = j, None
    finally:
        pool.shutdown(cancel_futures=True)
    return [fits[number] for number in range(len(jobs))], done + read


def _announced(jobs: list[_Job], places: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Places one after the other, while the system is told some ahead what will be read.

    So the disk works while the sums are made.
    """
    for number, place in enumerate(places):
        last = number + AHEAD
        for j, r in places[last if number else 0 : last + 1]:
            for piece in jobs[j].match.pieces:
                piece.announce(*jobs[j].runs[r])
        yield place


def _looks(
    matches: list[Match],
    tensors: list[Tensor],
    threads: int,
    budget: int | None,
    alone: bool = False,
) -> tuple[dict[str, Look], int]:
    """A second look at some matrices, by name; with the bytes that it read.

    They are spread over the model, and differ from base and donors.
    """
    open_questions = [
        (m, t.kind != "blend")
        for m, t in zip(matches, tensors, strict=True)
        if t.matrix and t.kind in ("near", "arc", "blend") and m.suspect.rows > 1
    ]
    chosen = evenly(open_questions, LOOKS)
    each = budget / 10 / max(1, len(chosen)) if budget else math.inf

    def rows_of(m: Match, ranks: bool) -> int:
        numbers = LOOK_NUMBERS if ranks else LOOK_NUMBERS // 8
        paid = int(min(1e9, each / m.row_bytes))
        return max(1, min(m.suspect.rows, LOOK_ROWS, numbers // m.suspect.columns, paid))

    def one(place: tuple[Match, bool]) -> Look:
        m, ranks = place
        rows = rows_of(m, ranks)
        job = _Job(m, [((m.suspect.rows - rows) // 2, rows)])
        job.guess()
        s, *parents, b = job.read(*job.runs[0])
        if alone:
            return look_beside(s, parents[0], job.bits, ranks)
        return look(s, parents, b, job.bits, ranks)

    with ThreadPoolExecutor(threads) as pool:
        looks = dict(zip((m.name for m, _ in chosen), pool.map(one, chosen), strict=True))
    return looks, sum(m.bytes_of(rows_of(m, ranks)) for m, ranks in chosen)
