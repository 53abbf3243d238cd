"""Asking a target the battery: a run like any other, which ends once the answers decide."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

from harness.campaign import Loaded, Plan, Settings, without_credentials
from harness.errors import LineupError
from harness.journal import campaign_of, find_run
from harness.lineup import battery as batteries
from harness.lineup.answers import Answered, answers_of, cell_of, order, read, reference_of
from harness.lineup.battery import Battery
from harness.lineup.references import Reference
from harness.lineup.verdict import ALPHA, Lineup, Verdict, judged
from harness.sampling import Answer, Decision, Sat, Sitting, sit

BUDGET: Final = 80
#: Answers to each question that a comparison of two targets is to have of either.
EACH: Final = 6
#: Seeds of the samples of known models and of suspects.
KNOWN, SUSPECTS = 0, 1


class Asked(NamedTuple):
    """A verdict, and the run that it rests on."""

    verdict: Verdict
    run: str
    stopped: str | None


class _Until:
    """Asks in the order that was fixed beforehand, until the budget is spent or all is clear.

    Answers are read in that order too, whichever comes first.
    """

    def __init__(self, plan: Plan, target: str, budget: int, lineup: Lineup | None) -> None:
        self.plan, self.budget, self.lineup = plan, budget, lineup
        self.arms = {p: plan.arm(p).label for p in plan.positions(target)}
        self._order = order(plan, target)
        self._at = self._read = 0
        self._came: dict[tuple[int, int], Answered] = {}

    def order(self) -> Iterator[tuple[int, int]]:
        for self._at, pair in enumerate(self._order, 1):  # noqa: B020 (wants() looks where it is)
            yield pair

    def wants(self, position: int) -> bool:
        return self._at <= self.budget and not (self.lineup is not None and self.lineup.sure)

    def note(self, position: int, answer: Answer) -> Decision | None:
        cell = cell_of(self.plan, position)
        for reply in answer.replies:
            self._came[position, reply.index] = read(reply, cell)
        while self._read < len(self._order) and self._order[self._read] in self._came:
            if self.lineup is not None:
                self.lineup.see(self._came[self._order[self._read]])
            self._read += 1
        return None

    def fresh_doubts(self) -> Iterator[tuple[str, str]]:
        return iter(())


def ask(
    target: Settings,
    references: Sequence[Reference],
    battery: Battery,
    *,
    claim: str | None = None,
    budget: int = BUDGET,
    alpha: float = ALPHA,
    results: Path = Path("results"),
    run: str | None = None,
    store: str | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Asked:
    """Ask a target the battery until its answers decide or the budget is spent.

    Parameters
    ----------
    claim:
        The model that it is said to be: one of the references. Without it, the nearest is named.
    budget:
        Samples at most.

    Raises
    ------
    TruenameError
        The claim is no reference, or the target cannot be asked.
    """
    if claim is not None and claim not in {one.model for one in references}:
        raise LineupError(
            f"no reference is of '{claim}'",
            next="truename references list tells which there are; references make makes one",
        )
    samples = -(-budget // battery.cells)
    loaded = batteries.campaign(
        run or f"lineup-{target.name}", [target], battery, samples, SUSPECTS
    )
    sat = _sit(loaded, results, store, say, budget, lambda: Lineup(references, claim, alpha))
    return Asked(
        judged(_answers(loaded, sat.run, target.name, results, store), references, claim, alpha),
        *sat,
    )


def against(
    target: Settings,
    trusted: Settings,
    seed: int,
    *,
    budget: int = BUDGET,
    alpha: float = ALPHA,
    results: Path = Path("results"),
    run: str | None = None,
    store: str | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Asked:
    """Ask two targets the same fresh battery at the same time, and compare their answers.

    Each is asked ``budget`` times; of few languages, so that each question has answers enough.
    """
    whole = batteries.fresh(seed)
    each = whole.cells // len(whole.languages)
    languages = whole.languages[: max(1, budget // (each * EACH))]
    battery = batteries.fresh(seed, languages)
    suspect = target.model_copy(update={"name": "suspect", "role": "suspect"})
    other = trusted.model_copy(update={"name": "trusted", "role": "donor"})
    samples = -(-budget // battery.cells)
    name = run or f"lineup-against-{seed}"
    loaded = batteries.campaign(name, [suspect, other], battery, samples, SUSPECTS)
    sat = _sit(loaded, results, store, say, budget, None)
    mine, theirs = (
        _answers(loaded, sat.run, one, results, store) for one in ("suspect", "trusted")
    )
    reference = reference_of(theirs, model="trusted", host="", date="", arm="")
    return Asked(judged(mine, [reference], "trusted", alpha), *sat)


def make(
    target: Settings,
    battery: Battery,
    *,
    model: str,
    samples: int,
    results: Path = Path("results"),
    run: str | None = None,
    store: str | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> tuple[Reference, str | None]:
    """A reference of a target, asked the whole battery; and why it is not whole, if so."""
    loaded = batteries.campaign(run or f"reference-{model}", [target], battery, samples, KNOWN)
    sat = _sit(loaded, results, store, say, None, None)
    return reference_from(sat.run, model=model, results=results, store=store), sat.stopped


def reference_from(
    run: str, *, model: str, results: Path, store: str | None, target: str | None = None
) -> Reference:
    """A reference of the answers that a run holds of a target (the first, if none is named)."""
    found = find_run(run, results, store)
    campaign = campaign_of(found)
    settings = campaign.target(target) if target else campaign.targets[0]
    plan = Plan(Loaded(campaign, "", found.folder))
    answers = answers_of(found.journal, plan, settings.name)
    host = without_credentials(getattr(settings, "base_url", None) or settings.engine)
    day = datetime.now(UTC).date().isoformat()
    return reference_of(answers, model=model, host=host, date=day, arm=campaign.arms[0])


def _sit(
    loaded: Loaded,
    results: Path,
    store: str | None,
    say: Callable[[str], None],
    budget: int | None,
    lineup: Callable[[], Lineup] | None,
) -> Sat:
    def early(plan: Plan, target: str) -> _Until:
        assert budget is not None
        return _Until(plan, target, budget, lineup() if lineup else None)

    sitting = Sitting(loaded, loaded.campaign.campaign, results, store)
    return sit(sitting, say, _no_names, early if budget is not None else None)


def _no_names(texts: Sequence[str | None]) -> Sequence[Sequence[str]]:
    return [[] for _ in texts]


def _answers(
    loaded: Loaded, run: str, target: str, results: Path, store: str | None
) -> list[Answered]:
    found = find_run(run, results, store)
    return answers_of(found.journal, Plan(loaded), target)
