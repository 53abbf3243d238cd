"""A stranger's archive is read with distrust, before anything in it is opened."""

from __future__ import annotations

import json
import random
import stat
import struct
import unicodedata
import zipfile

import pytest

from harness.errors import RunError
from harness.report.evidence.archive import unpacked
from harness.report.evidence.contents import LARGEST, MARK, MB, limit_of
from harness.report.evidence.packing import seal
from tests.report.forging import files_of, forged, hashed, sealed

TABLES = ("tally", "comparisons", "recitals", "samples", "overlap")


@pytest.fixture(scope="module")
def honest(tmp_path_factory):
    """A small archive that is a bundle as far as this room looks."""
    files = {f"{table}.csv": b"a\n1\n" for table in TABLES}
    files |= {"journal.sqlite": b"SQLite" * 100, "campaign.yaml": b"campaign: made\n"}
    files |= {"probes/identities/families.yaml": b"families: []\n"}
    manifest = {"format": 3, "run": "made", "samples": 1, "versions": {"truename": "0.1.0"}}
    files = hashed({"manifest.json": json.dumps(manifest).encode(), **files})
    return forged(tmp_path_factory.mktemp("archive") / "honest.zip", files)


def read(path, to, largest=LARGEST):
    to.mkdir(exist_ok=True)
    return unpacked(path, to, largest)


def refused(path, folder, largest=LARGEST):
    """The refusal of an archive; nothing was written for it anywhere."""
    before = {p for p in folder.rglob("*") if "scratch" not in p.parts}
    with pytest.raises(RunError) as refusal:
        read(path, folder / "scratch", largest)
    assert {p for p in folder.rglob("*") if "scratch" not in p.parts} == before
    assert not list((folder / "scratch").iterdir())
    return str(refusal.value)


def test_an_honest_archive_is_unpacked(honest, tmp_path):
    found = read(honest, tmp_path / "to")
    assert found.changed == [] and found.manifest.run == "made"
    assert (tmp_path / "to/results/run/tally.csv").read_bytes() == b"a\n1\n"
    assert (tmp_path / "to/probes/identities/families.yaml").is_file()


def test_changing_one_byte_anywhere_is_found(honest, tmp_path):
    whole, rng, copy = honest.read_bytes(), random.Random(7), tmp_path / "changed.zip"
    for number in range(300):
        at = rng.randrange(len(whole))
        changed = bytes([whole[at] ^ (1 << rng.randrange(8))])
        copy.write_bytes(whole[:at] + changed + whole[at + 1 :])
        try:
            found = read(copy, tmp_path / f"to{number}")
        except RunError as problem:
            assert "changed or damaged" in str(problem), at
        else:
            assert found.changed, at


def test_bytes_at_random_are_refused_with_a_reason(honest, tmp_path):
    """With the right seal, so that only the reading itself stands between."""
    whole, rng, copy = honest.read_bytes(), random.Random(11), tmp_path / "fuzzed.zip"
    for number in range(500):
        body = bytearray(whole)
        for _ in range(rng.randint(1, 6)):
            body[rng.randrange(len(body))] = rng.randrange(256)
        copy.write_bytes(body)
        seal(copy)
        try:
            read(copy, tmp_path / f"to{number}")
        except RunError as problem:
            assert problem.next


@pytest.mark.parametrize(
    "run",
    [
        "--help",
        "-o",
        "../../x",
        "/etc/x",
        "a/b",
        "a\\b",
        "",
        ".",
        "..",
        "x\n",
        "x\0",
        "ü",
        "x" * 65,
    ],
)
def test_a_run_name_that_is_none_is_refused(honest, tmp_path, run):
    said = refused(forged(tmp_path / "f.zip", hashed(files_of(honest), run=run)), tmp_path)
    assert "names a run that no run can be called" in said


@pytest.mark.parametrize(
    "name",
    [
        *("../evil.csv", "/etc/evil.csv", "probes/../../evil.yaml", "probes/./x.yaml"),
        *("probes\\..\\evil.yaml", "C:evil.csv", "harness/cli.py", "probes/evil.py", "probes/"),
        *("journal.sqlite-wal", "journal.sqlite-journal", "journal.sqlite-shm", "Tally.csv"),
        *("counted.json", "spending.jsonl", "journal.told"),
        *("probes/.hidden.yaml", "probes/..yaml", "probes//x.yaml", "tally.csv ", "tally.csv\n"),
        *("probes/x\u202ey.yaml", "ｔally.csv", "probes/" + "x" * 300 + ".yaml"),
        unicodedata.normalize("NFD", "probes/é.yaml"),
    ],
)
def test_a_name_that_no_bundle_has_is_refused(honest, tmp_path, name):
    assert limit_of(name) is None
    files = files_of(honest) | {name: b"x"}
    inside = refused(forged(tmp_path / "a.zip", files), tmp_path)
    assert "that no bundle has" in inside or "differ" in inside
    named = hashed(files)
    del named[name]
    said = refused(forged(tmp_path / "b.zip", named), tmp_path)
    assert "names a file that no bundle has" in said


