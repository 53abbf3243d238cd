"""A run as evidence: bundle and verify."""

from __future__ import annotations

import base64
import json
import sqlite3
import subprocess
import sys
import zipfile
from contextlib import closing
from pathlib import Path

import pytest

from harness.campaign import public_text
from harness.errors import RunError
from harness.journal.checksums import SUMMED, checksum
from harness.report import verify
from harness.report.evidence.recount import _difference
from tests.commands import truename
from tests.made_runs import SECRET, TEXT
from tests.report.forging import files_of, forged, hashed, manifest_of


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
    assert "same tables" in done.output and "report.html" not in done.output


def test_the_merge_check_is_in_it(packed):
    with zipfile.ZipFile(packed) as archive:
        assert {"weights.csv", "weights.json"} <= set(archive.namelist())
        assert "Whose weights" in archive.read("report.html").decode()


def test_secrets_and_local_paths_are_not_in_it(packed, results):
    content = files_of(packed)
    for word in (SECRET, "hunter2", "token=abc", str(results)):
        assert not [name for name, body in content.items() if word.encode() in body], word
    assert (
        b"$SOME_VARIABLE" in content["campaign.yaml"] and b"# a comment" in content["campaign.yaml"]
    )
    assert "https://host.example/v1" in public_text(TEXT)


def test_a_bundle_of_before_is_verified(tmp_path):
    """Made by the truename of format 2: its bytes hold, its journal is read, the replies are the
    same. What is counted of them may be counted otherwise since; then the columns are named.
    """
    path = tmp_path / "old.zip"
    path.write_bytes(base64.b64decode(Path(__file__).with_name("format-2.bundle.b64").read_text()))
    found = verify(path)
    assert found.changed == [] and found.wrong == []
    samples = [said for said in found.recounted if said.startswith("samples.csv")]
    facts = {"trial", "target", "arm", "question", "sample", "status", "reply", "rows"}
    assert not facts & set(" ".join(samples).replace(",", "").split())


def test_a_changed_file_is_named_though_the_archive_is_sealed_again(packed, tmp_path):
    files = files_of(packed)
    files["journal.sqlite"] = files["journal.sqlite"].replace(b"I am Rio.", b"I am Nex.")
    done = truename("verify", forged(tmp_path / "forged.zip", files))
    assert done.exit_code == 1 and "CHANGED: journal.sqlite" in done.output


def _replaced(files, name, was, now):
    assert was in files[name], name
    return files | {name: files[name].replace(was, now, 1)}


def test_tables_and_pages_that_do_not_follow_from_the_samples_are_found(packed, tmp_path):
    files = _replaced(files_of(packed), "tally.csv", b",1.0,", b",0.5,")
    files = _replaced(files, "recitals.csv", b",0.0,", b",0.5,")
    files = _replaced(files, "samples.csv", b"I am Nex", b"I am Rio")
    files = _replaced(files, "report.html", b"</title>", b" (verified)</title>")
    files = _replaced(files, "campaign.yaml", b"samples: 2", b"samples: 3")
    done = truename("verify", forged(tmp_path / "forged.zip", hashed(files, samples=7)))
    assert done.exit_code == 1
    for table in ("tally", "recitals", "samples"):
        assert f"differs: {table}.csv in " in done.output, done.output
    for wrong in ("report.html is not the page", "campaign.yaml is not", "counts 7 samples"):
        assert f"WRONG: {wrong}" in done.output or wrong in done.output, done.output


def _with_another_question(files, path, checksum):
    """The bundle's files where the journal says other words; ``checksum`` is what it then has."""
    path.write_bytes(files["journal.sqlite"])
    with closing(sqlite3.connect(path)) as database:
        database.row_factory = sqlite3.Row
        database.create_function("summed", -1, checksum)
        said = "messages = replace(messages, 'you', 'you, Rio')"
        database.execute(f"UPDATE trials SET {said} WHERE position = 1")
        columns = ", ".join(SUMMED["trials"])
        database.execute(f"UPDATE trials SET checksum = summed({columns}) WHERE position = 1")
        database.commit()
    return hashed(files | {"journal.sqlite": path.read_bytes()})


def test_a_question_that_was_not_asked_is_found(packed, tmp_path):
    """The journal says other words than the campaign and its prompts give."""
    files = _with_another_question(
        files_of(packed), tmp_path / "journal.sqlite", lambda *row: checksum(row)
    )
    found = verify(forged(tmp_path / "forged.zip", files))
    assert any("1 trials of its journal are not what its campaign asks" in w for w in found.wrong)


