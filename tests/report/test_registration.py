"""What is fixed before the first sample, is seen to be so."""

from __future__ import annotations

import hashlib
import json

import pytest

from harness.campaign import from_text
from harness.errors import RunError, StoreError
from harness.journal import find_run
from harness.report import register, to_begin_with, verify
from harness.report.evidence.registration import check_registration, read_registration
from harness.sampling import REGISTERED_AS, prepare
from tests.commands import truename
from tests.made_runs import CLEAN, founding, make
from tests.report.forging import files_of, forged, hashed


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a campaign whose plan was registered, its run and bundle."""
    place = tmp_path_factory.mktemp("registered")
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("SOME_VARIABLE", "x")
        environment.setenv("PLAIN", "y")
        yield _made(place)


def _made(place):
    (place / "made.yaml").write_text(CLEAN)
    done = truename("plan", "made.yaml", "--register", "--run", "r", folder=place)
    assert done.exit_code == 0 and "registered: results/r/plan.json" in done.output, done.output
    content = (place / "results/r/plan.json").read_bytes()
    assert hashlib.sha256(content).hexdigest() in done.output
    loaded = from_text(CLEAN, "made.yaml", place)
    digest = to_begin_with(loaded, place / "results/r")
    assert digest == hashlib.sha256(content).hexdigest()
    make(place / "results", "r", founding, registered=digest, text=CLEAN)
    assert truename("bundle", "r", folder=place).exit_code == 0
    return place


def test_a_bundle_carries_the_plan_and_is_checked_against_it(folder):
    done = truename("verify", folder / "r.bundle.zip")
    assert done.exit_code == 0, done.output
    assert "plan registered" in done.output and "as they were registered" in done.output


def test_a_plan_says_what_it_fixes(folder):
    plan = read_registration((folder / "results/r/plan.json").read_bytes())
    assert plan.digests.keys() == {
        *("plan", "prompts", "thresholds", "decision rule", "references", "software")
    }
    assert plan.thresholds["claim"] == {"target": "suspect", "identity": "rio"}
    assert "hunter2" not in (folder / "results/r/plan.json").read_text()


def test_a_bundle_with_another_plan_other_references_or_none_is_found(folder, tmp_path):
    files = files_of(folder / "r.bundle.zip")
    plan = json.loads(files["plan.json"])
    plan["thresholds"]["claim"]["identity"] = "nex"
    changed = files | {"plan.json": json.dumps(plan).encode()}
    book = "probes/identities/families.yaml"
    changed[book] = files[book] + b"# a word\n"
    found = verify(forged(tmp_path / "a.zip", hashed(changed)))
    assert "the run did not begin with this plan.json" in found.wrong
    assert "references: not as it was registered" in found.wrong
    missing = {name: body for name, body in files.items() if name != "plan.json"}
    assert "plan.json is missing" in str(verify(forged(tmp_path / "b.zip", hashed(missing))).wrong)


@pytest.fixture(scope="module")
def known(folder):
    """The plan, the run's row, the digests of today, and when its first sample was saved."""
    run = find_run("r", folder / "results", None)
    content = (run.folder / "plan.json").read_bytes()
    record = run.journal.record.describe()
    run.journal.engine.dispose()
    return content, record, read_registration(content).digests, "2999-01-01T00:00:00+00:00"


def test_what_is_as_it_was_registered_is_told(known):
    told = check_registration(*known)
    assert told.wrong == [] == told.notes and len(told.shown) == 1


@pytest.mark.parametrize("subject", ["plan", "prompts", "thresholds", "references"])
def test_each_subject_is_compared(known, subject):
    content, record, now, first = known
    told = check_registration(content, record, now | {subject: "0" * 64}, first)
    assert told.wrong == [f"{subject}: not as it was registered"] and not told.shown


def test_another_decision_rule_is_told(known):
    content, record, now, first = known
    told = check_registration(content, record, now | {"decision rule": "0" * 64}, first)
    assert "decision rule" in told.notes[0] and not told.wrong


@pytest.mark.parametrize(
    "first", ["2001-01-01T00:00:00+00:00", "yesterday", "", None, "2999-01-01"]
)
def test_a_sample_that_is_older_than_the_plan_is_found(known, first):
    content, record, now, _ = known
    told = check_registration(content, record, now, first)
    assert "the plan was not registered before the first sample" in told.wrong


def test_a_run_that_begins_before_its_plan_is_found(known):
    content, record, now, first = known
    told = check_registration(
        content, record | {"created": "2001-01-01T00:00:00+00:00"}, now, first
    )
    assert "the plan was not registered before the first sample" in told.wrong


def test_other_software_is_found(known):
    content, record, now, first = known
    versions = json.loads(record["versions"]) | {"pandas": "0.1"}
    told = check_registration(content, record | {"versions": json.dumps(versions)}, now, first)
    assert "software" in told.wrong[0]


def test_a_plan_that_cannot_be_made_again_is_told(known):
    content, record, _, first = known
    told = check_registration(content, record, "there is no such prompt file", first)
    assert "cannot be made again" in told.wrong[0]


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b"[" * 90_000, b"x" * 2_000_000])
def test_a_plan_that_truename_does_not_write_is_found(known, content):
    _, record, now, first = known
    assert "plan.json cannot be read" in check_registration(content, record, now, first).wrong[0]


def test_a_run_that_was_not_registered_has_nothing_to_show(known):
    _, record, now, first = known
    versions = {k: v for k, v in json.loads(record["versions"]).items() if k != REGISTERED_AS}
    told = check_registration(None, record | {"versions": json.dumps(versions)}, now, first)
    assert told.wrong == told.shown == told.notes == []


def test_a_run_that_has_begun_cannot_be_registered(folder):
    done = truename("plan", "made.yaml", "--register", "--run", "r", folder=folder)
    assert done.exit_code == 2 and "would be older than the plan" in done.output


def test_a_plan_is_registered_once(folder):
    loaded = from_text(CLEAN, "made.yaml", folder)
    register(loaded, "twice", folder / "results")
    with pytest.raises(RunError, match="registered for this run already"):
        register(loaded, "twice", folder / "results")


def test_a_campaign_that_changed_since_does_not_begin(folder):
    place = folder / "results"
    register(from_text(CLEAN, "made.yaml", folder), "other", place)
    (folder / "changed.yaml").write_text(CLEAN.replace("identity: rio", "identity: nex"))
    done = truename("run", "changed.yaml", "--run", "other", folder=folder)
    assert done.exit_code == 2 and "differ: thresholds" in done.output, done.output
    assert not (place / "other" / "journal.sqlite").exists()


def test_a_run_goes_on_with_its_own_plan_alone(folder):
    loaded = from_text(CLEAN, "made.yaml", folder)
    run = find_run("r", folder / "results", None)
    try:
        with pytest.raises(StoreError, match="which is gone"):
            prepare(loaded, run.journal)
        with pytest.raises(StoreError, match="not the one"):
            prepare(loaded, run.journal, registered="0" * 64)
        kept = to_begin_with(loaded, run.folder)
        assert prepare(loaded, run.journal, registered=kept).resumed
    finally:
        run.journal.engine.dispose()