def test_names_of_other_scripts_are_names(honest, tmp_path):
    files = hashed(files_of(honest) | {"probes/身份.yaml": b"x", "prompts/é/ру.j2": b"y"})
    found = read(forged(tmp_path / "f.zip", files), tmp_path / "to")
    assert not found.changed and (tmp_path / "to/probes/身份.yaml").is_file()


@pytest.mark.parametrize("twin", ["tally.csv", "probes/identities/Families.yaml"])
def test_two_members_of_one_name_are_refused(honest, tmp_path, twin):
    with pytest.warns(UserWarning, match="Duplicate") if twin == "tally.csv" else _nothing():
        path = sealed(
            tmp_path / "f.zip",
            lambda archive: [
                archive.writestr(n, b) for n, b in [*files_of(honest).items(), (twin, b"other")]
            ],
        )
    assert "two files of one name" in refused(path, tmp_path)


class _nothing:
    def __enter__(self):
        return self

    def __exit__(self, *_):
        return None


def test_a_name_with_a_nul_is_refused(honest, tmp_path):
    """ZIP readers of many languages end a name there."""
    path = forged(tmp_path / "f.zip", files_of(honest) | {"weights.csv": b"x"})
    path.write_bytes(path.read_bytes().replace(b"weights.csv", b"tally.csv\0x"))
    seal(path)
    assert "no bundle has" in refused(path, tmp_path)


@pytest.mark.parametrize("mode", [stat.S_IFLNK | 0o777, stat.S_IFDIR | 0o755, stat.S_IFIFO | 0o644])
def test_links_folders_and_pipes_are_refused(honest, tmp_path, mode):
    def write(archive):
        for name, body in files_of(honest).items():
            info = zipfile.ZipInfo(name)
            info.external_attr = (mode if name == "tally.csv" else stat.S_IFREG) << 16
            archive.writestr(info, b"/etc/passwd" if name == "tally.csv" else body)

    assert "a link or a folder" in refused(sealed(tmp_path / "f.zip", write), tmp_path)


def _patched(path, honest, name, at_local, at_central, form, value, both=True):
    """An archive in which a field of one member's headers is changed."""
    body = bytearray(honest.read_bytes())
    with zipfile.ZipFile(honest) as archive:
        info, start = archive.getinfo(name), archive.start_dir
    central = body.index(name.encode(), start) - 46
    struct.pack_into(form, body, central + at_central, value)
    if both:
        struct.pack_into(form, body, info.header_offset + at_local, value)
    path.write_bytes(body)
    seal(path)
    return path


@pytest.mark.parametrize(
    ("flag", "said"), [(0x1, "encrypted"), (0x40, "encrypted"), (0x2000, "encrypted"), (8, "size")]
)
def test_encrypted_and_endless_members_are_refused(honest, tmp_path, flag, said):
    path = _patched(tmp_path / "f.zip", honest, "tally.csv", 6, 8, "<H", flag)
    assert said in refused(path, tmp_path)


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA, 9, 99])
def test_other_ways_of_packing_are_refused(honest, tmp_path, method):
    path = _patched(tmp_path / "f.zip", honest, "tally.csv", 8, 10, "<H", method)
    assert "packed in a way" in refused(path, tmp_path)


@pytest.mark.parametrize(
    ("at_local", "at_central", "form"), [(14, 16, "<L"), (22, 24, "<L"), (8, 10, "<H")]
)
def test_a_header_that_differs_from_the_directory_is_refused(
    honest, tmp_path, at_local, at_central, form
):
    path = _patched(
        tmp_path / "f.zip", honest, "tally.csv", at_local, at_central, form, 0, both=False
    )
    assert "differ" in refused(path, tmp_path)


def test_members_that_share_bytes_are_refused(honest, tmp_path):
    """The directory names one place twice, as bombs do."""
    with zipfile.ZipFile(honest) as archive:
        first = archive.getinfo("tally.csv").header_offset
    path = _patched(tmp_path / "f.zip", honest, "overlap.csv", 0, 42, "<L", first, both=False)
    assert "overlap" in refused(path, tmp_path)


@pytest.mark.parametrize("where", ["before", "between", "after"])
def test_bytes_that_belong_to_nothing_are_refused(honest, tmp_path, where):
    body, path = honest.read_bytes(), tmp_path / "f.zip"
    with zipfile.ZipFile(honest) as archive:
        start = archive.start_dir
    end = body.rindex(b"PK\x05\x06")
    hidden = b"PK\x03\x04hidden"
    if where == "before":
        path.write_bytes(hidden + body)
    elif where == "between":  # the directory lies further on, and the end says so
        moved = bytearray(body[:start] + hidden + body[start:])
        struct.pack_into("<L", moved, end + len(hidden) + 16, start + len(hidden))
        path.write_bytes(moved)
    else:
        path.write_bytes(body + hidden)
    seal(path)
    refused(path, tmp_path)


