"""Commands about behaviour: whose one-word answers they are, and what known models answer."""

from __future__ import annotations

import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from harness.cli import exits
from harness.cli.options import (
    AS_JSON,
    KEY,
    MODEL,
    OF_CAMPAIGN,
    RESULTS,
    STORE,
    print_json,
    say,
    slug,
    told_plainly,
)

if TYPE_CHECKING:
    from harness.lineup import Asked


@click.command(short_help="Which known model does it behave like?")
@click.argument("target")
@click.option("--claims", metavar="MODEL", help="The model that it is said to be: a reference.")
@click.option(
    "--references",
    "names",
    multiple=True,
    metavar="NAME",
    help="Compare with these only (`truename references list`, or a file); may be repeated.",
)
@click.option(
    "--against",
    metavar="TARGET2",
    help="Compare with a trusted target instead: both are asked the same fresh questions now.",
)
@click.option("--against-model", metavar="NAME", help="With --against a URL: its model's name.")
@click.option(
    "--budget",
    type=click.IntRange(12, 100_000),
    default=80,
    show_default=True,
    help="Samples at most; fewer are taken where the answers decide sooner.",
)
@click.option(
    "--alpha",
    type=click.FloatRange(0, 0.5, min_open=True, max_open=True),
    default=0.01,
    show_default=True,
    help="Chance that a true claim is contradicted.",
)
@click.option("--seed", type=int, default=None, help="With --against: of the fresh questions.")
@click.option("--run", "run", metavar="NAME", help="Name of the run; default: lineup-TARGET.")
@OF_CAMPAIGN
@MODEL
@KEY
@AS_JSON
@RESULTS
@STORE
@told_plainly
def lineup(
    target: str,
    claims: str | None,
    names: tuple[str, ...],
    against: str | None,
    against_model: str | None,
    budget: int,
    alpha: float,
    seed: int | None,
    run: str | None,
    campaign: str | None,
    model: str | None,
    api_key_env: str | None,
    as_json: bool,
    results: Path,
    store: str | None,
) -> None:
    """Ask TARGET for single words and say which known model it answers like.

    TARGET is a GGUF file, lab:NAME, a URL (with --model), or with --campaign the name of a target.
    Exits with 0 where it is the claimed (or a known) model, with 1 where the claim is contradicted,
    with 3 where that cannot be told. Killed, the same command goes on where it was.
    """
    import random

    from harness import lineup as wing
    from harness.exposure import asked as named

    here: dict[str, Any] = {
        "results": results,
        "store": store,
        "say": click.echo,
        "budget": budget,
        "alpha": alpha,
    }
    place = named(target, campaign, model, api_key_env)
    if against:
        other = named(against, campaign, against_model or model, api_key_env)
        seed = random.SystemRandom().randrange(2**31) if seed is None else seed
        with redirect_stdout(sys.stderr):  # how far it is; what is found can be read by a program
            asked = wing.against(place, other, seed, run=run, **here)
    else:
        chosen = wing.choose(names, claims)
        name = run or "lineup-" + slug(target)
        with redirect_stdout(sys.stderr):
            asked = wing.ask(place, chosen.models, chosen.battery, claim=claims, run=name, **here)
    _tell(asked, as_json)
    said = asked.verdict.said
    if said == "is not":
        sys.exit(exits.FOUND)
    if said != "is it":
        sys.exit(exits.NOT_FOUND_OUT)


def _tell(asked: Asked, as_json: bool) -> None:
    found = asked.verdict
    if as_json:
        ranked = [one._asdict() for one in found.ranked]
        print_json({**found._asdict(), "ranked": ranked, "run": asked.run})
        return
    about = f" (claimed: {found.claim})" if found.claim else ""
    click.echo(click.style(found.said, bold=True), nl=False)
    say(f"{about}: {found.why}")
    say(
        f"  {found.answered} of {found.asked} replies hold a word, {found.direct} of them alone; "
        + (f"clear after {found.decided_after}" if found.decided_after else "the budget is spent")
    )
    click.echo("  log factor (nats), above 0 for the same model:")
    for one in found.ranked[:5]:
        say(f"    {one.log_bf:+8.1f}  {one.model}")
    say("  behaviour is one witness: a host may change the prompt, the sampler or the precision")
    if asked.stopped:
        say(asked.stopped)


@click.group(short_help="What known models answer")
def references() -> None:
    """References: counts of known models' one-word answers, with their provenance."""


@references.command(name="list")
@AS_JSON
@told_plainly
def list_(as_json: bool) -> None:
    """Name every file of references and the models that it holds."""
    from harness.lineup import references as kept

    found = {name: kept.load(name) for name in kept.known()}
    if as_json:
        print_json({name: [m.model for m in one.models] for name, one in found.items()})
        return
    for name, one in found.items():
        models = ", ".join(m.model for m in one.models[:8])
        more = f" and {len(one.models) - 8} more" if len(one.models) > 8 else ""
        say(f"{name}: {len(one.models)} models: {models}{more}")
    click.echo("next: truename references show NAME")


