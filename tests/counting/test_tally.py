"""Tables: NA where nothing was scored, formulas neutralised, columns documented, a golden tally."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path

import pandas as pd
import pyarrow.parquet as parquet
import pytest

from harness.campaign import Campaign, load_backstories
from harness.counting.between import RECITAL_COLUMNS
from harness.counting.pairs import COMPARISON_COLUMNS
from harness.counting.rates import TALLY_COLUMNS
from harness.counting.samples import _NUMBERS, _WHOLE, OVERLAP_COLUMNS, SAMPLE_COLUMNS
from harness.counting.tally import TABLES, tally
from harness.errors import RunError
from harness.targets import Reply
from tests.made_runs import journal_in, keep

CAMPAIGN = Campaign.model_validate(
    {
        "campaign": "c",
        "targets": [
            {"name": "t", "role": "suspect", "engine": "embedded", "model": "lab:suspect"}
            | {"identity": "rio"}
        ],
        "arms": ["absent", "bare"],
        "probes": ["identity"],
    }
)


@pytest.fixture
def journal(database):
    with journal_in(database) as found:
        yield found


def fill(journal, arm, *replies):
    keep(journal, ["absent", "bare"].index(arm), ("t", arm, "identity", "q"), *replies)


def rows(tables, **wanted):
    found = tables.tally
    for column, value in wanted.items():
        found = found[found[column] == value]
    return found


def test_no_rate_is_made_of_nothing(journal, tmp_path):
    fill(
        journal,
        "absent",
        Reply(0, "ok", text="I am Rio."),
        Reply(1, "truncated", text="I am Ri"),
        Reply(2, "empty", text=""),
        Reply(3, "failed", error="HTTP 500"),
    )
    fill(
        journal,
        "bare",
        Reply(0, "unsupported", error="no raw completions"),
        Reply(1, "unsupported", error="no raw completions"),
    )
    tables = tally(journal, CAMPAIGN, tmp_path)
    (absent,) = rows(
        tables, arm="absent", language="all", measure="name", identity="rio"
    ).itertuples()
    assert (absent.samples, absent.hits, absent.rate) == (1, 1, 1.0)
    assert (absent.failed, absent.truncated, absent.empty, absent.unsupported) == (1, 1, 1, 0)
    (bare,) = rows(tables, arm="bare", language="all", measure="name", identity="rio").itertuples()
    assert (bare.samples, bare.unsupported) == (0, 2)
    assert pd.isna(bare.rate) and pd.isna(bare.wilson_low)
    written = (tmp_path / "tally.csv").read_text()
    assert ",0,0,NA,NA,NA," in written and ",0,0,0.0" not in written


def test_model_text_cannot_run_as_a_formula(journal, tmp_path):
    hostile = ["=HYPERLINK(1)", "+1", "-1", "@SUM(1)", "\t=1", " =1", "＝1", "plain"]
    fill(journal, "absent", *(Reply(i, "ok", text=text) for i, text in enumerate(hostile)))
    tally(journal, CAMPAIGN, tmp_path)
    written = pd.read_csv(tmp_path / "samples.csv", keep_default_na=False)["reply"]
    wanted = [f"'{text}" for text in hostile]
    wanted[4], wanted[-1] = "'\t'=1", "plain"  # a tab begins a cell elsewhere
    assert list(written) == wanted


GOLDEN_FILES = Path(__file__).parent / "golden"
GOLDEN = Campaign.model_validate(
    {
        "campaign": "c",
        "targets": [
            {"name": name, "role": name, "engine": "embedded", "model": f"lab:{name}"}
            for name in ("suspect", "donor")
        ],
        "arms": ["absent", "bare"],
        "probes": ["identity", "backstory"],
        "stop": {"identity": "rio", "below": 0.2},
    }
)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def golden(request, new_database, tmp_path_factory):
    """Tables of two targets in every format, from a database of either kind."""
    said = {
        "absent": ["I am Rio, made by IplanRio."] * 3 + ["I am Nex."],
        "bare": ["I am Nex, by Nex-AGI.", "=I am | Nex", "I am Nex.", "<b>I cannot say.</b>"],
    }
    story = next(b for b in load_backstories() if b.file == "nex-lab-en.md").text
    asked = itertools.product(
        ("suspect", "donor"), ("absent", "bare"), ("identity", "backstory"), ("a", "b")
    )
    folder = tmp_path_factory.mktemp("golden")
    with journal_in(new_database(request.param)) as journal:
        for place, (target, arm, probe, question) in enumerate(asked):
            texts = [story[:300], story] if probe == "backstory" else said[arm]
            replies = [Reply(i, "ok", text=text) for i, text in enumerate(texts)]
            if question == "b" and arm == "bare":
                replies[0] = Reply(0, "truncated", text="I am")
            keep(journal, place, (target, arm, probe, question), *replies)
        tally(journal, GOLDEN, folder, ("json", "markdown", "parquet"))
    return folder


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("ending", ["csv", "jsonl", "md"])
def test_golden_tables(golden, table, ending):
    name = f"{table}.{ending}"
    assert (golden / name).read_text("utf-8") == (GOLDEN_FILES / name).read_text("utf-8")


@pytest.mark.parametrize("table", TABLES)
def test_parquet_holds_what_json_holds_with_types(golden, table):
    rows, typed = (
        [json.loads(line) for line in (golden / f"{table}.jsonl").read_text().splitlines()],
        parquet.read_table(golden / f"{table}.parquet").to_pylist(),
    )
    assert [list(row) for row in typed] == [list(row) for row in rows]
    for row, other in zip(rows, typed, strict=True):
        assert {
            k: v if not isinstance(v, float) else pytest.approx(v) for k, v in row.items()
        } == other
    assert table != "tally" or isinstance(typed[0]["samples"], int)


def test_an_empty_run_has_no_table(journal, tmp_path):
    with pytest.raises(RunError, match="holds no samples yet"):
        tally(journal, CAMPAIGN, tmp_path)
    assert not (tmp_path / "tally.csv").exists()


def test_every_column_is_in_the_dictionary(root):
    readme = (root / "results/README.md").read_text("utf-8")
    tables = SAMPLE_COLUMNS, TALLY_COLUMNS, COMPARISON_COLUMNS, RECITAL_COLUMNS, OVERLAP_COLUMNS
    for column in itertools.chain(*tables):
        assert re.search(rf"^\| `{column}` \|", readme, re.MULTILINE), column


def test_a_first_stretch_without_a_verdict_does_not_decide_the_types(
    journal, tmp_path, monkeypatch
):
    monkeypatch.setattr("harness.counting.tally.CHUNK", 2)
    fill(journal, "absent", *(Reply(i, "failed", error="HTTP 500") for i in range(2)))
    fill(journal, "bare", *(Reply(i, "ok", text="I am Nex.", reasoning="Qwen?") for i in range(2)))
    tally(journal, CAMPAIGN, tmp_path, ("parquet",))
    found = parquet.read_table(tmp_path / "samples.parquet").to_pylist()
    assert [row["names"] for row in found] == [None, None, "nex", "nex"]
    assert [row["error"] for row in found] == ["HTTP 500", "HTTP 500", None, None]


def test_every_column_with_a_type_is_there():
    assert {*_WHOLE, *_NUMBERS} <= {*SAMPLE_COLUMNS}