def _with_more_replies(files, path):
    """At place 5 more replies than the block says, at place 6 more samples than are asked for.

    All of it with checksums.
    """
    path.write_bytes(files["journal.sqlite"])
    with closing(sqlite3.connect(path)) as database:
        database.create_function("summed", -1, lambda *row: checksum(row))
        for place, samples in ((5, 2), (6, 50)):
            found = "SELECT replies FROM responses WHERE position = ?"
            first, *_ = json.loads(database.execute(found, (place,)).fetchone()[0])
            replies = json.dumps([[number, *first[1:]] for number in range(50)])
            stuffed = "UPDATE responses SET replies = ?, samples = ? WHERE position = ?"
            database.execute(stuffed, (replies, samples, place))
        columns = ", ".join(SUMMED["responses"])
        database.execute(f"UPDATE responses SET checksum = summed({columns})")
        database.commit()
    return hashed(files | {"journal.sqlite": path.read_bytes()})


def test_more_replies_than_were_asked_for_are_found(packed, tmp_path):
    """Else whoever counts them counts what a forger liked to say more often."""
    files = _with_more_replies(files_of(packed), tmp_path / "journal.sqlite")
    found = verify(forged(tmp_path / "forged.zip", files))
    assert "1 blocks of its journal hold other samples than they say" in found.wrong
    assert "1 trials of its journal have more samples than its campaign asks for" in found.wrong


def test_what_nobody_counted_is_told(packed, tmp_path):
    """A table of the forger's own, one that has lost columns, labels that nobody can check."""
    files = files_of(packed)
    kept = [line.split(b",")[:3] for line in files["tally.csv"].splitlines()]
    files["tally.csv"] = b"\n".join(b",".join(line) for line in kept) + b"\n"
    files |= {"verdict.csv": b"target,is\nsuspect,nex\n", "labels.jsonl": b""}
    found = verify(forged(tmp_path / "forged.zip", hashed(files)))
    assert any(said.startswith("tally.csv: it has lost ") for said in found.recounted)
    said = "verdict.csv is no table that this truename makes: nothing in it was checked"
    assert said in found.wrong
    assert any("labels.jsonl is what people said of replies" in note for note in found.notes)
    told = verify(forged(tmp_path / "older.zip", hashed(files, versions={"truename": "0.0.1"})))
    assert said in told.notes and "tally.csv" not in " ".join(told.recounted)


def test_a_row_that_has_lost_its_checksum_is_not_believed(packed, tmp_path):
    files = _with_another_question(files_of(packed), tmp_path / "journal.sqlite", lambda *_: None)
    with pytest.raises(RunError, match="a row of the table trials has lost its checksum"):
        verify(forged(tmp_path / "forged.zip", files))


def test_questions_that_cannot_be_made_again_are_not_believed(packed, tmp_path):
    """A prompt that never ends keeps nobody, and hides nothing."""
    loops = "{% for i in range(99999) %}" * 3 + "{% endfor %}" * 3
    prompt = f"{{% block who %}}{loops}x{{% endblock %}}".encode()
    files = hashed(files_of(packed) | {"prompts/identity/en.j2": prompt})
    found = verify(forged(tmp_path / "forged.zip", files))
    assert any("questions could not be made again" in wrong for wrong in found.wrong)
    older = hashed(files, versions={"truename": "0.0.1"})
    told = verify(forged(tmp_path / "older.zip", older))
    assert any("questions could not be made again" in note for note in told.notes)


def test_a_book_of_the_forgers_own_is_told(packed, tmp_path):
    """Counting is by the bundle's own book: one that calls Nex by the name of Rio is named."""
    name = "probes/identities/families.yaml"
    files = files_of(packed)
    assert b"aliases: [Rio" in files[name]
    files = _replaced(files, name, b"aliases: [Rio", b"aliases: [Riox, Rio")
    found = verify(forged(tmp_path / "forged.zip", hashed(files)))
    assert any("not as they ship" in note and name in note for note in found.notes)


@pytest.mark.parametrize("run", ["--help", "../../x", "/tmp/truename-forged"])
def test_a_run_name_is_no_option_and_no_path(packed, tmp_path, run):
    """The same bundle, and a manifest that asks for help: it was once certified."""
    files = _replaced(files_of(packed), "tally.csv", b",1.0,", b",0.5,")
    path = forged(tmp_path / "forged.zip", hashed(files, run=run))
    before = {*tmp_path.parent.rglob("*")}
    done = truename("verify", path, folder=tmp_path)
    assert done.exit_code == 2 and "no run can be called" in done.output and "next:" in done.output
    assert {*tmp_path.parent.rglob("*")} == before and not Path("/tmp/truename-forged").exists()


def test_an_endless_view_is_refused_before_anything_is_read_of_it(packed, tmp_path):
    journal = tmp_path / "journal.sqlite"
    files = files_of(packed)
    journal.write_bytes(files["journal.sqlite"])
    with closing(sqlite3.connect(journal)) as database:
        database.execute("DROP TABLE contexts")
        database.execute(
            "CREATE VIEW contexts AS "
            "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) "
            "SELECT 1 run, x context, '{}' content FROM c"
        )
        database.commit()
    files["journal.sqlite"] = journal.read_bytes()
    done = truename("verify", forged(tmp_path / "forged.zip", hashed(files)))
    assert done.exit_code == 2 and "view 'contexts', which truename does not make" in done.output


