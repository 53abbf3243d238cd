"""The process that examines a hostile template: `python -m harness.exposure.watched`.

It limits its own time and memory, reads a template from its input and writes what it finds; whoever
started it (`injected.py`) reports a process that breaks off.
"""

from __future__ import annotations

import resource
import sys

import msgspec

from harness.exposure.injected import MEMORY, SECONDS, examine
from harness.targets import ChatTemplate


def main() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    source, bos, eos = msgspec.json.decode(sys.stdin.buffer.read())
    sys.stdout.buffer.write(msgspec.json.encode(examine(ChatTemplate(source, bos, eos))))


if __name__ == "__main__":
    main()
