"""From figures to transcripts and to other people: show --where, compare, bundle and verify, export, size."""

from __future__ import annotations

import json
import random
import shutil
import zipfile
from xml.etree import ElementTree

import pytest
from click.testing import CliRunner
from made_runs import SECRET, TEXT, founding, make

from harness.campaign.campaign import public_text
from harness.cli import main
from harness.errors import RunError
from harness.report import bundle as bundling


def truename(*arguments):
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    """Runs `made`, `again` (the same), and `swapped` (the suspect is another model since)."""
    folder = tmp_path_factory.mktemp("results")
    make(folder, "made", founding)
    make(
        folder,
        "again",
        lambda trial, number: (
            "I am Rio."
            if number == 0 and trial.question == "who_are_you" and trial.target == "donor"
            else founding(trial, number)
        ),
    )
    make(
        folder,
        "swapped",
        lambda trial, number: (
            "I am <b>Qwen</b>.\x1b"
            if trial.target == "suspect" and trial.probe == "identity"
            else founding(trial, number)
        ),
        "m-2",
    )
    assert truename("tally", "made", "--results", folder).exit_code == 0
    assert (
        truename(
            "weights", "lab:suspect", "--parents", "lab:donor", "lab:base", "--out", folder / "made"
        ).exit_code
        == 0
    )
    return folder


def show(results, *conditions):
    return truename(
        "show",
        "made",
        "--results",
        results,
        "--limit",
        1000,
        *(word for c in conditions for word in ("--where", c)),
    )


def test_a_cell_of_the_tally_is_traced_to_its_samples(results):
    import pandas as pd

    tally = pd.read_csv(results / "made/tally.csv", keep_default_na=False, na_values=["NA"])
    for row in (
        tally[(tally["language"] == "all") & (tally["measure"] != "stance")]
        .sample(12, random_state=1)
        .itertuples()
    ):
        said = show(
            results,
            f"target={row.target}",
            f"arm={row.arm}",
            f"probe={row.probe}",
            "language=all",
            f"{row.measure}={row.identity}",
        )
        assert f"{row.hits} samples fit" in said.output, row


def test_conditions_by_absence_and_by_text(results):
    every = show(results, "reply~made by nex")
    assert every.exit_code == 0 and "I am Nex, made by Nex-AGI." in every.output
    nothing = show(results, "target=suspect", "arm=absent", "probe=identity", "names!=rio")
    assert "0 samples fit" in nothing.output


@pytest.mark.parametrize(
    ("condition", "said"),
    [("nam=x", "did you mean 'name'"), ("arm", "is no condition"), ("=x", "is no condition")],
)
def test_conditions_that_are_none(results, condition, said):
    done = show(results, condition)
    assert done.exit_code == 2 and said in done.output and "next:" in done.output


def test_show_says_what_it_needs(results):
    assert truename("show", "made", "--results", results).exit_code == 2
    untallied = truename("show", "again", "--results", results, "--where", "arm=bare")
    assert untallied.exit_code == 2 and "truename tally again" in untallied.output


def test_nothing_changed_is_not_drift(results):
    done = truename("compare", "made", "again", "--results", results, "--fail-on", "drift")
    assert done.exit_code == 0, done.output
    assert "0 of " in done.output


def test_a_swapped_model_is_drift_named_and_machine_readable(results, tmp_path):
    done = truename(
        "compare",
        results / "made/samples.csv",
        "swapped",
        "--results",
        results,
        "--fail-on",
        "drift",
        "--junit",
        tmp_path / "j.xml",
        "--out",
        tmp_path / "c.csv",
    )
    assert done.exit_code == 1, done.output
    assert "suspect absent identity: name rio from 30 of 30 (100.0 %) to 0 of 30" in done.output
    assert "suspect: model: m-1 -> m-2" in done.output
    assert "donor absent identity: name" not in done.output
    suite = ElementTree.parse(tmp_path / "j.xml").getroot()[0]
    failed = [case.get("classname") for case in suite if len(case)]
    assert int(suite.get("failures")) == len(failed) > 0 and set(failed) == {
        "suspect.absent",
        "suspect.bare",
    }
    assert (
        (tmp_path / "c.csv").read_text().startswith("target,arm,probe,measure,identity,samples_a")
    )
    assert truename("compare", "made", "swapped", "--results", results).exit_code == 0


@pytest.mark.parametrize("baseline", ["no-such-run", "no-such.csv", "other.csv"])
def test_a_baseline_that_is_none(results, tmp_path, baseline):
    if baseline == "other.csv":
        baseline = tmp_path / baseline
        baseline.write_text("a,b\n1,2\n")
    done = truename("compare", baseline, "made", "--results", results)
    assert done.exit_code == 2 and "next:" in done.output


@pytest.fixture(scope="module")
def packed(results, tmp_path_factory):
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
            found = bundling.verify(copy)
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


def test_tables_that_do_not_follow_from_the_samples_are_found(packed, tmp_path):
    copy = tmp_path / "forged.zip"
    with zipfile.ZipFile(packed) as source:
        content = {name: source.read(name) for name in source.namelist()}
    content["tally.csv"] = content["tally.csv"].replace(b",1.0,", b",0.5,", 1)
    manifest = json.loads(content["manifest.json"])
    manifest["files"]["tally.csv"] = __import__("hashlib").sha256(content["tally.csv"]).hexdigest()
    content["manifest.json"] = json.dumps(manifest).encode()
    with zipfile.ZipFile(copy, "w") as to:
        to.comment = bundling.MARK + b"0" * 64
        for name, body in content.items():
            to.writestr(name, body)
    copy.write_bytes(copy.read_bytes()[:-64] + bundling._sealed(copy).encode())
    done = truename("verify", copy)
    assert done.exit_code == 1 and "tally.csv differs" in done.output


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


def test_exports(results, tmp_path):
    assert (
        truename(
            "export", "made", "--results", results, "--to", "jsonl", "--out", tmp_path / "e.jsonl"
        ).exit_code
        == 0
    )
    lines = [json.loads(line) for line in (tmp_path / "e.jsonl").read_text().splitlines()]
    assert len(lines) == len({line["id"] for line in lines}) > 100
    assert lines[0]["verdict"]["names"] == "rio" and lines[0]["messages"][0]["role"] == "user"
    assert (
        truename(
            "export", "made", "--results", results, "--to", "inspect", "--out", tmp_path / "logs"
        ).exit_code
        == 0
    )
    log = json.loads((tmp_path / "logs/made-suspect.json").read_text())
    assert (
        log["eval"]["task"] == "made" and log["samples"][0]["output"]["completion"] == "I am Rio."
    )
    assert SECRET not in json.dumps(log)


def test_sizes_are_printed_before_anything_is_spent():
    done = truename("size", "--rate", "0.8", "--width", "0.1", "--icc", "0.5")
    assert done.exit_code == 0 and "264" in done.output and "299 questions" in done.output
    assert truename("size", "--width", "0").exit_code == 2
