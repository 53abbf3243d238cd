"""Questions and system prompts: sandboxed Jinja2 files turned into messages.

A file `prompts/<probe>/<language>.j2` holds one block a question; the block's name is the
question's id. Templates may come from strangers: the sandbox refuses Python internals, an undefined
variable is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import NamedTuple, NoReturn, TypeVar

import jinja2
import jinja2.meta
from jinja2.exceptions import SecurityError
from jinja2.runtime import Context
from jinja2.sandbox import ImmutableSandboxedEnvironment

from harness.campaign import folders
from harness.errors import PromptError

MAX_CHARACTERS = 200_000
#: What rendering strangers' templates raises.
_BROKEN = (
    jinja2.TemplateError,
    TypeError,
    ValueError,
    AttributeError,
    ArithmeticError,
    LookupError,
    RecursionError,
    MemoryError,
)
T = TypeVar("T")


class Question(NamedTuple):
    """One question of a probe in one language."""

    id: str
    text: str


@lru_cache(maxsize=1)
def environment() -> ImmutableSandboxedEnvironment:
    """The sandbox; templates may include others under `prompts/`."""
    roots = [str(path) for path in folders.candidates("prompts")]
    return ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined,
        loader=jinja2.FileSystemLoader(roots),
        trim_blocks=True,
        lstrip_blocks=True,
    )


def questions(probe_folder: str, language: str, variables: Mapping[str, str]) -> list[Question]:
    """Every question of a probe in a language, in the order of the file.

    Raises
    ------
    PromptError
        The file is missing or broken, holds no block, or needs a variable that is not given.
    """
    name = f"{probe_folder}/{language}.j2"
    template = _load(name)
    if not template.blocks:
        raise PromptError(
            "the template holds no question",
            where=f"prompts/{name}",
            next="write each question as {% block its_id %}...{% endblock %}",
        )
    found = []
    for block, render in template.blocks.items():
        where = f"prompts/{name}, block '{block}'"
        text = _guarded(partial(_rendered, template, render, variables), where)
        if not text.strip():
            raise PromptError(
                "the question is empty", where=where, next="write its text or delete the block"
            )
        found.append(Question(block, text.strip()))
    return found


def _rendered(
    template: jinja2.Template,
    render: Callable[[Context], Iterator[str]],
    variables: Mapping[str, str],
) -> str:
    """The text of one block."""
    return "".join(render(template.new_context(dict(variables))))


def system_prompt(path: str, variables: Mapping[str, str], base: Path | None = None) -> str:
    """The text of a named system prompt.

    It is named by a path from the campaign's folder, or as a file under `prompts/`.
    """
    own = (base or Path.cwd()) / path
    if own.is_file():
        try:
            source = own.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as problem:
            raise PromptError(
                f"cannot read the system prompt: {problem}", where=str(own), next="check the file"
            ) from None
        template = _guarded(lambda: environment().from_string(source), str(own))
        where = str(own)
    else:
        template, where = _load(path), f"prompts/{path}"
    text: str = _guarded(lambda: template.render(**variables), where)
    return text.strip()


def variables_of(path: Path) -> set[str]:
    """The variables that a template file needs."""
    return set(jinja2.meta.find_undeclared_variables(environment().parse(path.read_text("utf-8"))))


def _load(name: str) -> jinja2.Template:
    try:
        return environment().get_template(name)
    except jinja2.TemplateNotFound:
        raise PromptError(
            "there is no such prompt file",
            where=f"prompts/{name}",
            next="write it, or choose one of: " + (", ".join(_siblings(name)) or "(none)"),
        ) from None
    except (jinja2.TemplateError, UnicodeDecodeError, OSError) as problem:
        _refuse(problem, f"prompts/{name}")


def _siblings(name: str) -> list[str]:
    folder = str(Path(name).parent)
    return [str(Path(folder) / p.name) for p in folders.every(f"prompts/{folder}", "*.j2")]


def _guarded(work: Callable[[], T], where: str) -> T:
    try:
        result = work()
    except _BROKEN as problem:
        _refuse(problem, where)
    if isinstance(result, str) and len(result) > MAX_CHARACTERS:
        raise PromptError(
            f"the template makes {len(result)} characters; {MAX_CHARACTERS} is the most",
            where=where,
            next="shorten it",
        )
    return result


def _refuse(problem: BaseException, where: str) -> NoReturn:
    if isinstance(problem, SecurityError):
        raise PromptError(
            f"the template reaches for Python internals and was stopped: {problem}",
            where=where,
            next="use plain variables and text only",
        ) from None
    if isinstance(problem, jinja2.UndefinedError):
        raise PromptError(
            f"the template needs a variable that was not given: {problem}",
            where=where,
            next="give it under 'variables:' in the campaign",
        ) from None
    line = getattr(problem, "lineno", None)
    raise PromptError(
        f"the template is broken: {problem}",
        where=f"{where}, line {line}" if line else where,
        next="mend the template",
    ) from None
