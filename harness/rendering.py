"""The process that renders templates of others: `python -P -m harness.rendering`.

A template is a program that came from someone else: chat templates with a model or a host, prompt
files with a campaign. They are compiled and rendered here and nowhere else, in Jinja2's immutable
sandbox, by a process with limits on memory and on the CPU time of each job. Whoever started it
(`guarded.py`) sends jobs and reads answers; a job that passes a limit ends the process.

A job is an object of JSON with a ``kind``, one of `JOBS`. The answer has ``made``, or ``problem``
(one of `Problem`) with what was ``said``, the ``line`` and the ``block``; and ``cpu_s``, what it
took.
"""

from __future__ import annotations

import datetime
import json
import os
import resource
import signal
import sys
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import IO, Any, Final, Literal, NoReturn

import jinja2
from jinja2 import nodes
from jinja2.exceptions import SecurityError
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Namespace

#: CPU time that one job may take, in seconds; how long it waits for a busy machine does not count.
CPU_S: Final = 3.0
#: Memory that the process may take, in bytes.
MEMORY: Final = 512 << 20
#: Characters that one job may make of templates, whatever its own limit.
MOST: Final = 2_000_000
#: Characters of a problem that are told.
TOLD: Final = 400
#: What is said of problems that say nothing themselves.
_UNSAID: Final[dict[type[Exception], str]] = {
    MemoryError: f"the template takes more memory than it may ({MEMORY >> 20} MB)"
}
Problem = Literal["internals", "undefined", "missing", "refused", "broken", "long", "memory"]


class _Long(Exception):
    """More characters than a job may make."""


class _Refused(jinja2.TemplateError):
    """A template's own words on why it does not take these messages."""


class _Generation(Extension):
    """``{% generation %}`` ... ``{% endgeneration %}``, which marks what a model writes.

    `transformers` keeps where it stands, to train on that; the text is the same without.
    """

    tags = {"generation"}

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return nodes.Scope(body, lineno=line)


def _raise_exception(message: str) -> NoReturn:
    raise _Refused(message)


def _to_json(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value,
        ensure_ascii=ensure_ascii,
        indent=indent,
        separators=separators,
        sort_keys=sort_keys,
    )


@lru_cache(maxsize=16)
def _chat_template(source: str, date: str) -> jinja2.Template:
    """A chat template with what `transformers` gives it, and nothing else."""
    day = datetime.date.fromisoformat(date)
    sandbox = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, loopcontrols]
    )
    sandbox.filters["tojson"] = _to_json
    sandbox.globals |= {
        "raise_exception": _raise_exception,
        "strftime_now": lambda form: day.strftime(form),
    }
    return sandbox.from_string(source)


class _Message(dict[str, Any], Namespace):
    """A message whose fields a template may set, as llama.cpp lets it, and Jinja2 does not."""


def chat(job: dict[str, Any]) -> str:
    """The text that a chat template makes of messages.

    No tools and no documents are given as None, as `transformers` does; a template that would go
    through them gets none at all, as from llama.cpp.
    """
    given = {
        "messages": [_Message(message) for message in job["messages"]],
        "add_generation_prompt": job["reply_follows"],
        "bos_token": job["bos_token"],
        "eos_token": job["eos_token"],
    }
    template = _chat_template(job["source"], job["date"])
    try:
        made = template.render(given, tools=None, documents=None)
    except TypeError:
        made = template.render(given)
    return _within(made, MOST)


class _Below(jinja2.FileSystemLoader):
    """Finds no file outside its folders, by a link neither."""

    def get_source(
        self, environment: jinja2.Environment, template: str
    ) -> tuple[str, str, Callable[[], bool]]:
        source, name, is_new = super().get_source(environment, template)
        real = Path(name).resolve()
        if not any(real.is_relative_to(Path(root).resolve()) for root in self.searchpath):
            raise jinja2.TemplateError(f"'{template}' leads out of prompts/")
        return source, name, is_new


@lru_cache(maxsize=4)
def _prompts(roots: tuple[str, ...]) -> ImmutableSandboxedEnvironment:
    """The sandbox of prompt files; they may include others under ``roots``."""
    return ImmutableSandboxedEnvironment(
        undefined=jinja2.StrictUndefined,
        loader=_Below(roots),
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _loaded(job: dict[str, Any]) -> jinja2.Template:
    """A prompt file: by its path, or by its name below the roots."""
    sandbox = _prompts(tuple(job["roots"]))
    if job.get("path"):
        return sandbox.from_string(Path(job["path"]).read_text("utf-8"))
    return sandbox.get_template(job["name"])


def blocks(job: dict[str, Any]) -> list[tuple[str, str]]:
    """The blocks of a prompt file, by name, in the order of the file."""
    template, made = _loaded(job), []
    for name, render in template.blocks.items():
        job["block"] = name  # an answer says where it broke
        context = template.new_context(job["variables"])
        made.append((name, _within("".join(render(context)), job["most"])))
    return made


def text(job: dict[str, Any]) -> str:
    """A prompt file as a whole."""
    return _within(_loaded(job).render(**job["variables"]), job["most"])


JOBS: Final[dict[str, Callable[[dict[str, Any]], Any]]] = {
    "chat": chat,
    "blocks": blocks,
    "text": text,
}


def _within(made: str, most: int) -> str:
    if len(made) > most:
        raise _Long(f"the template makes {len(made)} characters; {most} is the most")
    return made


def answer(job: dict[str, Any]) -> dict[str, Any]:
    """What a job makes, or its problem. Whatever a template raises is a problem of its own."""
    try:
        return {"made": JOBS[job["kind"]](job)}
    except Exception as problem:
        return {
            "problem": _kind(problem, job),
            "error": type(problem).__name__,
            "said": str(problem)[:TOLD] or _UNSAID.get(type(problem), ""),
            "line": getattr(problem, "lineno", None),
            "block": job.get("block"),
        }


def _kind(problem: Exception, job: dict[str, Any]) -> Problem:
    if isinstance(problem, _Long):
        return "long"
    if isinstance(problem, MemoryError):
        return "memory"
    if isinstance(problem, _Refused):
        return "refused"
    if isinstance(problem, SecurityError):
        return "internals"
    if isinstance(problem, jinja2.UndefinedError):
        return "undefined"
    if isinstance(problem, jinja2.TemplateNotFound) and problem.name == job.get("name"):
        return "missing"
    return "broken"


def read_whole(source: IO[bytes]) -> bytes | None:
    """One message: eight bytes of its length, and itself; None where there is no more."""
    head = source.read(8)
    if len(head) < 8:
        return None
    size = int.from_bytes(head)
    body = source.read(size)
    return body if len(body) == size else None


def write_whole(message: bytes, to: IO[bytes]) -> None:
    """Write one message past the file's buffer: a fork amid it would write what waits there too."""
    left = memoryview(len(message).to_bytes(8) + message)
    while left:
        left = left[os.write(to.fileno(), left) :]


def main() -> None:
    """Do jobs until there are no more."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    while (asked := read_whole(sys.stdin.buffer)) is not None:
        job = json.loads(asked)
        signal.setitimer(signal.ITIMER_PROF, job["cpu_s"])  # at its end the kernel ends us
        began = time.process_time()
        told = json.dumps(answer(job) | {"cpu_s": time.process_time() - began}).encode()
        signal.setitimer(signal.ITIMER_PROF, 0)
        write_whole(told, sys.stdout.buffer)


if __name__ == "__main__":
    main()