@references.command()
@click.argument("name")
@click.argument("model", required=False)
@AS_JSON
@told_plainly
def show(name: str, model: str | None, as_json: bool) -> None:
    """Print where references come from; with MODEL the words that it gives most."""
    from msgspec import to_builtins

    from harness.errors import LineupError, did_you_mean
    from harness.lineup import references as kept

    found = kept.load(name)
    by_name = {one.model: one for one in found.models}
    if model is not None and model not in by_name:
        raise LineupError(
            f"these references hold no '{model}': {did_you_mean(model, by_name)}",
            where=name,
            next=f"truename references show {name}",
        )
    if as_json:
        shown: Any = to_builtins(by_name[model] if model else found)
        if model is None:
            shown["models"] = list(by_name)
        print_json(shown)
        return
    for label, value in (
        ("made by", found.made_by),
        ("source", found.source),
        ("licence", found.licence),
        ("note", found.note),
        ("probe", found.protocol.probe or "(its questions are not here: it cannot be asked)"),
        ("questions", found.protocol.questions),
    ):
        if value:
            say(f"{label + ':':11}{value}")
    if model is None:
        for one in found.models:
            host = f", {one.host}" if one.host else ""
            say(f"  {one.model}: {one.answered} of {one.asked} answered{host} {one.date}")
        return
    for cell, counts in by_name[model].cells.items():
        most = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:5]
        say(f"  {cell}: " + ", ".join(f"{word} {count}" for word, count in most))


@references.command()
@click.argument("source")
@click.option("--as", "as_model", metavar="MODEL", help="What the model is; default: SOURCE.")
@click.option("--name", required=True, help="Name of the file below probes/references/.")
@click.option(
    "--samples",
    type=click.IntRange(1, 1000),
    default=8,
    show_default=True,
    help="Answers to each question of the battery.",
)
@click.option("--licence", default="", help="Under which the counts may be handed on.")
@click.option("--made-by", default="", help="Who made them.")
@OF_CAMPAIGN
@MODEL
@KEY
@RESULTS
@STORE
@told_plainly
def make(
    source: str,
    as_model: str | None,
    name: str,
    samples: int,
    licence: str,
    made_by: str,
    campaign: str | None,
    model: str | None,
    api_key_env: str | None,
    results: Path,
    store: str | None,
) -> None:
    """Ask SOURCE the whole battery and keep what it answers.

    SOURCE is a GGUF file, lab:NAME, a URL (with --model), or with --campaign the name of a target.
    Killed, the same command goes on where it was.
    """
    from harness import lineup as wing
    from harness.exposure import asked
    from harness.lineup import references as kept

    kept.free(name)
    battery = wing.Battery()
    label = as_model or model or source
    made, stopped = wing.make(
        asked(source, campaign, model, api_key_env),
        battery,
        model=label,
        samples=samples,
        results=results,
        run=f"reference-{slug(label)}",
        store=store,
        say=click.echo,
    )
    if stopped:
        click.echo(f"{stopped}\nthe same command goes on; nothing is kept of a part", err=True)
        sys.exit(exits.NOT_FOUND_OUT)
    whole = wing.References(
        made_by=made_by,
        source=f"truename references make {source}",
        licence=licence,
        protocol=battery.protocol(),
        models=[made],
    )
    click.echo(f"{made.answered} of {made.asked} replies hold a word")
    click.echo(f"{kept.save(whole, name)}\nnext: truename lineup TARGET --claims {label}")


@references.command(name="import")
@click.argument("source")
@click.option("--name", help="Name of the file below probes/references/; default: SOURCE's.")
@told_plainly
def import_(source: str, name: str | None) -> None:
    """Take references of others in: a file of theirs, or the npm package `llm-fingerprint`.

    Files are those that truename writes, the `distributions.json` of that package (also Zenodo
    10.5281/zenodo.21278557), or JSON Lines of counts. The npm client fetches a package; nothing of
    it is run. Data keep their licence.
    """
    from harness.lineup import imported
    from harness.lineup import references as kept

    label = name or slug(Path(source).name.split(".")[0])
    kept.free(label)
    taken = imported.take(source)
    licence = taken.licence or "no licence is named"
    say(f"{len(taken.models)} models, {licence}\n{kept.save(taken, label)}")
    if not taken.protocol.probe:
        say("what was asked is not known: these counts measure the method, and judge nobody")


@references.command()
@click.argument("name")
@click.argument("to", type=click.Path(path_type=Path, dir_okay=False))
@told_plainly
def export(name: str, to: Path) -> None:
    """Write references to the file TO, for others."""
    from harness.errors import LineupError
    from harness.lineup import references as kept

    found = kept.load(name)
    if to.suffix != ".json":
        raise LineupError("references are JSON", where=str(to), next="let its name end in .json")
    click.echo(kept.save(found, str(to)))
