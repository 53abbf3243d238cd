"""What a table may hold."""

from __future__ import annotations

import pandas as pd
import pytest

from harness import masking
from harness.tables import neutral, write_table


def test_neutral_leaves_numbers_alone():
    assert neutral(-1) == -1
    assert neutral(None) is None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("=1+1", "'=1+1"),
        ("  @SUM(1)", "'  @SUM(1)"),
        ("x;=cmd|' /C calc'!A0", "x;'=cmd|' /C calc'!A0"),
        ("x; -2+3", "x; '-2+3"),
        ("x\t+1", "x\t'+1"),
        ('x;"=1', "x;\"'=1"),
        ("a|=1|@b", "a|'=1|'@b"),
        ("a\n=1\r\n-2+3\r@x", "a\n'=1\r\n'-2+3\r'@x"),
        ("a;＝1", "a;'＝1"),
    ],
)
def test_a_formula_within_a_cell_is_text(text, shown):
    assert neutral(text) == shown


@pytest.mark.parametrize(
    "text",
    ["- one\n- two"[2:], "a\n---\nb", "| a | b |\n|---|---|", "a; b, -1", "x = y; z", "a - b"],
)
def test_lists_rules_and_tables_are_left_alone(text):
    assert neutral(text) == text


def test_a_name_of_a_column_is_a_cell_too(tmp_path):
    write_table(pd.DataFrame({"=1+1": [1], "a;@b": ["c"]}), tmp_path / "t")
    assert (tmp_path / "t.csv").read_text() == "'=1+1,a;'@b\n1,c\n"


def test_no_table_holds_a_secret_that_is_known(tmp_path):
    masking.know("sk-planted-0123456789")
    frame = pd.DataFrame({"said": ["my key is sk-planted-0123456789."], "n": [1]})
    write_table(frame, tmp_path / "t", ("json", "markdown", "parquet"))
    assert "my key is [key]." in (tmp_path / "t.csv").read_text()
    assert len(list(tmp_path.iterdir())) == 4
    assert pd.read_parquet(tmp_path / "t.parquet")["said"][0] == "my key is [key]."
    assert not [path for path in tmp_path.iterdir() if b"planted" in path.read_bytes()]