def test_aliases_of_aliases_in_a_journals_campaign_are_refused(packed, tmp_path):
    journal = tmp_path / "journal.sqlite"
    files = files_of(packed)
    journal.write_bytes(files["journal.sqlite"])
    bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
    bomb += "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))
    with closing(sqlite3.connect(journal)) as database:
        database.execute("UPDATE runs SET campaign_source = campaign_source || ?", [bomb])
        database.commit()
    files["journal.sqlite"] = journal.read_bytes()
    done = truename("verify", forged(tmp_path / "forged.zip", hashed(files)))
    assert done.exit_code == 2 and "aliases stand for more than" in done.output
    assert "truename-verify-" not in done.output


LIMITED = """
from harness.report.evidence.checking import limit
limit({seconds}, {memory})
{work}
"""


@pytest.mark.parametrize(
    ("seconds", "memory", "work", "ends"),
    [
        (0, 2_000_000_000, "while True: pass", -24),
        (60, 1_000_000_000, "bytearray(3_000_000_000)", 1),
    ],
)
def test_the_process_that_checks_has_limits(seconds, memory, work, ends):
    source = LIMITED.format(seconds=seconds, memory=memory, work=work)
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, check=False)
    assert done.returncode == ends, done.stderr
    assert ends < 0 or b"MemoryError" in done.stderr


PATIENT = """
from harness.report.evidence.checking import Patience, used
patience = Patience({seconds}, 2_000_000_000, 1.0)
def work(seconds):
    end = used() + seconds
    while used() < end: pass
for text in ("a", "b", "c", "d"):
    patience.before(text)
    work(0.7)
patience.after()
work({longest})
patience.before("a")
work({longest})
"""


@pytest.mark.parametrize(("seconds", "longest", "ends"), [(60, 0.5, 0), (60, 3, -24), (0, 0, -24)])
def test_one_text_has_not_the_time_of_all_others(seconds, longest, ends):
    """Each text gets a second or two here; many may take longer, up to what all may take."""
    source = PATIENT.format(seconds=seconds, longest=longest)
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, check=False)
    assert done.returncode == ends, done.stderr


def test_a_check_that_breaks_off_is_told_plainly(tmp_path):
    from harness.report.evidence.checking import Refused
    from harness.report.evidence.verify import _answer

    for ended in (-24, -9, -11, 1, 0):
        found = _answer(tmp_path / "answer.json", ended)
        assert isinstance(found, Refused)
        assert ("more time or memory" in found.refused) == (ended in (-24, -9))


def test_columns_that_came_later_are_passed_over(tmp_path):
    before, after = tmp_path / "before.csv", tmp_path / "after.csv"
    before.write_text("a,c\n1,2\n3,4\n")
    after.write_text("a,b,c\n1,x,2\n3,y,4\n")
    assert _difference(before, after, False) == ""
    assert _difference(before, after, True) == ": it has lost b"
    after.write_text("a,b,c\n1,x,2\n3,y,5\n")
    assert _difference(before, after, False) == " in c"
    assert _difference(after, before, False) == " in b, which this truename does not count"
    after.write_text("a,b,c\n1,x,2\n")
    assert _difference(before, after, False) == ": other rows"
    before.write_text('a,b,c\n1,"x",2\n')
    assert _difference(before, after, False) == ""
    assert _difference(before, after, True) == ": the same, written otherwise"
    before.write_text("a,c\n" + "0" * 3_000_000)  # one cell, which nobody wants to read
    assert _difference(before, after, False) == ": other rows"


def test_a_bundle_that_nobody_could_check_is_not_made(results, tmp_path):
    """A prompt that is larger than any bundle's is named when it is packed, not by who checks."""
    large = tmp_path / "prompts" / "identity" / "xx.j2"
    large.parent.mkdir(parents=True)
    large.write_bytes(b"x" * 2_000_000)
    done = truename("bundle", "made", "--results", results, folder=tmp_path)
    assert done.exit_code == 2 and "xx.j2" in done.output
    assert not list(tmp_path.glob("*.zip"))


def test_what_is_no_bundle(tmp_path):
    (tmp_path / "x.zip").write_bytes(b"not a zip")
    for path in (tmp_path / "x.zip", tmp_path / "none.zip", tmp_path):
        done = truename("verify", path)
        assert done.exit_code == 2 and "next:" in done.output
    with pytest.raises(RunError, match="no such bundle"):
        verify(tmp_path / "none.zip")


def test_the_manifest_says_with_what_it_was_made(packed):
    made = manifest_of(files_of(packed))["versions"]
    assert {"truename", "python", "matplotlib", "code"} <= made.keys()
