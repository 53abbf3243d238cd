"""What was sent, written down before it is sent: so that killed sittings count against the caps.

A file of lines beside the journal, one write a request:

    ["before", target, requests, unknown, prompt, completion]    what earlier sittings used
    ["sent", number, target, prompt, completion]                 a request goes out: its worst case
    ["used", number, unknown, prompt, completion]                what it turned out to have used

Of a request that was sent and never settled nobody knows what it cost: its worst case counts. The
journal tells what became samples; this tells what was spent on the way.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Final

import msgspec

from harness.errors import StoreError
from harness.targets.spending import Booked

LEDGER: Final = "spending.jsonl"


class _Before(msgspec.Struct, array_like=True, tag="before"):
    target: str
    requests: int
    unknown: int
    prompt: int
    completion: int


class _Sent(msgspec.Struct, array_like=True, tag="sent"):
    number: int
    target: str
    prompt: int
    completion: int


class _Used(msgspec.Struct, array_like=True, tag="used"):
    number: int
    unknown: int
    prompt: int
    completion: int


_decode = msgspec.json.Decoder(_Before | _Sent | _Used).decode
_encode = msgspec.json.Encoder().encode


class Ledger:
    """The ledger of one run, open for one sitting (a context manager).

    ``journal`` is what the journal has of each target; the larger of both counts, for a run may
    have been begun before there were ledgers, or on another machine. ``lost`` requests of earlier
    sittings were sent, and nobody knows what became of them.

    Raises
    ------
    StoreError
        It cannot be read or written.
    """

    def __init__(self, path: Path, journal: Mapping[str, Booked]) -> None:
        self.path, self.lost = path, 0
        self._number, self._file = 0, -1
        self._settled: dict[int, _Used] = {}
        had = self._read()
        self.before = {
            target: Booked(*map(max, had[target], journal.get(target, Booked())))
            for target in {*had, *journal}
        }

    def _read(self) -> dict[str, Booked]:
        """What earlier sittings used, by target."""
        try:
            lines = self.path.read_bytes().splitlines()
        except FileNotFoundError:
            lines = []
        except OSError as problem:
            raise self._unusable(problem) from None
        found: dict[str, Booked] = defaultdict(Booked)
        sent: dict[int, _Sent] = {}
        used: dict[int, _Used] = {}
        for line in lines:
            try:
                entry = _decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError):
                continue  # torn: what it would have told was never sent
            if isinstance(entry, _Sent):
                sent[entry.number] = entry
            elif isinstance(entry, _Used):
                used[entry.number] = entry
            else:
                found[entry.target] = Booked(*msgspec.structs.astuple(entry)[1:])
        for number, out in sent.items():
            back = used.get(number) or _Used(number, 1, out.prompt, out.completion)
            cost = Booked(1, back.unknown, back.prompt, back.completion)
            found[out.target] = found[out.target].plus(cost)
        self.lost = len(sent.keys() - used.keys())
        return found

    def __enter__(self) -> Ledger:
        lines = [_encode(_Before(target, *used)) for target, used in self.before.items()]
        scratch = self.path.with_suffix(f".{os.getpid()}")
        try:
            scratch.write_bytes(b"".join(line + b"\n" for line in lines))
            os.replace(scratch, self.path)
            self._file = os.open(self.path, os.O_WRONLY | os.O_APPEND)
        except OSError as problem:
            raise self._unusable(problem) from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if value is None:
                self._write(b"")
        finally:
            os.close(self._file)

    def sent(self, target: str, prompt: int, completion: int) -> int:
        """Write down that a request goes out, with its worst case; its number."""
        self._number += 1
        self._write(_encode(_Sent(self._number, target, prompt, completion)) + b"\n")
        return self._number

    def used(self, number: int, unknown: int, prompt: int, completion: int) -> None:
        """What a request used in the end.

        It is written with the next request: where it is lost, the worst case counts.
        """
        self._settled[number] = _Used(number, unknown, prompt, completion)

    def _write(self, line: bytes) -> None:
        whole = b"".join(_encode(used) + b"\n" for used in self._settled.values()) + line
        self._settled.clear()
        try:
            while whole:
                whole = whole[os.write(self._file, whole) :]
        except OSError as problem:
            raise self._unusable(problem) from None

    def _unusable(self, problem: OSError) -> StoreError:
        return StoreError(
            f"what is spent cannot be kept: {problem}",
            where=str(self.path),
            next="free space or mend the folder, then run again: what was saved is kept",
        )
