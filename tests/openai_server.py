"""A loopback server that speaks the OpenAI protocol: a test's far end of the network."""

from __future__ import annotations

import json
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = tuple[int, dict[str, str], bytes]


def chat(*texts: str | None, finish: str = "stop", **fields: Any) -> dict[str, Any]:
    """A valid chat completion with one choice a text."""
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "served-model",
        "system_fingerprint": "fp_1",
        "choices": [
            {
                "index": i,
                "finish_reason": finish,
                "logprobs": None,
                "message": {"role": "assistant", "content": text, "refusal": None},
            }
            for i, text in enumerate(texts)
        ],
        "usage": {"prompt_tokens": 9, "completion_tokens": 5, "total_tokens": 14},
    } | fields


class _Server(ThreadingHTTPServer):
    def handle_error(self, *about: Any) -> None:
        """Whoever asked may have been killed: that is no error of this host."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(*about)


class FakeHost:
    """Answers by ``respond(path, body, number)``; number counts the requests to that path.

    What is got, not posted, is answered by ``got(path)``; None is a page that is not there.
    """

    def __init__(
        self,
        respond: Callable[[str, dict[str, Any], int], Any],
        got: Callable[[str], Any] = lambda path: None,
    ) -> None:
        self.seen: list[tuple[str, dict[str, Any], dict[str, str]]] = []
        host = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                host.seen.append((self.path, body, {k.lower(): v for k, v in self.headers.items()}))
                answer = respond(
                    self.path, body, sum(path == self.path for path, _, _ in host.seen)
                )
                self.answer(answer)

            def answer(self, answer: Any) -> None:
                status, headers, content = (
                    answer if isinstance(answer, tuple) else (200, {}, json.dumps(answer).encode())
                )
                self.send_response(status)
                for name, value in {
                    "Content-Type": "application/json",
                    "Content-Length": str(len(content)),
                    **headers,
                }.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            def do_GET(self) -> None:
                answer = got(self.path)
                self.answer((404, {}, b"") if answer is None else answer)

            def log_message(self, *_: object) -> None:
                pass

        self.server = _Server(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}/v1"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()
