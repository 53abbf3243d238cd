"""Repeats of a question that are not independent, as a run's replies show it: what is said of it.

In: every scored sample of a run. Out: a `Finding` for each target and arm, and a sentence where
there is something to say. `harness.repeats` has the tests; here is what they are applied to, and
what follows: comparisons then permute whole sides of a question, so that its repeats count once,
or nothing, where all questions change together.

What counts as the same text: its letters and digits but for case, and a long one in which a word
or a stamp differs. What none of this shows: a router that keeps a question with one backend for
ever, and does not say which.
"""

from __future__ import annotations

import datetime
import hashlib
from array import array
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any, Final, Literal, NamedTuple

import msgspec
import pandas as pd

from harness import stats
from harness.counting.difference import Permuted
from harness.counting.scored import Scored
from harness.repeats import WHY, Order, letters, near, order_of, sketch
from harness.targets import told_of

Kind = Literal[
    "independent", "temperature 0", "copies", "order", "rounds", "response ids", "backends"
]
#: What a host tells of who answered.
BACKEND: Final = ("model", "fingerprint", "provider")
#: Columns of a stored samples.csv that are read.
READ: Final = ("target", "arm", "trial", "reply", "names", "sampling_json", *BACKEND)
#: Chance of a false alarm over order in a whole run, all targets and arms together.
ALPHA: Final = 0.01


class Finding(NamedTuple):
    """What the repeats of one target and arm show; ``temperature`` is None where none was sent.

    ``same_ids`` counts replies whose response id another request had before, with the same text.
    """

    temperature: float | None
    order: Order
    same_ids: int
    kind: Kind


class Dependence:
    """The findings of a run, by target and arm."""

    def __init__(self, findings: Mapping[tuple[str, str], Finding]) -> None:
        self.findings = dict(findings)

    def kind(self, target: str, arm: str) -> Kind:
        found = self.findings.get((target, arm))
        return found.kind if found else "independent"

    def columns(self, target: str, arm: str) -> dict[str, Any]:
        """What the tally says of a target and arm; nothing where no question was repeated."""
        found = self.findings.get((target, arm))
        if found is None or not found.order.pairs:
            return {}
        return {"repeats": found.kind, "same_repeats": round(found.order.same, 4)}

    def permuted(self, *sides: tuple[str, str]) -> Permuted:
        """What may be permuted where sides are compared."""
        kinds = {self.kind(*side) for side in sides}
        if "rounds" in kinds:
            return "nothing"
        return "replies" if kinds == {"independent"} else "questions"

    @property
    def notes(self) -> list[str]:
        """A sentence for each kind of finding, with the targets and arms that show it."""
        said: dict[str, list[str]] = {}
        for (target, arm), found in self.findings.items():
            if found.kind != "independent":
                said.setdefault(_sentence(found), []).append(f"{target} {arm}")
        return [f"{', '.join(sides)}: {sentence}" for sentence, sides in said.items()]


def _sentence(found: Finding) -> str:
    once = "Comparisons count its repeats of a question once."
    if found.kind == "temperature 0":
        return f"repeats at temperature 0 are the same by design. {once}"
    at = "" if found.temperature is None else f" at temperature {found.temperature:g}"
    if found.kind == "response ids":
        return f"replies came again under the response ids of earlier ones: from a cache. {once}"
    if found.kind == "copies":
        return (
            f"nearly all repeats of a question are the same text{at}, but for a word or a stamp: "
            f"copies from a cache, or a model that says but one thing; replies cannot tell which. "
            f"{once}"
        )
    said = f"repeats do not look independent{at}: {found.order.why}"
    if found.kind == "rounds":
        return f"{said}: this is not one model, and no comparison with it holds"
    return f"{said}. {once}"


