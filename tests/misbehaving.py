"""A loopback host that misbehaves to the byte: for each request a script of what it sends."""

from __future__ import annotations

import asyncio
import json
import re
import ssl
import struct
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from tests.openai_server import chat

#: Bytes to send, seconds to wait, an event to wait for, "read" (wait until the client has read all
#: that was sent), "reset", "drop" (over TLS without its word of farewell) or "close".
Step = bytes | float | threading.Event | str


def http(
    status: int, body: bytes | dict[str, Any], *headers: str, length: int | None = None
) -> bytes:
    """A whole answer as bytes; ``length`` is announced instead of the true one."""
    content = json.dumps(body).encode() if isinstance(body, dict) else body
    lines = [
        f"HTTP/1.1 {status} X",
        "Content-Type: application/json",
        f"Content-Length: {len(content) if length is None else length}",
        *headers,
    ]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + content


def good(body: dict[str, Any]) -> bytes:
    """The answer that was asked for; what it says depends on the question alone."""
    asked = body["messages"][-1]["content"] if body.get("messages") else "raw"
    return http(200, chat(*[f"I am Rio. You asked: {asked}"] * body.get("n", 1)))


class Held:
    """A script that answers well, but holds all after some requests until it is let go."""

    def __init__(self, after: int) -> None:
        self.after, self.let_go = after, threading.Event()

    def __call__(self, number: int, body: dict[str, Any]) -> list[Step]:
        return [good(body)] if number <= self.after else [self.let_go, good(body)]


#: What is never set: an answer that never comes.
NEVER = threading.Event()


async def _turns() -> None:
    """Let the loop turn so often that whatever was begun is done: a time would say nothing."""
    for _ in range(50):
        await asyncio.sleep(0)


async def _read_by(writer: asyncio.StreamWriter) -> None:
    """Wait until the client has read all that was sent, as the kernel's table of sockets says."""
    (_, client), (_, here) = (writer.get_extra_info(name)[:2] for name in ("peername", "sockname"))
    theirs = re.compile(rf": \w+:{client:04X} \w+:{here:04X} \w+ \w+:(\w+)")
    while (found := theirs.search(Path("/proc/net/tcp").read_text())) and int(found[1], 16):
        await asyncio.sleep(0.001)


class Misbehaving:
    """Answers each POST to ``route`` by ``script(number, body)``.

    What is not scripted is answered well; other routes are not there.
    """

    route = "/chat/completions"

    def __init__(
        self,
        script: Callable[[int, dict[str, Any]], Iterable[Step] | None],
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.script, self.tls, self.chats, self.heads, self._writers = script, tls, 0, [], []
        self._loop = asyncio.new_event_loop()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()
        assert self._ready.wait(60)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.set_exception_handler(
            lambda loop, about: None
        )  # clients that hang up are what this host is for
        server = self._loop.run_until_complete(
            asyncio.start_server(self._client, "127.0.0.1", 0, ssl=self.tls, limit=2**24)
        )
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        # Accept no more; a server that is closed first drops what it has just accepted, unclosed.
        for listening in server.sockets:
            self._loop.remove_reader(listening)
        # Connections just accepted get their handler, and so are closed too.
        self._loop.run_until_complete(_turns())
        server.close()
        for writer in self._writers:
            writer.transport.abort()
        tasks = asyncio.all_tasks(self._loop)
        for task in tasks:
            task.cancel()
        self._loop.run_until_complete(asyncio.gather(*tasks, _turns(), return_exceptions=True))
        self._loop.close()

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}/v1"

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(60)

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.append(writer)
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                found = re.search(r"content-length: *(\d+)", head, re.IGNORECASE)
                body = json.loads(await reader.readexactly(int(found.group(1)))) if found else {}
                self.heads.append(head)
                for step in self._steps(head, body):
                    if isinstance(step, bytes):
                        writer.write(step)
                        await writer.drain()
                    elif isinstance(step, float):
                        await asyncio.sleep(step)
                    elif isinstance(step, threading.Event):
                        while not step.is_set():
                            await asyncio.sleep(0.01)
                    elif step == "read":
                        await _read_by(writer)
                    elif step == "reset":
                        linger = struct.pack("ii", 1, 0)  # SO_LINGER 0: an RST
                        writer.get_extra_info("socket").setsockopt(1, 13, linger)
                        writer.transport.abort()
                        return
                    elif step == "drop":
                        writer.transport.abort()
                        return
                    else:
                        writer.close()
                        return
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def _steps(self, head: str, body: dict[str, Any]) -> Iterator[Step]:
        if not head.startswith("POST") or self.route not in head.split("\r\n")[0]:
            yield http(404, b"{}")
            return
        self.chats += 1
        steps = self.script(self.chats, body)
        yield from [good(body)] if steps is None else steps
