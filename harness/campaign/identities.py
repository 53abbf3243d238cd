"""The identity book: model families, makers, their aliases in every script, and backstories.

Files: `probes/identities/*.yaml` (families and makers) and `probes/backstories/*.md` (one text
each, with a small head that names the identity, the language and the source). A user's own files
come first.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal, TypeVar

from pydantic import Field

from harness.campaign import folders
from harness.campaign.yamlfiles import Strict, parse, read_text, validate
from harness.errors import IdentityError, did_you_mean


class Maker(Strict):
    """A company, lab or public body that makes models; `source` says where that was read."""

    id: str = Field(description="short, in small letters; what other files and tables call it")
    name: str = Field(description="as it is printed")
    aliases: list[str] = Field(
        min_length=1, description="every way to write it, in every script; case does not matter"
    )
    homograph: str | None = Field(None, description="what else is called so, for people")
    fictional: bool = Field(False, description="invented for the lab")
    source: str | None = Field(None, description="where the entry was read")


class Family(Strict):
    """A family of models under one name.

    `weak` aliases need other evidence beside them; phrases under `unrelated` hold the name and are
    something else; `source` says where the entry was read.
    """

    id: str = Field(description="short, in small letters; what campaigns and tables call it")
    name: str = Field(description="as it is printed")
    aliases: list[str] = Field(
        min_length=1, description="every way to write it, in every script; case does not matter"
    )
    makers: list[str] = Field([], description="ids of its makers")
    built_on: list[str] = Field([], description="ids of families that it is known to be built on")
    related: list[str] = Field([], description="ids of families that share its name or maker")
    weak: list[str] = Field([], description="aliases that need other evidence beside them")
    homograph: str | None = Field(None, description="what else is called so, for people")
    unrelated: list[str] = Field([], description="phrases that hold the name and are not it")
    base_only: bool = Field(False, description="only named as built on, never looked for")
    same_as: str | None = Field(None, description="id of the family whose aliases find it")
    unlisted: bool = Field(False, description="no language model; for people")
    fictional: bool = Field(False, description="invented for the lab")
    source: str | None = Field(None, description="where the entry was read")


class BookFile(Strict):
    families: list[Family] = Field([], description="families of models")
    makers: list[Maker] = Field([], description="who makes them")


class BackstoryHead(Strict):
    identity: str = Field(description="whose text it is, by id of the identity book")
    language: str = Field(description="such as en")
    source: str = Field(description="where it was published, or whose reply it was")
    stand_in: bool = Field(False, description="invented for the lab")


@dataclass(frozen=True)
class Backstory:
    """One reference text of an identity; `stand_in` marks one that was invented for the lab."""

    identity: str
    language: str
    source: str
    text: str
    stand_in: bool
    file: str


@dataclass(frozen=True)
class Book:
    """All known families and makers by id."""

    families: dict[str, Family]
    makers: dict[str, Maker]

    def name_of(self, kind: Literal["name", "maker"], identity: str) -> str:
        known: Mapping[str, Family | Maker] = self.families if kind == "name" else self.makers
        return known[identity].name if identity in known else identity

    def makers_of(self, family: str | None) -> list[str]:
        """Who makes a family, by the book; nobody, if it does not list that."""
        return self.families[family].makers if family in self.families else []

    def spelt(self, kind: Literal["name", "maker"]) -> dict[str, str]:
        """Ids by every way to write a name or a maker, in folded case; an id stands for itself."""
        known: Mapping[str, Family | Maker] = self.families if kind == "name" else self.makers
        ways = {
            way.casefold(): identity
            for identity, entry in known.items()
            for way in (*entry.aliases, entry.name)
        }
        return ways | {identity.casefold(): identity for identity in known}

    def require_family(self, identity: str, where: str) -> Family:
        if identity not in self.families:
            called = self.spelt("name").get(identity.casefold())
            meant = f"did you mean '{called}'?" if called else did_you_mean(identity, self.families)
            raise IdentityError(
                f"'{identity}' is not in the identity book: {meant}",
                where=where,
                next="add it to probes/identities/ in your folder, or mend the id",
            )
        return self.families[identity]


Entry = TypeVar("Entry", Family, Maker)


def _add(known: dict[str, Entry], entries: list[Entry], where: str) -> None:
    for entry in entries:
        if entry.id in known:
            raise IdentityError(
                f"the id '{entry.id}' stands twice in the identity book",
                where=where,
                next="give it another id",
            )
        known[entry.id] = entry


@lru_cache(maxsize=1)
def load_book() -> Book:
    """Read and check every file of the book; a later file may not name an id again."""
    families: dict[str, Family] = {}
    makers: dict[str, Maker] = {}
    for path in folders.every("probes/identities", "*.yaml"):
        where = str(path)
        found = parse(read_text(path, IdentityError), where, IdentityError)
        content = validate(BookFile, found, where, IdentityError)
        _add(families, content.families, where)
        _add(makers, content.makers, where)
    for family in families.values():
        others = [*family.built_on, *family.related]
        others += [family.same_as] if family.same_as else []
        _all_known(family, "maker", family.makers, makers)
        _all_known(family, "family", others, families)
    return Book(families, makers)


def _all_known(
    family: Family, kind: str, named: list[str], known: Mapping[str, Family | Maker]
) -> None:
    for name in named:
        if name not in known:
            meant = did_you_mean(name, known)
            raise IdentityError(
                f"family '{family.id}' names an unknown {kind} '{name}': {meant}",
                where="probes/identities",
                next=f"add the {kind}",
            )


@lru_cache(maxsize=1)
def load_backstories() -> tuple[Backstory, ...]:
    """Every reference text under `probes/backstories/`."""
    return tuple(
        _backstory(path)
        for path in folders.every("probes/backstories", "*.md")
        if path.name != "README.md"
    )


def _backstory(path: Path) -> Backstory:
    where = str(path)
    parts = read_text(path, IdentityError).split("---\n", 2)
    if len(parts) != 3 or parts[0].strip():
        raise IdentityError(
            "a backstory starts with a head between two lines '---'",
            where=where,
            next="see probes/backstories/README.md",
        )
    head = validate(BackstoryHead, parse(parts[1], where, IdentityError), where, IdentityError)
    text = " ".join(parts[2].split())
    if not text:
        raise IdentityError(
            "the backstory holds no text", where=where, next="write the text under the head"
        )
    load_book().require_family(head.identity, where)
    return Backstory(head.identity, head.language, head.source, text, head.stand_in, path.name)
