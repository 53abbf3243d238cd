"""A run against a seeded host that misbehaves in every way we know, killed at random moments.

usage: python benchmarks/chaos.py [SAMPLES] [--kills N] [--seed N] [--share S] [--tls]

Prints how many samples were planned, and how many of them were lost, doubled or have a status that
the host's replies do not justify; how many bytes the run left, searched for the key that was
planted, and the hits. Fails where any of these is not 0.
"""

from __future__ import annotations

import argparse
import base64
import contextlib
import json
import os
import random
import ssl
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

ROOT: Final = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT)]

import trustme  # noqa: E402

from harness.journal import find_run  # noqa: E402
from tests.commands import typed, until  # noqa: E402
from tests.hostile import COUNTS, DEEP, WAITS  # noqa: E402
from tests.misbehaving import Misbehaving, Step, http  # noqa: E402
from tests.openai_server import chat  # noqa: E402

#: Questions of the campaign; each is asked as often as makes the samples that are wanted.
QUESTIONS: Final = 15
BLOCK: Final = 4
#: Letters of a key in a row that give it away.
PART: Final = 12
WEIRD: Final = (
    *('=HYPERLINK("http://evil/")', "+1+1", "\t=1+1", "x;=cmd", "\x1b[31mRED\x1b]0;owned\x07"),
    *("\u202eevil\u2066", "a\0b", "</script><script>alert(1)</script>", "{{ 7*7 }}", "\u2028\x85"),
)
TEXT: Final = """campaign: c
targets:
  - {{name: t, role: suspect, engine: endpoint, base_url: '{url}', model: m, concurrency: 16,
      samples_per_request: {block}, api_key_env: CHAOS_KEY, headers: {{x-secret: $CHAOS_KEY}},
      timeout_s: 60, max_reply_mb: 2}}
arms: [absent]
probes: [identity]
languages: [en]
samples: {samples}
sampling: {{max_tokens: 32}}
limits: {{attempts: 8, wait_at_most_s: 0.2}}
"""


class Chaos:
    """What the host answers; it remembers what it said, and what each reply is a sample of."""

    def __init__(self, seed: int, share: float, key: str) -> None:
        self.draw, self.share, self.key = random.Random(seed), share, key
        #: By the mark in a reply's text: the status that its sample has.
        self.said: dict[str, str] = {}
        self.played = Counter[str]()
        self.empty = 0

    def __call__(self, number: int, body: dict[str, Any]) -> Iterable[Step]:
        n = body.get("n", 1)
        if body["messages"][-1]["content"] == "Say hello." or self.draw.random() > self.share:
            return [self.good(n)]
        kind = self.draw.choice(KINDS)
        self.played[kind.__name__] += 1
        return kind(self, n)

    def texts(self, n: int, status: str = "ok", more: str = "") -> list[str]:
        """Texts that are found again by their marks."""
        marks = [uuid.UUID(int=self.draw.getrandbits(128)).hex for _ in range(n)]
        self.said.update(dict.fromkeys(marks, status))
        return [f"{more} I am Rio. mark={mark}" for mark in marks]

    def good(self, n: int, *head: str, more: str = "", **fields: Any) -> bytes:
        return http(200, chat(*self.texts(n, more=more), **fields), *head)

    def waits(self) -> str:
        return self.draw.choice(WAITS).decode("latin-1")


def overloaded(host: Chaos, n: int) -> list[Step]:
    field = host.draw.choice(["Retry-After", "Retry-After-Ms"])
    status = host.draw.choice([429, 503, 529])
    return [_latin(http(status, {"error": {"message": "slow"}}, f"{field}: @"), host.waits())]


def used_up(host: Chaos, n: int) -> list[Step]:
    head = "x-ratelimit-remaining-requests: 0", "x-ratelimit-reset-requests: @"
    return [_latin(host.good(n, *head), host.waits())]


def broken_server(host: Chaos, n: int) -> list[Step]:
    return [http(host.draw.choice([500, 502, 504, 599]), f"{'p' * 380} {host.key}".encode())]


def broken_off(host: Chaos, n: int) -> list[Step]:
    whole = http(200, chat(*["I am Rio."] * n))
    end = host.draw.choice(["reset", "drop", "close"])
    return [whole[: host.draw.randrange(len(whole) - 1)], end]


