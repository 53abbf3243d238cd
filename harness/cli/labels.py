"""The commands by which people, or a model as a judge, read a run's replies and label them."""

from __future__ import annotations

import contextlib
import getpass
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from harness.cli import exits
from harness.cli.options import RESULTS, STORE, console, say, told_plainly

if TYPE_CHECKING:
    from harness.counting import Label, Shown, Stance
    from harness.journal import Run

#: Keys of the stances, and what else may be pressed.
KEYS: Final[dict[str, Stance]] = {"c": "claims", "d": "denies", "r": "refuses", "n": "none"}
HELP: Final = "[c]laims  [d]enies  [r]efuses  [n]one   [b]ack  [s]kip  [q]uit"
MEANING: Final = (
    "claims: it says a name, a maker or a base of its own; denies: it says only what it is not;\n"
    "refuses: it will not or cannot say who it is; none: it says nothing of who it is.\n"
    "Identities: ids, names or aliases of the identity book, or any other name; commas between\n"
    "them; Tab completes, Enter alone is none. All that is answered is saved at once."
)


@click.command(short_help="Read some replies, so that intervals hold")
@click.argument("run")
@click.option(
    "--n",
    "number",
    type=click.IntRange(min=1),
    default=60,
    show_default=True,
    help="How many replies to draw; with more than before, further ones are drawn.",
)
@click.option("--seed", type=click.IntRange(min=0), help="Of the draw; default: 1.")
@click.option(
    "--labeller", metavar="NAME", help="Who reads: a name or pseudonym; default: your login."
)
@click.option(
    "--html",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Write one page to read the replies on, offline; it saves a file for --add.",
)
@click.option(
    "--add",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Take a file that such a page saved into the run.",
)
@RESULTS
@STORE
@told_plainly
def label(
    run: str,
    number: int,
    seed: int | None,
    labeller: str | None,
    html: Path | None,
    add: Path | None,
    results: Path,
    store: str | None,
) -> None:
    """Read a random part of a run's replies, without their verdicts, and say what they say.

    Rates are then estimated so that their intervals hold whatever the classifier errs in
    (docs/labels.md). The same command goes on where it was.
    """
    from harness import counting
    from harness.journal import campaign_of, find_run
    from harness.report import write_sheet

    if html and add:
        raise click.UsageError("--html writes a page, --add takes what it saved: give one of them")
    opened = find_run(run, results, store)
    who = counting.checked_labeller(labeller or _login())
    drawn = counting.drawn_for(opened, campaign_of(opened), number, seed)
    if html:
        write_sheet(opened, drawn, labeller and who, html)
        click.echo(f"{html}\nthen: truename label {run} --add THE-FILE-THAT-IT-SAVED")
        return
    if add:
        new = counting.add_labels(opened.folder, drawn, add)
        click.echo(f"{new} new labels in {opened.folder / counting.LABELS}")
    else:
        _read(opened, list(counting.to_read(opened, drawn, who)), len(drawn.samples), who)

    for line in counting.agreement_lines(counting.agreement_of_labels(opened, drawn)):
        say(line)
    click.echo(f"next: truename report {run}")


@click.command(short_help="Let a target label replies: a second opinion")
@click.argument("run")
@click.option("--target", required=True, metavar="NAME", help="The target that judges.")
@click.option(
    "--campaign",
    metavar="FILE",
    help="The campaign in which this target stands; default: the one that the run was begun with.",
)
@click.option(
    "--n",
    "number",
    type=click.IntRange(min=1),
    default=300,
    show_default=True,
    help="How many replies it judges in all.",
)
@click.option(
    "--seed", type=click.IntRange(min=0), help="Of the draw; default: that of people's, else 1."
)
@RESULTS
@STORE
@told_plainly
def judge(
    run: str,
    target: str,
    campaign: str | None,
    number: int,
    seed: int | None,
    results: Path,
    store: str | None,
) -> None:
    """Let a target label a run's replies as people do: a second opinion.

    It is set beside the classifier and beside people, and enters no rate (docs/labels.md). Killed
    or stopped, the same command goes on where it was.
    """
    from harness import counting
    from harness.journal import find_run

    opened = find_run(run, results, store)
    wanted = counting.Judging(target, number, seed, campaign)
    found = counting.judge_replies(opened, wanted, click.echo)
    beside = counting.agreement_lines_of_judges(counting.agreement_of_judges(opened))
    for line in [*counting.judging_lines(found), *beside]:
        say(line)
    if found.stopped:
        click.echo(f"{found.stopped}\nto go on, type the same command: {found.left} are left")
        sys.exit(exits.NOT_FOUND_OUT)


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):
        return "me"


