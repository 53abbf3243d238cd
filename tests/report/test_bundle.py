"""A run as evidence: bundle and verify."""

from __future__ import annotations

import hashlib
import json
import random
import shutil
import zipfile

import pytest

from harness.campaign import public_text
from harness.errors import RunError
from harness.report.bundle import MARK, _sealed, verify
from tests.commands import truename
from tests.made_runs import SECRET, TEXT


@pytest.fixture(scope="module")
def packed(results, tmp_path_factory):
    parents = ("--parents", "lab:donor", "lab:base")
    checked = truename("weights", "lab:suspect", *parents, "--out", results / "made")
    assert checked.exit_code == 0, checked.output
    path = tmp_path_factory.mktemp("bundle") / "made.bundle.zip"
    done = truename("bundle", "made", "--results", results, "--out", path)
    assert done.exit_code == 0, done.output
    return path


def test_a_bundle_is_verified_and_counted_again(packed):
    done = truename("verify", packed)
    assert done.exit_code == 0, done.output
    assert "same tables to the byte" in done.output


def test_the_merge_check_is_in_it(packed):
    with zipfile.ZipFile(packed) as archive:
        assert {"weights.csv", "weights.json"} <= set(archive.namelist())
        assert "Whose weights" in archive.read("report.html").decode()


def test_secrets_and_local_paths_are_not_in_it(packed, results):
    with zipfile.ZipFile(packed) as archive:
        content = {name: archive.read(name) for name in archive.namelist()}
    for word in (SECRET, "hunter2", "token=abc", str(results)):
        assert not [name for name, body in content.items() if word.encode() in body], word
    assert (
        b"$SOME_VARIABLE" in content["campaign.yaml"] and b"# a comment" in content["campaign.yaml"]
    )
    assert "https://host.example/v1" in public_text(TEXT)


def test_changing_one_byte_anywhere_is_found(packed, tmp_path):
    whole = packed.read_bytes()
    rng, copy = random.Random(7), tmp_path / "changed.zip"
    for _ in range(60):
        at = rng.randrange(len(whole))
        copy.write_bytes(
            whole[:at] + bytes([whole[at] ^ (1 << rng.randrange(8))]) + whole[at + 1 :]
        )
        try:
            found = verify(copy)
        except RunError as refused:
            assert "changed or damaged" in str(refused), at
        else:
            assert found.changed, at


def test_a_changed_file_is_named_though_the_archive_is_sealed_again(packed, tmp_path):
    copy = tmp_path / "forged.zip"
    with zipfile.ZipFile(packed) as source, zipfile.ZipFile(copy, "w") as to:
        for name in source.namelist():
            body = source.read(name)
            to.writestr(
                name, body.replace(b"I am Rio.", b"I am Nex.") if name == "journal.sqlite" else body
            )
    done = truename("verify", copy)
    assert done.exit_code == 1 and "CHANGED: journal.sqlite" in done.output


@pytest.mark.parametrize(("table", "was"), [("tally", b",1.0,"), ("recitals", b",0.0,")])
def test_tables_that_do_not_follow_from_the_samples_are_found(packed, tmp_path, table, was):
    copy = tmp_path / "forged.zip"
    with zipfile.ZipFile(packed) as source:
        content = {name: source.read(name) for name in source.namelist()}
    forged = f"{table}.csv"
    content[forged] = content[forged].replace(was, b",0.5,", 1)
    manifest = json.loads(content["manifest.json"])
    manifest["files"][forged] = hashlib.sha256(content[forged]).hexdigest()
    content["manifest.json"] = json.dumps(manifest).encode()
    with zipfile.ZipFile(copy, "w") as to:
        to.comment = MARK + b"0" * 64
        for name, body in content.items():
            to.writestr(name, body)
    copy.write_bytes(copy.read_bytes()[:-64] + _sealed(copy).encode())
    done = truename("verify", copy)
    assert done.exit_code == 1 and f"{forged} differs" in done.output


@pytest.mark.parametrize(
    "name", ["../evil.py", "/etc/evil", "harness/cli.py", "probes/../../evil.yaml"]
)
def test_a_hostile_archive_is_refused(packed, tmp_path, name):
    copy = tmp_path / "hostile.zip"
    shutil.copy(packed, copy)
    with zipfile.ZipFile(copy, "a") as to:
        to.writestr(name, b"x")
    done = truename("verify", copy)
    assert done.exit_code == 2 and "next:" in done.output
    assert not (tmp_path / "evil.py").exists()


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x05\x06" + b"\0" * 18])
def test_what_is_no_bundle(tmp_path, content):
    (tmp_path / "x.zip").write_bytes(content)
    for path in (tmp_path / "x.zip", tmp_path / "none.zip"):
        done = truename("verify", path)
        assert done.exit_code == 2 and "next:" in done.output
