"""Checkpoints where they lie: in folders, behind hosts, read by ranges."""

from __future__ import annotations

import http.server
import re
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from harness.errors import WeightsError
from harness.masking import hide
from harness.weights import output, sources
from harness.weights.check import Settings, check
from harness.weights.checkpoint import address_of
from harness.weights.sources import RemoteFile
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
    changes_after = 0  # so many answers later the files are others
    heeds = True  # what a request is conditional on
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
        tag = '"2"' if self.changes_after and type(self).asked >= self.changes_after else '"1"'
        if self.heeds and self.headers.get("If-Match", tag) != tag:
            self.send_error(412)
            return
        self.send_response(status)
        if status == 206:
            self.send_header("Content-Range", f"bytes {wanted[1]}-{wanted[2]}/{total}")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", tag)
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


@pytest.mark.parametrize("heeds", [True, False], ids=["the host heeds If-Match", "it does not"])
def test_a_file_that_changes_while_it_is_read_ends_the_check(hosted, parents, tmp_path, heeds):
    url, host = hosted
    saved(tmp_path / "remote", mixed(lambda d, b: 0.6 * d + 0.4 * b, DONOR, BASE))
    host.changes_after, host.heeds = 4, heeds  # size, length and header have come
    with pytest.raises(WeightsError, match="changed while it was read"):
        check(f"{url}/remote", parents, Settings())


def test_reads_that_lie_one_behind_the_other_are_one_request(hosted, tmp_path):
    url, host = hosted
    content = np.random.default_rng(1).integers(0, 256, 6 << 20, np.uint8)
    content.tofile(tmp_path / "file")
    file = RemoteFile(f"{url}/file")
    size, before = 1 << 18, host.asked
    places = range(0, 6 << 20, size)
    for place in places:
        file.announce(place, size)
    with ThreadPoolExecutor(4) as pool:

        def read(place):
            into = np.empty(size, np.uint8)
            file.read(place, into)
            return into

        found = np.concatenate(list(pool.map(read, places)))
    np.testing.assert_array_equal(found, content)
    assert host.asked - before == 2  # 4 MB, and the rest


def test_reads_that_nobody_announced_or_that_came_too_late_are_asked_for_alone(hosted, tmp_path):
    url, host = hosted
    np.arange(100, dtype=np.uint8).tofile(tmp_path / "file")
    file, into, before = RemoteFile(f"{url}/file"), np.empty(10, np.uint8), host.asked
    for place in (0, 40, 10, 40):
        file.read(place, into)
        assert into[0] == place
    assert host.asked - before == 4


def test_the_token_for_published_models_is_a_secret(monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_AbCdEfGhIjKlMnOp0123456789")
    sources._Obstore("https://huggingface.co/some/model/resolve/main/model.safetensors")
    assert hide("401 for hf_AbCdEfGhIjKlMnOp0123456789") == "401 for [key]"
