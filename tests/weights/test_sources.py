"""Checkpoints where they lie: in folders, behind hosts, read by ranges."""

from __future__ import annotations

import http.server
import re
import threading
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.errors import WeightsError
from harness.weights import output
from harness.weights.check import Settings, check
from harness.weights.checkpoint import address_of
from tests.weights.models import BASE, BF16, DONOR, mixed, saved, tuned


@pytest.mark.parametrize(
    ("url", "label", "folder"),
    [
        ("https://huggingface.co/A/B", "A/B", "https://huggingface.co/A/B/resolve/main"),
        ("https://huggingface.co/A/B/tree/v2", "A/B", "https://huggingface.co/A/B/resolve/v2"),
        ("https://example.com/models/b/", "b", "https://example.com/models/b"),
        ("s3://bucket/models/b", "b", "s3://bucket/models/b"),
    ],
)
def test_a_model_s_page_is_read_where_its_files_lie(url, label, folder):
    assert address_of(url) == (label, folder)


class Ranges(http.server.BaseHTTPRequestHandler):
    """A file host: answers ranges (or not), hangs up sometimes, and counts bytes."""

    folder: Path
    ranges = True
    hang_up_every = 0
    sent = 0
    counting = threading.Lock()
    asked = 0

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        path = self.folder / self.path.split("?")[0].lstrip("/")
        if not path.is_file():
            self.send_error(404)
            return
        content, status = path.read_bytes(), 200
        total = len(content)
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if wanted and self.ranges:
            content, status = content[int(wanted[1]) : int(wanted[2]) + 1], 206
        self.send_response(status)
        if status == 206:
            self.send_header("Content-Range", f"bytes {wanted[1]}-{wanted[2]}/{total}")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", '"1"')
        self.end_headers()
        if not body:
            return
        kind = type(self)
        with kind.counting:
            kind.asked += 1
            hang_up = kind.hang_up_every and kind.asked % kind.hang_up_every == 0
            kind.sent += (
                0 if hang_up else len(content)
            )  # before it is sent: the client may be done before this thread goes on
        if hang_up:
            self.wfile.write(content[: len(content) // 2])
            self.connection.close()
            return
        self.wfile.write(content)


@pytest.fixture
def hosted(tmp_path):
    """Serve a folder: gives the address and the handler to misbehave with."""
    kind = type("Host", (Ranges,), {"folder": tmp_path})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", kind
    server.shutdown()
    thread.join()
    server.server_close()


def test_published_checkpoints_are_read_by_ranges_and_hardly_at_all(hosted, parents, tmp_path):
    url, host = hosted
    rng = np.random.default_rng(4)
    base = {"layers.0.mlp.up_proj.weight": rng.normal(size=(40_000, 64)).astype(BF16)}
    donor = tuned(base, 1)
    for name, model in (
        ("base", base),
        ("donor", donor),
        ("suspect", mixed(lambda d, b: 0.6 * d + 0.4 * b, donor, base)),
    ):
        saved(tmp_path / name, model)
    whole = 3 * 40_000 * 64 * 2
    wanted = Settings(sample=0.05, cache=tmp_path / "cache")
    found = check(f"{url}/suspect", [f"{url}/donor", f"{url}/base"], wanted)
    assert found.verdict.method == "linear merge" and host.sent < 0.5 * whole
    before = host.sent
    check(f"{url}/suspect", [f"{url}/donor", f"{url}/base"], wanted)
    assert host.sent - before < 20_000, (
        "what was read is in the cache; only headers are asked again"
    )


def test_any_scheme_that_fsspec_knows_is_read(parents, tmp_path):
    fsspec = pytest.importorskip("fsspec")
    model = saved(
        tmp_path / "suspect", mixed(lambda d, b: 0.6 * d + 0.4 * b, DONOR, BASE), shards=2
    )
    for file in model.iterdir():
        fsspec.filesystem("memory").pipe(f"/models/suspect/{file.name}", file.read_bytes())
    found = check("memory://models/suspect", parents, Settings())
    assert found.verdict.method == "linear merge" and len(found.tensors) == len(BASE)


def test_a_dropped_connection_is_tried_again_and_changes_nothing(hosted, parents, tmp_path):
    url, host = hosted
    model = mixed(lambda d, b: 0.6 * d + 0.4 * b, DONOR, BASE)
    saved(tmp_path / "remote", model)
    host.hang_up_every = 5
    found = check(f"{url}/remote", parents, Settings())
    here = check(str(tmp_path / "remote"), parents, Settings())
    pd.testing.assert_frame_equal(output.frame(found), output.frame(here), check_exact=True)


def test_a_host_without_ranges_is_refused_by_name(hosted, parents, tmp_path):
    url, host = hosted
    saved(tmp_path / "remote", DONOR)
    host.ranges = False
    with pytest.raises(WeightsError, match="does not answer range requests"):
        check(f"{url}/remote", parents, Settings())
    with pytest.raises(
        WeightsError, match=r"neither model.safetensors.index.json nor model.safetensors"
    ):
        check(f"{url}/nothing", parents, Settings())
