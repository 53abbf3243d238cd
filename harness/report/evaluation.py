"""How right the classifier is, as people see it: tables for the terminal, a reliability plot."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from harness.console import plain
from harness.counting.counted import STANCES
from harness.counting.evaluate import PARTS, Found, Rate, Shares, confusion_rates, macro_f1, right
from harness.stats import wilson
from harness.tables import write_bytes


def show_evaluation(console: Console, found: Found, worst: int) -> None:
    """Print every table, and the worst errors."""
    console.print(_decisions(found))
    table = _table("\nconfusion: label (row) and verdict (column)", "", *STANCES)
    for a in STANCES:
        table.add_row(a, *(str(found.confusion[a, b]) for b in STANCES))
    console.print(table)
    about = "\nstance, names and makers all right, by trap"
    table = _table(about, "trap", "replies", "right")
    for name, rate in found.traps.items():
        table.add_row(name, str(rate.of), str(rate))
    console.print(table)
    console.print(f"\nreplies with a false name that no book lists: {found.false_unlisted} %")
    for title, shares in (("words", found.lengths), ("language", found.languages)):
        console.print(_by(title, shares))
    if found.ambiguous:
        console.print(f"\n{found.ambiguous} ambiguous labels were left out")
    brier = "" if found.brier is None else f": Brier score {found.brier:.4f}"
    table = _table(f"\ncalibration of claims{brier}", "said", "true", "claims")
    for mean, held, claims in found.reliability:
        table.add_row(f"{mean:.2f}", str(Rate(held, claims)), str(claims))
    console.print(table)
    _print_errors(console, found, worst)


def _by(title: str, shares: dict[str, Shares]) -> Table:
    """What share of the replies of each group is right; the last column with its interval."""
    heads = ("stance", "names", "makers", "base", "denied", "false names", "all three")
    table = _table(f"\nwhole set right (%), by {title}", title, "replies", *heads)
    for name, some in shares.items():
        *parts, both = some
        cells = (f"{100 * rate.hits / rate.of:.1f}" for rate in parts)
        table.add_row(name, str(both.of), *cells, str(both))
    return table


def _decisions(found: Found) -> Table:
    columns = ("what", "precision", "recall", "F1", "whole set right")
    table = _table("decisions (%, 95 % Wilson interval)", *columns)
    stances = {f"stance {stance}": found.stances[stance] for stance in STANCES}
    others = {"names that no book lists": found.unlisted}
    for name, score in {**stances, **found.parts, **others, "hedged": found.hedged}.items():
        f1 = "NA" if score.f1 is None else f"{score.f1:.3f}"
        exact = str(found.exact.get(name, ""))
        table.add_row(name, str(score.precision), str(score.recall), f1, exact)
    table.add_row("stance, all", "", "", f"{macro_f1(found):.3f} macro", str(found.exact["stance"]))
    return table


def _print_errors(console: Console, found: Found, worst: int) -> None:
    """The replies with an error, those first in which the classifier was surest."""
    errors = [j for j in found.judged if not right(j)]
    errors.sort(key=lambda j: -max((e.probability for e in j.verdict.evidence), default=0.0))
    head = f"{len(errors)} replies with an error; the surest first:" if errors else "no errors"
    console.print(f"\n{head}")
    for j in errors[:worst]:
        said = {part: getattr(j.verdict, part) for part in PARTS if getattr(j.verdict, part)}
        wanted = {part: tuple(getattr(j.label, part)) for part in PARTS if getattr(j.label, part)}
        reply = plain(" ".join(j.label.reply.split()))[:160]
        lines = (
            f"{j.label.id} [{j.label.trap}] {reply}",
            f"  label {j.label.stance} {wanted}",
            f"  verdict {j.verdict.stance} {said}",
        )
        console.print(Text("\n".join(lines)))


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    for number, column in enumerate(columns):
        table.add_column(column, justify="right" if number else "left", no_wrap=True)
    return table


def write_evaluation(found: Found, folder: Path) -> list[Path]:
    """Write `confusion.json` and `reliability.svg`; returns their paths."""
    rates = msgspec.json.format(msgspec.json.encode(confusion_rates(found)), indent=1)
    plot = _plot(found.reliability).encode()
    made = []
    for name, content in (("confusion.json", rates), ("reliability.svg", plot)):
        write_bytes(content + b"\n", folder / name)
        made.append(folder / name)
    return made


def _plot(reliability: Sequence[tuple[float, int, int]]) -> str:
    """A reliability plot: said probability across, share that holds up, with Wilson bars."""
    size, edge = 320, 40

    def x(p: float) -> float:
        return edge + p * size

    def y(p: float) -> float:
        return edge + (1 - p) * size

    parts = [
        f'<line x1="{x(0)}" y1="{y(0)}" x2="{x(1)}" y2="{y(1)}" '
        'stroke="#999" stroke-dasharray="4"/>'
    ]
    for mean, held, claims in reliability:
        low, high = wilson(held, claims)
        parts.append(
            f'<line x1="{x(mean):.1f}" y1="{y(low):.1f}" x2="{x(mean):.1f}" y2="{y(high):.1f}" '
            'stroke="#1f5fa8" stroke-width="2"/>'
            f'<circle cx="{x(mean):.1f}" cy="{y(held / claims):.1f}" r="4" fill="#1f5fa8">'
            f"<title>{held} of {claims}</title></circle>"
        )
    marks = "".join(
        f'<text x="{x(p):.0f}" y="{y(0) + 18:.0f}" text-anchor="middle">{p:g}</text>'
        f'<text x="{x(0) - 8:.0f}" y="{y(p) + 4:.0f}" text-anchor="end">{p:g}</text>'
        for p in (0, 0.5, 1)
    )
    frame = (
        f'<rect x="{x(0)}" y="{y(1)}" width="{size}" height="{size}" fill="none" stroke="#444"/>'
    )
    title = (
        '<text x="200" y="24" text-anchor="middle">'
        "Claims that hold, by the probability given to them</text>"
    )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 400 400" font-family="sans-serif" '
        f'font-size="12">{frame}{marks}{title}{"".join(parts)}</svg>'
    )