def test_a_second_directory_is_refused(honest, tmp_path):
    """What one program takes for the end another takes for the comment."""
    other = forged(tmp_path / "other.zip", files_of(honest) | {"tally.csv": b"false"})
    with zipfile.ZipFile(tmp_path / "f.zip", "w") as archive:
        archive.comment = MARK + b"0" * 64
        for name, body in files_of(honest).items():
            archive.writestr(name, body)
        archive.comment = other.read_bytes()[-5000:]
    seal(tmp_path / "f.zip")
    refused(tmp_path / "f.zip", tmp_path)


def test_an_extra_field_may_not_carry_another_name(honest, tmp_path):
    def write(archive):
        for name, body in files_of(honest).items():
            info = zipfile.ZipInfo(name)
            if name == "tally.csv":  # the field of Unicode names
                info.extra = struct.pack("<HHBL", 0x7075, 14, 1, 0) + b"other.csv"
            archive.writestr(info, body)

    assert "hidden" in refused(sealed(tmp_path / "f.zip", write), tmp_path)


def test_a_padded_manifest_is_refused_before_it_is_read(honest, tmp_path):
    files = files_of(honest)
    padded = {"manifest.json": files.pop("manifest.json") + b" " * 50 * MB, **files}
    said = refused(forged(tmp_path / "f.zip", padded), tmp_path)
    assert "manifest.json has" in said


def test_what_unpacks_to_more_than_is_allowed_is_refused_at_once(honest, tmp_path):
    files = hashed(files_of(honest) | {"weights.csv": b"0" * 30 * MB})
    path = forged(tmp_path / "f.zip", files)
    assert "too large" in refused(path, tmp_path, largest=20 * MB)
    assert not read(path, tmp_path / "to", largest=40 * MB).changed
    assert "the file has" in refused(path, tmp_path, largest=1000)


def test_a_member_that_is_larger_than_it_says_is_found(honest, tmp_path):
    path = forged(tmp_path / "a.zip", hashed(files_of(honest) | {"weights.csv": b"0" * 9 * MB}))
    lying = _patched(tmp_path / "f.zip", path, "weights.csv", 22, 24, "<L", 10)
    assert read(lying, tmp_path / "to").changed == ["weights.csv"]
    assert (tmp_path / "to/results/run/weights.csv").stat().st_size <= 10


def test_more_members_than_a_bundle_has_are_refused(honest, tmp_path):
    files = files_of(honest) | {f"probes/x{number}.yaml": b"" for number in range(5_001)}
    assert "more than 5000 files" in refused(forged(tmp_path / "f.zip", files), tmp_path)


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"[]", b"null", b"{}", b"\xff\xfe", b"[" * 100_000, b'{"a":' * 100_000),
        b'{"format": 1e400, "run": "x", "samples": 1, "versions": {}, "files": {}}',
        b'{"format": 3, "run": "x", "samples": -1, "versions": {}, "files": {}}',
        b'{"format": 3, "run": "x", "samples": 1, "versions": {"a b": "1"}, "files": {}}',
        b'{"format": 3, "run": "x", "samples": 1, "versions": {"a": "\\u001b[2J"}, "files": {}}',
        b'{"format": 3, "run": "x", "run": "y", "samples": 1, "versions": {}, "files": {}}',
        b'{"format": 3, "run": "x", "samples": 1, "versions": {}, "files": {"tally.csv": "1"}}',
        b'{"format": 3, "run": "x", "samples": 1, "versions": {}, "files": {}}',
    ],
)
def test_a_manifest_that_truename_does_not_write_is_refused(honest, tmp_path, content):
    files = files_of(honest) | {"manifest.json": content}
    said = refused(forged(tmp_path / "f.zip", files), tmp_path)
    assert "manifest" in said and "\x1b" not in said


def test_a_later_format_is_refused_by_name(honest, tmp_path):
    path = forged(tmp_path / "f.zip", hashed(files_of(honest), format=4))
    assert "format 4" in refused(path, tmp_path)


@pytest.mark.parametrize("content", [b"", b"not a zip", b"PK\x05\x06" + b"\0" * 18, b"x" * 500])
def test_what_is_no_archive(tmp_path, content):
    (tmp_path / "x.zip").write_bytes(content)
    refused(tmp_path / "x.zip", tmp_path)


def test_what_the_manifest_does_not_fit_is_named(honest, tmp_path):
    files = files_of(honest)
    files["tally.csv"] = b"false"
    del files["overlap.csv"]
    files["weights.csv"] = b"more"
    found = read(forged(tmp_path / "f.zip", files), tmp_path / "to")
    assert sorted(found.changed) == [
        *("overlap.csv (missing)", "tally.csv", "weights.csv (not in the manifest)")
    ]


def test_a_bundle_has_all_tables(honest, tmp_path):
    """A forger may not leave out the one that tells."""
    files = files_of(honest)
    del files["tally.csv"]
    found = read(forged(tmp_path / "f.zip", hashed(files)), tmp_path / "to")
    assert found.changed == ["tally.csv (missing)"]
