"""References: bounded reading of strangers' files, and counts of others."""

from __future__ import annotations

import gzip
import io
import json
import tarfile

import msgspec
import pytest

from harness.errors import LineupError
from harness.lineup import Battery, Protocol, Reference, References, choose, fresh, imported
from harness.lineup import references as kept


def a_file(**changed):
    one = Reference(model="m", asked=2, answered=2, cells={"en:colour": {"blue": 2}})
    return References(protocol=Protocol(), models=[one]), changed


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda d: d.update(format="truename references 9"), "format"),
        (lambda d: d.update(more=1), "unknown field `more`"),
        (lambda d: d["models"][0].update(asked=-1), "asked"),
        (lambda d: d["models"][0]["cells"]["en:colour"].update(red=10**9), "cells"),
        (lambda d: d["models"][0]["cells"].update({"en:x": {"w" * 101: 1}}), "cells"),
        (lambda d: d["models"].append(d["models"][0]), "a model stands twice: m"),
        (lambda d: d.pop("protocol"), "protocol"),
    ],
)
def test_a_value_that_makes_no_sense_is_named(change, said):
    document = json.loads(kept.encoded(a_file()[0]))
    change(document)
    with pytest.raises(LineupError, match=said):
        kept.decoded(json.dumps(document).encode(), "here")


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b'{"a": 1}', b"null"])
def test_what_is_no_file_of_references_is_told(content):
    with pytest.raises(LineupError, match="no file of references"):
        kept.decoded(content, "here")


def test_a_file_that_is_too_long_is_not_read(monkeypatch):
    monkeypatch.setattr(kept, "BYTES", 100)
    with pytest.raises(LineupError, match="longer than"):
        kept.decoded(b" " * 101, "here")


def test_references_go_out_and_come_back(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    whole, _ = a_file()
    path = kept.save(whole, "mine")
    assert path == tmp_path / "probes/references/mine.json"
    assert kept.load("mine") == whole
    assert "mine" in kept.known()
    with pytest.raises(LineupError, match="exists already"):
        kept.save(whole, "mine")


@pytest.mark.parametrize("name", ["../out", "a/b", "", "x" * 65])
def test_a_name_leads_nowhere_else(name):
    with pytest.raises(LineupError, match="cannot name references"):
        kept.free(name)


def test_the_labs_references_are_of_the_battery_that_ships():
    chosen = choose()
    assert {"lab:suspect", "lab:donor", "lab:base", "lab:control"} <= {
        one.model for one in chosen.models
    }
    assert chosen.battery == Battery()


def test_references_of_other_questions_are_refused(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    protocol = msgspec.structs.replace(Battery().protocol(), questions="0" * 64)
    one = Reference(model="old", asked=0, answered=0, cells={})
    kept.save(References(protocol=protocol, models=[one]), "old")
    with pytest.raises(LineupError, match="not those that were asked"):
        choose(claim="old")
    with pytest.raises(LineupError, match="asked different questions"):
        choose(["old", "lab"])


def test_counts_whose_questions_are_unknown_judge_nobody(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    kept.save(a_file()[0], "counts")
    with pytest.raises(LineupError, match="do not say what was asked"):
        choose(claim="m")


def test_a_claim_that_no_reference_is_of_gets_the_nearest_name():
    with pytest.raises(LineupError, match="did you mean 'lab:donor'"):
        choose(claim="lab:doner")


DISTRIBUTIONS = {
    "n_cells": 3,
    "distributions": [
        {"model": "a/b", "task_id": "num-10", "lang": "en", "temperature": 1, "n_valid": 30}
        | {"n_off_format": 2, "dist": {"7": 0.8667, "3": 0.1333}, "mode": "7"},
        {"model": "a/b", "task_id": "num-10", "lang": "en", "temperature": 0, "n_valid": 9}
        | {"dist": {"1": 1.0}},
    ],
}


def test_shares_of_a_published_collection_become_counts(tmp_path):
    path = tmp_path / "distributions.json"
    path.write_text(json.dumps(DISTRIBUTIONS))
    found = imported.take(str(path))
    assert found.models[0].cells == {"en:num_10": {"7": 26, "3": 4}}
    assert (found.models[0].asked, found.models[0].answered) == (32, 30)
    assert found.licence == "CC BY 4.0"
    assert "10.5281/zenodo.21278557" in found.source
    assert not found.protocol.probe


def test_lines_of_counts_are_read_also_packed(tmp_path):
    line = {"cells": {"en:x": {"n": 3, "off": 1, "counts": {"yes": 2, "no": 1}}}, "model": "m"}
    path = tmp_path / "counts.jsonl.gz"
    path.write_bytes(gzip.compress(json.dumps(line).encode() + b"\n"))
    found = imported.take(str(path))
    assert found.models[0].cells == {"en:x": {"yes": 2, "no": 1}}
    assert found.models[0].asked == 4


def test_a_packed_file_that_swells_is_not_unpacked_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(imported, "BYTES", 1000)
    path = tmp_path / "counts.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"model":' + b" " * 10_000_000))
    with pytest.raises(LineupError, match="longer than 0 MB"):
        imported.take(str(path))


def packed(files):
    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w:gz") as archive:
        for name, content in files.items():
            about = tarfile.TarInfo(f"package/{name}")
            about.size = len(content)
            archive.addfile(about, io.BytesIO(content))
    return held.getvalue()


@pytest.fixture
def npm(tmp_path, monkeypatch):
    """An npm client that gives the archive which the test puts there."""
    there = tmp_path / "there.tgz"
    client = tmp_path / "npm"
    client.write_text(f'#!/bin/sh\ncp "{there}" "$5"/package.tgz 2>/dev/null || exit 1\n')
    client.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    return there


def test_a_package_is_fetched_by_the_npm_client(npm):
    npm.write_bytes(packed({"results/distributions.json": json.dumps(DISTRIBUTIONS).encode()}))
    assert [one.model for one in imported.take("llm-fingerprint@0.4.0").models] == ["a/b"]


@pytest.mark.parametrize(
    ("archive", "said"),
    [
        (packed({"README.md": b"x"}), "holds no answers"),
        (b"no archive", "archive is broken"),
        (packed({"results/distributions.json": b"{]"}), "cannot be read"),
        (None, "npm did not fetch it"),
    ],
)
def test_a_package_that_is_not_as_it_should_be_is_told(npm, archive, said):
    if archive is not None:
        npm.write_bytes(archive)
    with pytest.raises(LineupError, match=said):
        imported.take("llm-fingerprint")


def test_what_is_no_name_of_a_package_is_not_handed_to_npm(npm):
    with pytest.raises(LineupError, match="neither a file nor"):
        imported.take("--registry=http://127.0.0.1:1")


def test_fresh_batteries_differ_by_seed_and_only_by_it():
    assert fresh(1) == fresh(1)
    assert len({fresh(seed).questions for seed in range(5)} | {Battery().questions}) == 6