def _read(run: Run, shown: list[Shown], drawn: int, who: str) -> None:
    """Show reply after reply, and save each answer; ends with the last one, or where asked to."""
    from harness import counting

    screen, at = console(100), 0
    if not shown:
        click.echo(f"{who} has read all {drawn} drawn replies; --n draws more")
        return
    click.echo(f"{len(shown)} of {drawn} drawn replies to read, as {who}\n{MEANING}")
    skipped = 0
    try:
        while at < len(shown):
            _show(screen, shown[at], f"{drawn - len(shown) + at + 1} of {drawn}")
            key = _key()
            if key == "q":
                return
            if key == "b":
                at = max(0, at - 1)
            elif key == "s":
                skipped += 1
                at += 1
            elif answer := _answer(shown[at], KEYS[key], who):
                counting.append_labels(run.folder, [answer])
                click.echo(f"saved: {_said(answer)}")
                at += 1
    except (EOFError, KeyboardInterrupt, click.Abort):
        click.echo()
    finally:
        if skipped or at < len(shown):
            click.echo(f"to go on: truename label {run.name}")


def _show(screen: Any, shown: Shown, place: str) -> None:
    """One reply, with its question and arm; strangers' text is text."""
    from rich.panel import Panel
    from rich.text import Text

    from harness.console import plain

    screen.print(Text(f"\n{place}   arm {shown.arm}", style="dim"))
    screen.print(Text(f"asked: {plain(shown.question)}", style="italic"))
    screen.print(Panel(Text(plain(shown.text))))


def _key() -> str:
    """One of the keys; others are told what there is."""
    while True:
        click.echo(HELP)
        key = click.getchar() if sys.stdin.isatty() else _line("> ").strip()[:1]
        if key in ("\x03", "\x04"):
            raise EOFError
        if key.lower() in (*KEYS, "b", "s", "q"):
            return key.lower()


def _answer(shown: Shown, stance: Stance, who: str) -> Label | None:
    """The label, its identities asked for; None where the person wants to choose again."""
    from harness import counting

    click.echo(stance)
    parts: dict[str, list[str]] = {part: [] for part in counting.LABELLED}
    for part in counting.NAMED_BY[stance]:
        parts[part] = _identities(part)
    if wrong := counting.complaint(stance, parts):
        click.echo(f"not saved: {wrong}")
        return None
    asked = "hedged, the claim itself is uncertain [y/N]: "
    hedged = stance == "claims" and _line(asked).strip().lower() in ("y", "yes")
    return counting.Label(
        shown.sample, shown.sha256, who, stance, **parts, hedged=hedged, when=counting.now()
    )


def _said(label: Label) -> str:
    """A label in one line, as it is understood."""
    from harness import counting

    parts = {part: getattr(label, part) for part in counting.LABELLED}
    named = [f"{part} {', '.join(identities)}" for part, identities in parts.items() if identities]
    return "; ".join([label.stance, *named, *(["hedged"] if label.hedged else [])])


def _identities(part: str) -> list[str]:
    """The identities of one part, as the book has them; asked for until they can be read."""
    from harness import counting

    kind = counting.LABELLED[part]
    with _completing(list(counting.choices(kind))):
        while True:
            words = [word.strip() for word in _line(f"{part}: ").split(",") if word.strip()]
            if all(counting.readable(word) for word in words):
                return list(dict.fromkeys(counting.identity_of(word, kind) for word in words))
            click.echo("a name has letters, 100 at most")


def _line(asked: str) -> str:
    """A short answer; nothing is one."""
    said: str = click.prompt(asked, default="", show_default=False, prompt_suffix="")
    return said


@contextlib.contextmanager
def _completing(words: list[str]) -> Iterator[None]:
    """Tab completes words while a line is asked for, where the terminal can."""
    try:
        import readline
    except ImportError:
        yield
        return

    def complete(text: str, number: int) -> str | None:
        fits = [word for word in words if word.startswith(text.lower())]
        return fits[number] if number < len(fits) else None

    before = readline.get_completer(), readline.get_completer_delims()
    readline.set_completer(complete)
    readline.set_completer_delims(", ")
    readline.parse_and_bind("tab: complete")
    try:
        yield
    finally:
        readline.set_completer(before[0])
        readline.set_completer_delims(before[1])