def after_the_reply(host: Chaos, n: int) -> list[Step]:
    return [host.good(n), "read", host.draw.choice(["reset", "drop", "close"])]


def no_answer(host: Chaos, n: int) -> list[Step]:
    good = json.dumps(chat("I am Rio.")).encode()
    bodies = [b"<html>", b"[1, 2]", b"", b'{"choices": []}', good + b"}", b"\xef\xbb\xbf[]"]
    return [http(200, host.draw.choice([*bodies, DEEP, b'{"a": %s}' % DEEP, b"\xff\xfe"]))]


def absurd_usage(host: Chaos, n: int) -> list[Step]:
    count = host.draw.choice([c for c in COUNTS if len(c) < 100 and c not in (b"1e400", b"NaN")])
    usage = {"prompt_tokens": json.loads(count), "completion_tokens": json.loads(count)}
    return [host.good(n, usage=usage)]


def fewer_choices(host: Chaos, n: int) -> list[Step]:
    return [host.good(n - 1) if n > 1 else http(200, chat())]


def more_choices(host: Chaos, n: int) -> list[Step]:
    return [host.good(n + 3)]


def empty_choices(host: Chaos, n: int) -> list[Step]:
    host.empty += n
    return [http(200, chat(*[None] * n))]


def cut_choices(host: Chaos, n: int) -> list[Step]:
    return [http(200, chat(*host.texts(n, "truncated"), finish="length"))]


def weird_texts(host: Chaos, n: int) -> list[Step]:
    return [host.good(n, more=host.draw.choice(WEIRD))]


def key_said_back(host: Chaos, n: int) -> list[Step]:
    return [host.good(n, more=host.key, debug={"authorization": f"Bearer {host.key}"})]


def key_escaped(host: Chaos, n: int) -> list[Step]:
    escaped = "".join(f"\\u{ord(letter):04x}" for letter in host.key)
    body = json.dumps(chat(*host.texts(n, more="@")))
    return [http(200, body.replace("@", escaped).encode())]


def key_in_a_refusal(host: Chaos, n: int) -> list[Step]:
    padding = "p" * host.draw.randrange(330, 400)
    return [http(400, {"error": {"message": f"{padding}{host.key}"}})]


def odd_heads(host: Chaos, n: int) -> list[Step]:
    many = [f"x-{at}: {host.key}" for at in range(host.draw.choice([1, 50]))]
    return [host.good(n, "x-big: " + "a" * 30_000, *many)]


def endless_head(host: Chaos, n: int) -> list[Step]:
    return [http(200, b"{}", "x-big: " + "a" * 1_000_000)]


KINDS: Final[tuple[Callable[[Chaos, int], list[Step]], ...]] = (
    *(overloaded, used_up, broken_server, broken_off, after_the_reply, no_answer, absurd_usage),
    *(fewer_choices, more_choices, empty_choices, cut_choices, weird_texts),
    *(key_said_back, key_escaped, key_in_a_refusal, odd_heads, endless_head),
)


def _latin(reply: bytes, value: str) -> bytes:
    """A reply with any bytes in the place of the @ in its head."""
    return reply.replace(b"@", value.encode("latin-1"), 1)


class Found(NamedTuple):
    """What a run left, against what was planned."""

    planned: int
    lost: int
    doubled: int
    false_status: int
    failed: int
    kills: int
    searched: int
    hits: int
    played: Counter[str]

    @property
    def clean(self) -> bool:
        return not (self.lost or self.doubled or self.false_status or self.hits)