class _Repeats:
    """The replies of one target and arm, in their order: codes by trial.

    ``texts``, ``sketches`` and ``names`` of what was said, ``times`` and ``backends`` as far as the
    host and the journal tell them.
    """

    def __init__(self) -> None:
        self.texts: dict[str, array[int]] = {}
        self.sketches: dict[str, array[int]] = {}
        self.names: dict[str, array[int]] = {}
        self.times: dict[str, array[int]] = {}
        self.backends: dict[str, array[int]] = {}
        self.ids, self.requests, self.said = array("q"), array("q"), array("q")
        self.sent: set[str] = set()

    def note(self, trial: str, text: str, names: str, sent: str, backend: str) -> None:
        self.texts.setdefault(trial, array("q")).append(_code(letters(text)))
        self.sketches.setdefault(trial, array("q")).append(sketch(text))
        self.names.setdefault(trial, array("q")).append(_code(names))
        self.backends.setdefault(trial, array("q")).append(_code(backend))
        self.sent.add(sent)

    def note_time(self, trial: str, saved: str) -> None:
        self.times.setdefault(trial, array("q")).append(_microseconds(saved))

    @property
    def order(self) -> Order:
        texts = [
            near(self.texts[trial], self.sketches[trial], self.names[trial]) for trial in self.texts
        ]
        names, times, backends = (
            list(one.values()) for one in (self.names, self.times, self.backends)
        )
        return order_of(texts, names, times, backends)

    def note_id(self, response: str, request: str, text: str) -> None:
        for column, value in ((self.ids, response), (self.requests, request), (self.said, text)):
            column.append(_code(value))

    @property
    def temperature(self) -> float | None:
        """The highest that was sent."""
        known = [_temperature(sent) for sent in self.sent]
        return max((t for t in known if t is not None), default=None)

    @property
    def same_ids(self) -> int:
        """Replies whose id an earlier request had, with a text that this one brought.

        0 where a host gives one id to different replies, or to all: its ids say nothing.
        """
        first: dict[int, int] = {}
        for response, request in zip(self.ids, self.requests, strict=True):
            first.setdefault(response, request)
        if len(first) < 2:
            return 0
        rows = list(zip(self.ids, self.requests, self.said, strict=True))
        brought = {(i, said) for i, request, said in rows if first[i] == request}
        again = [(i, said) for i, request, said in rows if first[i] != request]
        return len(again) if brought.issuperset(again) else 0


class Repeats:
    """Is shown every scored sample of a run, in the order of the plan."""

    def __init__(self) -> None:
        self._sides: dict[tuple[str, str], _Repeats] = {}

    def add(self, batch: Iterable[Scored]) -> None:
        for scored in batch:
            row, verdict = scored.row, scored.verdict
            if verdict is not None:
                side = self._side(row["target"], row["arm"])
                backend = told_of(*(row[name] for name in BACKEND))
                names = "|".join(verdict.names)
                side.note(row["trial"], row["text"], names, row["sent"], backend)
                side.note_time(row["trial"], row["saved"])
                if row["response_id"]:
                    request = f"{row['trial']}/{row['first']}"
                    side.note_id(row["response_id"], request, row["text"])

    def add_table(self, samples: pd.DataFrame) -> None:
        """Rows of a stored samples.csv, which has no response ids and no times."""
        wanted = samples.loc[samples["status"] == "ok", [*READ]].fillna("")
        for target, arm, trial, text, names, sent, *backend in zip(
            *(wanted[name] for name in READ), strict=True
        ):
            self._side(target, arm).note(trial, text, names, sent, told_of(*backend))

    def _side(self, target: str, arm: str) -> _Repeats:
        return self._sides.setdefault((target, arm), _Repeats())

    def found(self) -> Dependence:
        orders = [side.order for side in self._sides.values()]
        adjusted = stats.holm([order.least for order in orders])
        return Dependence(
            {
                about: _judged(side, order, p)
                for (about, side), order, p in zip(
                    self._sides.items(), orders, adjusted, strict=True
                )
            }
        )


def _judged(side: _Repeats, order: Order, p: float) -> Finding:
    temperature, same_ids = side.temperature, side.same_ids
    kind: Kind = "independent"
    if temperature == 0:
        kind = "temperature 0"
    elif same_ids:
        kind = "response ids"
    elif order.copies:
        kind = "copies"
    elif p < ALPHA:
        kind = "order"
        if order.changes < ALPHA:
            kind = "rounds"
        elif order.why == WHY["kept"]:
            kind = "backends"
    return Finding(temperature, order, same_ids, kind)


def together(*found: Dependence) -> Dependence:
    """Of several runs: what any of them shows of a target and arm stands for it."""
    findings: dict[tuple[str, str], Finding] = {}
    for one in found:
        for about, finding in one.findings.items():
            if about not in findings or findings[about].kind == "independent":
                findings[about] = finding
    return Dependence(findings)


def _code(text: str) -> int:
    digest = hashlib.blake2b(text.encode("utf-8", "replace"), digest_size=8).digest()
    return int.from_bytes(digest, "big", signed=True)


@lru_cache(maxsize=10_000)
def _microseconds(saved: str) -> int:
    """A stored time as a number."""
    try:
        return int(datetime.datetime.fromisoformat(saved).timestamp() * 1e6)
    except (ValueError, OverflowError):  # a stranger's
        return 0


@lru_cache(maxsize=1000)
def _temperature(sent: str) -> float | None:
    try:
        found: Any = msgspec.json.decode(sent).get("temperature")
    except (msgspec.DecodeError, AttributeError):
        return None
    return float(found) if isinstance(found, int | float) else None
