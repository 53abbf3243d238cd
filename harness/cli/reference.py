"""The reference: every key of every file, commands, exit codes, variables; `docs/reference.md`.

Keys come from the models that read the files, commands from the command line itself, so the page
cannot say what is not there. `make reference` writes it, and a test says whether it is of today.
"""

from __future__ import annotations

import datetime
import textwrap
import types
from collections.abc import Iterator
from typing import Annotated, Any, Final, Literal, NamedTuple, Union, get_args, get_origin

import click
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from harness.cli.exits import EXITS

WIDTH: Final = 136
#: Environment variables, and what each is for.
VARIABLES: Final = {
    "TRUENAME_STORE": "SQLAlchemy URL of the journal, where --store is not given",
    "TRUENAME_CACHE": "folder for what can be made again; default: the user's cache folder",
    "OPENAI_API_KEY": "the key of an endpoint whose target names no other variable",
    "OPENAI_BASE_URL": "the address of an endpoint whose target names none",
    "ANTHROPIC_API_KEY": "the same, of the engine `anthropic`",
    "ANTHROPIC_BASE_URL": "the address of the engine `anthropic` whose target names none",
    "GEMINI_API_KEY": "the key of the engine `gemini`",
    "GOOGLE_GEMINI_BASE_URL": "the address of the engine `gemini` whose target names none",
    "OLLAMA_HOST": "the address of the engine `ollama` whose target names none",
    "AWS_ENDPOINT_URL_BEDROCK_RUNTIME": "the same, of the engine `bedrock`",
    "NO_COLOR": "set to anything: no colours (https://no-color.org)",
    "SSL_CERT_FILE": "PEM file of the certificate authorities that are trusted",
}


class Kind(NamedTuple):
    """A kind of file: where it lies, which model reads it, and what it is for."""

    title: str
    place: str
    about: str
    model: type[BaseModel]


def kinds() -> tuple[Kind, ...]:
    """The kinds of files that a user writes."""
    from harness import audits, campaign

    return (
        Kind(
            "Campaign",
            "probes/campaigns/NAME.yaml",
            "Which targets are asked what, under which system prompts, how often. "
            "`truename init campaign NAME` writes one to begin with.",
            campaign.Campaign,
        ),
        Kind(
            "Probe",
            "probes/NAME.yaml",
            "A set of questions that measure one thing; the questions are Jinja2 blocks in a file "
            "a language below `prompts/`.",
            campaign.Probe,
        ),
        Kind(
            "Identities",
            "probes/identities/NAME.yaml",
            "Families of models and their makers, beside those that ship. `truename init identity "
            "NAME` writes one to begin with.",
            campaign.BookFile,
        ),
        Kind(
            "Backstory",
            "probes/backstories/NAME.md",
            "A text that replies are compared with: this head between two lines `---`, then the "
            "text. `truename init backstory NAME` writes one to begin with.",
            campaign.BackstoryHead,
        ),
        Kind(
            "Audit",
            "probes/audits/NAME.yaml",
            "A campaign on a schedule, and whom to tell when its answers change "
            "([audits](audits.md)). `truename init audit NAME` writes one to begin with.",
            audits.Audit,
        ),
    )


def page(commands: click.Group) -> str:
    """The whole reference as Markdown.

    Parameters
    ----------
    commands
        The command line, whose commands are listed.
    """
    lines = [
        "# Reference",
        "",
        "Made by `truename reference` from what reads the files. Your own `probes/` and "
        "`prompts/`, where you stand,",
        "come before those that ship. Unknown keys are refused.",
        "",
    ]
    for kind in kinds():
        lines += [f"## {kind.title}: `{kind.place}`", "", *textwrap.wrap(kind.about, WIDTH), ""]
        for model in _all_of(kind.model):
            if model is not kind.model:
                lines += [
                    f"### `{_title(model)}`",
                    "",
                    *textwrap.wrap(_summary(model.__doc__), WIDTH),
                    "",
                ]
            lines += [*_keys(model), ""]
    return (
        "\n".join([*lines, *_commands(commands), *_codes(), *_variables(), *_completion()]) + "\n"
    )


