"""Files to begin with: `truename init` writes one where the user stands, with comments."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final, NamedTuple

from harness.errors import CampaignError

STARTERS: Final = Path(__file__).with_name("starters")


class Starter(NamedTuple):
    """A kind of file: where it is written, and what to type once it is mended."""

    place: str
    next: str


KINDS: Final = {
    "campaign": Starter("probes/campaigns/{}.yaml", "truename plan {}"),
    "identity": Starter("probes/identities/{}.yaml", "truename score FILE.jsonl"),
    "backstory": Starter("probes/backstories/{}.md", "truename tally RUN"),
    "prompt": Starter(
        "prompts/system/{}.j2", 'name it in a campaign: arms: ["given:system/{}.j2"]'
    ),
    "audit": Starter("probes/audits/{}.yaml", "truename audit run {}"),
}


class Begun(NamedTuple):
    """The file that was written, and the next thing to do."""

    path: Path
    next: str


def begin(kind: str, name: str, engine: str = "endpoint") -> Begun:
    """Write a commented file of a kind below where the user stands.

    Raises
    ------
    CampaignError
        The name cannot be a file's, the file exists, or the folder cannot be written.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise CampaignError(
            f"'{name}' can be no name: letters, digits, dots, dashes and underlines, 64 at most",
            next=f"truename init {kind} my-{kind}",
        )
    starter = KINDS[kind]
    path = Path(starter.place.format(name))
    source = STARTERS / (
        f"campaign-{engine}.yaml" if kind == "campaign" else f"{kind}{path.suffix}"
    )
    text = source.read_text("utf-8").replace("NAME-ID", name.lower()).replace("NAME", name)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise CampaignError(
            "the file exists already; nothing was written",
            where=str(path),
            next=f"choose another name: truename init {kind} {name}-2",
        ) from None
    except OSError as problem:
        raise CampaignError(
            f"the file cannot be written: {problem.strerror}", where=str(path)
        ) from None
    return Begun(path, starter.next.format(name))
