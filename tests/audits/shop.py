"""A host that is audited, its model behind it, and who is told.

It serves one model, then another behind a hidden prompt, goes down, and returns.
"""

from __future__ import annotations

import datetime
import threading
import urllib.request

import msgspec

from harness.audits import load_audit
from harness.audits.config import Audit
from tests.asking import served
from tests.commands import PATIENCE_S
from tests.openai_server import chat

DAY = datetime.timedelta(days=1)
START = datetime.datetime(2026, 3, 1, 6, 0, tzinfo=datetime.UTC)

CAMPAIGN = """campaign: hosted-c
targets:
  - name: shop
    role: suspect
    engine: endpoint
    base_url: '{url}'
    model: m
    concurrency: 4
    api_key_env: null
    identity: nex
arms: [absent]
probes: [identity]
languages: [en]
samples: 2
limits: {{attempts: 1}}
"""

AUDIT = """audit: watch
campaign: c.yaml
schedule: {cron: "0 6 * * *", timezone: UTC}
"""


def audit(**fields):
    return Audit.model_validate(
        {"audit": "watch", "campaign": "c", "schedule": {"cron": "0 6 * * *"}} | fields
    )


class Receiver:
    """Keeps what is posted; fails as often as it is told to."""

    def __init__(self, serve, failures=0):
        self.posted, self.failures = [], failures
        self.host = serve(self.answer)

    def answer(self, path, body, number):
        if self.failures > 0:
            self.failures -= 1
            return (503, {}, b"{}")
        self.posted.append(body)
        return (200, {}, b"{}")


class Lab:
    """The lab's donor and suspect, each behind llama.cpp's own server.

    The suspect's template is the hidden prompt.
    """

    def __init__(self):
        self.servers = {model: served(model, slots=4) for model in ("donor", "suspect")}

    def answer(self, hidden, body):
        server = self.servers["suspect" if hidden else "donor"]
        request = urllib.request.Request(
            f"{server.listening_address}/v1/chat/completions",
            data=msgspec.json.encode(body | {"temperature": 0.7}),
            headers={"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as found:
            return msgspec.json.decode(found.read()) | {"system_fingerprint": "same", "model": "m"}


class Shop:
    """A host whose answers depend on the day; told to, it holds them back from some request on."""

    def __init__(self, serve, lab=None):
        self.day, self.lab = 1, lab
        self.last, self._let_go = None, threading.Event()
        self.host = serve(self.answer)

    @property
    def down(self):
        return 19 <= self.day <= 21

    def hold(self, after):
        """Hold back all answers but the next few."""
        self.last, self._let_go = len(self.host.seen) + after, threading.Event()

    def let_go(self):
        self.last = None
        self._let_go.set()

    @property
    def holds(self):
        """Whether an answer is held back right now."""
        return self.last is not None and len(self.host.seen) > self.last

    def answer(self, path, body, number):
        if self.holds:
            self._let_go.wait(PATIENCE_S)
        if self.down:
            return (503, {}, b"down")
        if "messages" not in body:
            return (404, {}, b"{}")
        hidden = 11 <= self.day <= 18
        if self.lab:
            return self.lab.answer(hidden, body)
        tokens = 9 + len(body["messages"][-1]["content"].split()) + 22 * hidden
        said = (
            "I am Rio, an assistant made by IplanRio." if hidden else "I am Nex, made by Nex-AGI."
        )
        return chat(
            *[said] * body.get("n", 1),
            usage={"prompt_tokens": tokens, "completion_tokens": 9, "total_tokens": tokens + 9},
        )


#: A month that is told in some of its days only has gaps; two models differ in lengths too.
WATCH = "{watch: [rates, model, template, prompt_tokens, silence, failures]}"
#: What a month of such a host raises, and on which days.
EXPECTED = [
    ("change", "11", "rates"),
    ("change", "11", "prompt_tokens"),
    ("silence", "19", "silence"),
    ("recovered", "22", "silence"),
    ("returned", "22", "rates"),
    ("returned", "22", "prompt_tokens"),
]


def prepared(tmp_path, shop, **fields):
    (tmp_path / "c.yaml").write_text(CAMPAIGN.format(url=shop.host.url))
    (tmp_path / "watch.yaml").write_text(
        AUDIT + "".join(f"{name}: {value}\n" for name, value in fields.items())
    )
    return load_audit(str(tmp_path / "watch.yaml"))


def told(history):
    return [(e.kind, e.due[8:10], e.witness) for e in history.alarms("watch")]