def _all_of(model: type[BaseModel]) -> list[type[BaseModel]]:
    """A model and those that its keys hold, each once, in the order of their keys."""
    found = [model]
    for each in found:
        for field in each.model_fields.values():
            found += [inner for inner in _models(field.annotation) if inner not in found]
    return found


def _models(kind: Any) -> list[type[BaseModel]]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return [kind]
    return [model for inner in get_args(kind) for model in _models(inner)]


def _title(model: type[BaseModel]) -> str:
    return model.__name__.lstrip("_")


def _summary(text: str | None) -> str:
    """The first paragraph of a docstring or of a command's help, in one line."""
    return " ".join((text or "").split("\n\n")[0].split())


def _keys(model: type[BaseModel]) -> list[str]:
    """A list item a key: its values, its bounds and its default, and what it says."""
    lines: list[str] = []
    for name, field in model.model_fields.items():
        holds = f"{_values(field.annotation)}{_bounds(field)}{_default(field)}"
        said = f": {field.description}" if field.description else ""
        lines += _item(f"`{name}` ({holds}){said}")
    return lines


def _item(text: str) -> list[str]:
    """A list item in lines of the papers' width."""
    return textwrap.wrap(
        "- " + text, WIDTH, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False
    )


_WORDS: Final = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    Any: "any value",
    datetime.datetime: "instant",
    type(None): "null",
}


def _values(kind: Any) -> str:
    """What a key may hold, in words."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _values(inner[0])
    if origin is Literal:
        return ", ".join(f"`{value}`" for value in inner)
    if origin in (Union, types.UnionType):
        return " or ".join(_values(one) for one in inner)
    if origin is list:
        return f"list of {_values(inner[0])}"
    if origin is tuple:
        return f"list of {len(inner)}: {_values(inner[0])}"
    if origin is dict:
        return f"keys with {_values(inner[1])}"
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return f"`{_title(kind)}`"
    return _WORDS[kind]


_SIGNS: Final = {"gt": "over", "ge": "at least", "lt": "under", "le": "at most"}


def _bounds(field: FieldInfo) -> str:
    said = [
        f"{word} {value:,}" if isinstance(value, int) else f"{word} {value:g}"
        for each in field.metadata
        for sign, word in _SIGNS.items()
        if (value := getattr(each, sign, None)) is not None
    ]
    return "".join(f", {each}" for each in said)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return ", needed"
    default = field.get_default(call_default_factory=True)
    if isinstance(default, BaseModel) or default in ("", [], {}, None):
        return ""
    said = str(default).replace("'", "") if isinstance(default, list) else str(default)
    return f", default {said.lower() if isinstance(default, bool) else said}"


def _commands(commands: click.Group) -> Iterator[str]:
    yield from ("## Commands", "", "`truename COMMAND --help` says the rest.", "")
    for name, command in _each(commands, ""):
        said = _summary(command.help).replace("NAME", "`NAME`")
        yield from _item(f"`truename {name}`: {said}")
    yield ""


def _each(group: click.Group, before: str) -> Iterator[tuple[str, click.Command]]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from _each(command, f"{before}{name} ")
        else:
            yield before + name, command


def _codes() -> Iterator[str]:
    yield from ("## Exit codes", "", "| code | what it says |", "|---|---|")
    yield from (f"| {code} | {meaning} |" for code, meaning in EXITS.items())
    yield ""


def _variables() -> Iterator[str]:
    yield from ("## Environment variables", "", "| variable | what it is for |", "|---|---|")
    yield from (f"| `{name}` | {about} |" for name, about in VARIABLES.items())
    yield from (
        "",
        "A secret is always given as the name of a variable (`api_key_env`, `$NAME` in headers).",
        "",
    )


def _completion() -> Iterator[str]:
    yield from (
        "## Shell completion",
        "",
        '    eval "$(_TRUENAME_COMPLETE=bash_source truename)"     # in ~/.bashrc',
        '    eval "$(_TRUENAME_COMPLETE=zsh_source truename)"      # in ~/.zshrc',
        "    _TRUENAME_COMPLETE=fish_source truename | source       # in config.fish",
    )
