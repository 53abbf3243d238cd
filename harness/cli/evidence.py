"""Commands about evidence: a run packed and signed for others, anybody's bundle checked."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from harness.cli import exits
from harness.cli.options import QUIET, RESULTS, STORE, Size, say, told_plainly

_FILE = click.Path(path_type=Path, dir_okay=False)


@click.command(short_help="Pack a run as evidence, without keys")
@click.argument("run")
@click.option(
    "--out", type=_FILE, help="Where to write it; default: RUN.bundle.zip where you stand."
)
@click.option(
    "--sign", "key", type=_FILE, metavar="KEYFILE", help="Sign it with this private key (keys)."
)
@RESULTS
@STORE
@QUIET
@told_plainly
def bundle(run: str, out: Path | None, key: Path | None, results: Path, store: str | None) -> None:
    """Pack a run as evidence in one archive, without keys and header values.

    It holds campaign, prompts, samples, tables, report and hashes, and the plan that was
    registered, if one was.
    """
    from harness.journal import find_run
    from harness.report import bundle as pack

    opened = find_run(run, results, store)
    to = out or Path(f"{opened.name}.bundle.zip")
    fingerprint = pack(opened, to, key)
    signer = f" --signer {key}.pub" if key else ""
    click.echo(f"{to}\nSHA-256 {fingerprint}\nnext: truename verify {to}{signer}")


@click.command(short_help="Check a bundle, score and count it anew")
@click.argument("file", type=click.Path(path_type=Path))
@click.option(
    "--signer",
    type=_FILE,
    metavar="PUBLIC",
    help="The public key that it has to be signed with, got from whom you trust.",
)
@click.option(
    "--stamp-roots",
    "roots",
    type=_FILE,
    metavar="CERTIFICATES",
    help="PEM file of the time stamping authority that the stamp on the plan has to lead to.",
)
@click.option(
    "--largest", type=Size(), default="1GB", show_default=True, help="Refuse what unpacks to more."
)
@QUIET
@told_plainly
def verify(file: Path, signer: Path | None, roots: Path | None, largest: int) -> None:
    """Check a bundle against its hashes, score and count its samples anew.

    Exits with 1 where something differs, with 2 where it is no bundle.
    """
    from harness.console import plain
    from harness.progress import stage
    from harness.report import verify as check

    with stage("looks at the bundle, scores and counts its samples anew"):
        found = check(file, signer=signer, roots=roots, largest=largest)
    made_by = plain(found.manifest.versions.get("truename", "?"))
    say(
        f"run {plain(found.manifest.run)}, {found.manifest.samples} samples, "
        f"{len(found.manifest.files)} files, made by truename {made_by}"
    )
    say(f"SHA-256 {found.fingerprint} (compare it with the one that was published)")
    for said in found.shown:
        say(said)
    for said in found.notes:
        say(f"note: {said}")
    for name in found.changed:
        click.echo(f"CHANGED: {plain(name)}")
    for table in found.recounted:
        click.echo(f"counted again with this truename, differs: {plain(table)}")
    for said in found.wrong:
        say(f"WRONG: {said}")
    if not found.sound:
        sys.exit(exits.FOUND)
    say("every file is as it was packed, and counting its samples again gives the same tables")
    click.echo(f"next: unpack {file.name} and open the report in it")


@click.command(short_help="Make keys to sign bundles with")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@told_plainly
def keys(file: Path) -> None:
    """Make a pair of Ed25519 keys to sign bundles with: FILE, to be kept secret, and FILE.pub."""
    from harness.report import make_keys

    public, fingerprint = make_keys(file)
    click.echo(f"{file} (private: keep it, back it up, show it to nobody)\n{public} (to publish)")
    click.echo(f"fingerprint {fingerprint}\nnext: truename bundle RUN --sign {file}")