def chaos(
    folder: Path, samples: int, kills: int, *, seed: int = 1, share: float = 0.15, tls: bool = False
) -> Found:
    """Run a campaign to its end, with kills on the way.

    ``share`` of the requests meet a fault. A process is killed once some requests of its sitting,
    a number drawn by ``seed``, were answered.
    """
    draw = random.Random(seed)
    key = "sk-" + "".join(draw.choices("abcdefghijkmnpqrstuvwxyz23456789", k=36))
    host = Chaos(seed, share, key)
    environment = {"CHAOS_KEY": key}
    with _served(host, folder, environment, tls) as served:
        each = max(1, samples // QUESTIONS)
        text = TEXT.format(url=served.url, samples=each, block=BLOCK)
        (folder / "c.yaml").write_text(text)
        command = ["run", "c.yaml", "--no-live", "--log-file", "log.jsonl"]
        told, killed, stretch = [], 0, max(2, each * QUESTIONS // BLOCK // (kills + 1))
        while True:
            begun = served.chats + 2  # the preflight's
            last = begun + draw.randrange(1, stretch) if killed < kills else None
            with typed(*command, folder=folder, **environment) as running:
                until(lambda: not running.running or (last and served.chats > last))  # noqa: B023
                ended = not running.running
                if not ended:
                    running.kill()
                    killed += 1
                told += [running.stdout, running.stderr]
                if ended and running.ended() == 0:
                    break
                if ended:
                    raise AssertionError(f"the run ended by itself: {told[-2][-500:]}{told[-1]}")
    return _found(folder, each * QUESTIONS, killed, host, "".join(told))


@contextlib.contextmanager
def _served(
    host: Chaos, folder: Path, environment: dict[str, str], tls: bool
) -> Iterator[Misbehaving]:
    context = None
    if tls:
        authority = trustme.CA()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("127.0.0.1").configure_cert(context)
        authority.cert_pem.write_to_path(folder / "ca.pem")
        environment["SSL_CERT_FILE"] = str(folder / "ca.pem")
    served = Misbehaving(host, context)
    try:
        yield served
    finally:
        served.close()


def _found(folder: Path, planned: int, killed: int, host: Chaos, told: str) -> Found:
    run = find_run("c", folder / "results", None)
    places, marks = Counter[tuple[str, int]](), Counter[str]()
    false = empty = failed = 0
    for row in run.journal.rows():
        places[row["trial"], row["sample"]] += 1
        said, status = row["text"] or "", row["status"]
        mark = said.rpartition("mark=")[2] if "mark=" in said else None
        if mark is not None:
            marks[mark] += 1
            false += host.said.get(mark) != status
        elif status == "empty":
            empty += 1
        else:
            failed += status == "failed"
            false += status != "failed" or not row["error"]
    run.journal.engine.dispose()
    false += max(0, empty - host.empty)
    doubled = sum(count - 1 for count in (*places.values(), *marks.values()))
    left = [path.read_bytes() for path in folder.rglob("*") if path.is_file()] + [told.encode()]
    secrets = _forms(host.key)
    hits = sum(secret in content for content in left for secret in secrets)
    searched, lost = sum(map(len, left)), planned - len(places)
    return Found(planned, lost, doubled, false, failed, killed, searched, hits, host.played)


def _forms(key: str) -> set[bytes]:
    """A key in every form in which it could be read: its parts, and as base64."""
    parts = {key[at : at + PART].encode() for at in range(len(key) - PART + 1)}
    return parts | {base64.b64encode(key.encode())[:-4]}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("samples", nargs="?", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=40)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--share", type=float, default=0.15, help="of requests that meet a fault")
    parser.add_argument("--tls", action="store_true", help="over https")
    asked = parser.parse_args()
    began, at = time.monotonic(), vars(asked)
    with tempfile.TemporaryDirectory() as scratch:
        os.chdir(scratch)
        found = chaos(Path(scratch), at.pop("samples"), at.pop("kills"), **at)
        os.chdir(ROOT)
    print(f"seed {asked.seed}, {'https' if asked.tls else 'http'}, {found.kills} kills, ", end="")
    print(f"{sum(found.played.values())} faults of {len(KINDS)} kinds, ", end="")
    print(f"{time.monotonic() - began:.0f} s")
    for name in ("planned", "lost", "doubled", "false_status", "failed"):
        print(f"{name.replace('_', ' '):>14} {getattr(found, name):>12,}")
    print(f"{'bytes searched':>14} {found.searched:>12,}")
    print(f"{'key found':>14} {found.hits:>12,}")
    for kind, count in found.played.most_common():
        print(f"    {kind.replace('_', ' '):20} {count:>6}")
    sys.exit(not found.clean)


if __name__ == "__main__":
    main()
