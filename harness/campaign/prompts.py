"""Questions and system prompts: sandboxed Jinja2 files turned into messages.

A file `prompts/<probe>/<language>.j2` holds one block a question; the block's name is the
question's id. Templates may come from strangers: they are rendered by a process under limits
(`harness.guarded`), in a sandbox that refuses Python internals; an undefined variable is an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn

import jinja2
import jinja2.meta

from harness.campaign import folders
from harness.errors import PromptError
from harness.guarded import NotRendered, rendered

MAX_CHARACTERS: Final = 200_000


class Question(NamedTuple):
    """One question of a probe in one language."""

    id: str
    text: str


def questions(probe_folder: str, language: str, variables: Mapping[str, str]) -> list[Question]:
    """Every question of a probe in a language, in the order of the file.

    Raises
    ------
    PromptError
        The file is missing or broken, holds no block, or needs a variable that is not given.
    """
    name = f"{probe_folder}/{language}.j2"
    where = f"prompts/{name}"
    made: list[tuple[str, str]] = _made("blocks", where, variables, name=name)
    if not made:
        raise PromptError(
            "the template holds no question",
            where=where,
            next="write each question as {% block its_id %}...{% endblock %}",
        )
    for block, text in made:
        if not text.strip():
            raise PromptError(
                "the question is empty",
                where=f"{where}, block '{block}'",
                next="write its text or delete the block",
            )
    return [Question(block, text.strip()) for block, text in made]


def system_prompt(path: str, variables: Mapping[str, str], base: Path | None = None) -> str:
    """The text of a named system prompt.

    It is named as a file under `prompts/`, or by a path that leads there from the campaign's
    folder.

    Raises
    ------
    PromptError
        It lies outside `prompts/`, or cannot be rendered.
    """
    own = (base or Path.cwd()) / path
    if own.is_file() or Path(path).is_absolute() or ".." in Path(path).parts:
        folders.kept_within("prompts", own)
    if own.is_file():
        text: str = _made("text", str(own), variables, path=str(own.absolute()))
    else:
        text = _made("text", f"prompts/{path}", variables, name=path)
    return text.strip()


def variables_of(path: Path) -> set[str]:
    """The variables that a template file needs."""
    parsed = jinja2.Environment(autoescape=True).parse(path.read_text("utf-8"))
    return set(jinja2.meta.find_undeclared_variables(parsed))


def _siblings(name: str) -> list[str]:
    folder = str(Path(name).parent)
    return [str(Path(folder) / p.name) for p in folders.every(f"prompts/{folder}", "*.j2")]


def _made(kind: str, where: str, variables: Mapping[str, str], **file: str) -> Any:
    """What the guarded process makes of a prompt file, named by ``name`` or ``path``."""
    roots = [str(path) for path in folders.candidates("prompts")]
    try:
        return rendered(kind, roots=roots, variables=dict(variables), most=MAX_CHARACTERS, **file)
    except NotRendered as problem:
        _refuse(problem, where, file.get("name"))


def _refuse(problem: NotRendered, where: str, name: str | None) -> NoReturn:
    if problem.problem == "missing" and name is not None:
        raise PromptError(
            "there is no such prompt file",
            where=where,
            next="write it, or choose one of: " + (", ".join(_siblings(name)) or "(none)"),
        ) from None
    if problem.block:
        where += f", block '{problem.block}'"
    if problem.problem == "internals":
        raise PromptError(
            f"the template reaches for Python internals and was stopped: {problem.said}",
            where=where,
            next="use plain variables and text only",
        ) from None
    if problem.problem == "undefined":
        raise PromptError(
            f"the template needs a variable that was not given: {problem.said}",
            where=where,
            next="give it under 'variables:' in the campaign",
        ) from None
    if problem.problem in ("long", "memory", None):
        raise PromptError(
            problem.said, where=where, next="shorten it, and leave out what takes so long"
        ) from None
    raise PromptError(
        f"the template is broken: {problem.said or problem.error}",
        where=f"{where}, line {problem.line}" if problem.line else where,
        next="mend the template",
    ) from None
