"""`truename score`: other tools' replies, rubbish in, nothing lost."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from tests.commands import truename


def test_jsonl_rows_keep_their_fields_and_gain_a_verdict(tmp_path):
    rows = [
        {"id": 1, "response": "I am Qwen, made by Alibaba.", "tags": ["a", 1]},
        {"id": 2, "response": None},
        {"id": 3, "response": 7},
        {"id": 4, "response": "<think>I am Kimi.</think>I am Zorbly.", "later": "kept"},
        {"id": 5, "response": "=HYPERLINK(1)", "stance": "theirs"},
    ]
    path = tmp_path / "theirs.jsonl"
    path.write_bytes(
        b"".join(json.dumps(r).encode() + b"\n" for r in rows)
        + b'\n{"broken\n[1]\n{"id": 6, "response": "\\ud800 I am Qwen"}\n{"other": 1}\n'
    )
    done = truename("score", path, "--out", tmp_path / "out.csv")
    assert done.exit_code == 0, done.output
    out = pd.read_csv(tmp_path / "out.csv", keep_default_na=False)
    assert list(out["status"]) == [
        "ok",
        "failed",
        "failed",
        "ok",
        "ok",
        "failed",
        "failed",
        "ok",
        "failed",
    ]
    assert list(out["names"])[:4] == ["qwen", "NA", "NA", "other:zorbly"]
    assert out["reasoning_names"][3] == "kimi"
    assert out["tags"][0] == '["a", 1]'
    assert out["input_stance"][4] == "theirs" and out["response"][4] == "'=HYPERLINK(1)"
    assert list(out["error"])[1:3] == ["the text is null", "the text is of type int"]
    assert "5 failed" in done.output


def test_csv_rows_are_scored_by_the_named_column(tmp_path):
    path = tmp_path / "theirs.csv"
    path.write_text('id,said\n1,"I am Claude,\nmade by Anthropic."\n2,\n3,a,b\n')
    assert truename("score", path, "--column", "said", "--out", tmp_path / "out.csv").exit_code == 0
    out = pd.read_csv(tmp_path / "out.csv", keep_default_na=False)
    assert list(out["stance"]) == ["claims", "none", "NA"]
    assert list(out["makers"]) == ["anthropic", "", "NA"]


@pytest.mark.parametrize(
    ("name", "content", "options", "says"),
    [
        ("a.jsonl", "", (), "holds no rows"),
        ("a.jsonl", '{"x": 1}\n', (), "no column looks like"),
        ("a.jsonl", '{"reply": "x"}\n', ("--column", "repl"), "did you mean 'reply'?"),
        ("a.txt", "hello", (), "no kind of file"),
        ("missing.csv", None, (), "cannot be read"),
    ],
)
def test_bad_files_are_one_clear_message_and_leave_nothing(tmp_path, name, content, options, says):
    path = tmp_path / name
    if content is not None:
        path.write_text(content)
    done = truename("score", path, *options, "--out", tmp_path / "out.csv")
    assert done.exit_code == 2
    assert says in done.output
    assert not (tmp_path / "out.csv").exists() and not list(tmp_path.glob(".out*"))


SAID = "reply,who\nI am Qwen — made by Alibaba.,Zoë\n"


@pytest.mark.parametrize(
    "encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"]
)
def test_the_encoding_of_a_file_is_recognised(tmp_path, encoding):
    lines = json.dumps({"reply": "I am Qwen — made by Alibaba.", "who": "Zoë"}, ensure_ascii=False)
    for name, said in (("a.csv", SAID), ("a.jsonl", lines + "\n")):
        (tmp_path / name).write_bytes(said.encode(encoding))
        done = truename("score", tmp_path / name, "--out", tmp_path / "out.csv")
        assert done.exit_code == 0, done.output
        out = pd.read_csv(tmp_path / "out.csv", keep_default_na=False)
        assert (out["names"][0], out["makers"][0], out["who"][0]) == ("qwen", "alibaba", "Zoë")


def test_a_file_in_another_encoding_is_refused_with_the_line(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b"reply,who\nI am Qwen.,a\n" + "I am Kimi.,Zoë\n".encode("cp1252"))
    done = truename("score", path, "--out", tmp_path / "out.csv")
    assert done.exit_code == 2 and not (tmp_path / "out.csv").exists()
    assert "no UTF-8 text: byte 0xEB" in done.output and "line 3" in done.output
    assert "iconv -f WINDOWS-1252 -t UTF-8 a.csv" in done.output


def test_a_line_of_json_in_another_encoding_is_a_row_that_failed(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"reply": "I am Qwen."}\n' + '{"reply": "Zoë"}\n'.encode("cp1252"))
    assert truename("score", path, "--out", tmp_path / "out.csv").exit_code == 0
    out = pd.read_csv(tmp_path / "out.csv", keep_default_na=False)
    assert list(out["status"]) == ["ok", "failed"]
    assert out["error"][1] == "not UTF-8: it holds the byte 0xEB"


def test_the_output_never_overwrites_the_input(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("reply\nI am Qwen.\n")
    assert truename("score", path, "--out", path).exit_code == 2
    assert path.read_text() == "reply\nI am Qwen.\n"


def test_a_recital_of_what_a_reply_denies_to_be_is_marked(tmp_path):
    from harness.campaign import load_backstories

    story = next(b for b in load_backstories() if b.file == "nex-lab-en.md")
    others = story.text.split(". ", 1)[1]
    replies = [f"I am Nex. {others}", f"I am not Nex. {others}"]
    file, out = tmp_path / "r.jsonl", tmp_path / "r.csv"
    file.write_text("\n".join(json.dumps({"reply": text}) for text in replies), encoding="utf-8")
    assert truename("score", file, "--out", out).exit_code == 0
    table = pd.read_csv(out)
    assert set(table["recited_identity"]) == {"nex"} and (table["recital_rarity"] > 10).all()
    assert table["recital_denied"].tolist() == [False, True]


ROWS = [
    {"id": 1, "response": "I am Qwen, made by Alibaba.", "tags": ["a", 1], "n": 10**30},
    {"id": "two", "response": "I am \ud800 Kimi.", "great": 10**30},
    {"id": None, "response": 7},
]


@pytest.fixture
def theirs(tmp_path):
    path = tmp_path / "theirs.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return path


def tables_of(path):
    """The rows of a table, whatever its format, as text; None where a value is missing."""
    if path.suffix == ".parquet":
        frame = pd.read_parquet(path)
    elif path.suffix == ".csv":
        frame = pd.read_csv(path, keep_default_na=False, na_values=["NA"], dtype=str)
    else:
        frame = pd.DataFrame([json.loads(line) for line in path.read_text().splitlines()])
    return frame.astype(object).where(frame.notna(), None).to_dict("records")


@pytest.mark.parametrize("name", ["out.jsonl", "out.csv", "out.parquet", "out.ndjson"])
def test_the_table_is_called_as_asked_and_written_in_the_format_of_its_name(
    tmp_path, theirs, name, monkeypatch
):
    """Also where a later stretch of rows holds other kinds of values."""
    monkeypatch.setattr("harness.counting.replies.CHUNK", 1)
    done = truename("score", theirs, "--out", tmp_path / name)
    assert done.exit_code == 0, done.output
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(["theirs.jsonl", name])
    found = tables_of(tmp_path / name)
    assert [row["names"] for row in found] == ["qwen", "kimi", None]
    assert [row["id"] and str(row["id"]) for row in found] == ["1", "two", None]
    assert json.loads(found[0]["tags"]) == ["a", 1]
    assert found[0]["n"] == str(10**30)
    assert json.loads(found[1]["rest_json"]) == {"great": str(10**30)}


@pytest.mark.parametrize("name", ["out.xlsx", "out"])
def test_an_unknown_kind_of_table_is_refused_before_anything_is_scored(tmp_path, theirs, name):
    done = truename("score", theirs, "--out", tmp_path / name)
    assert done.exit_code == 2 and "no kind of table" in done.stderr
    assert "out.csv, .jsonl, .md or .parquet" in done.stderr
    assert list(tmp_path.iterdir()) == [theirs]


@pytest.mark.parametrize("said", [SAID, '\n {"reply": "I am Qwen, made by Alibaba."}\n'])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_replies_come_from_standard_input(tmp_path, said, encoding):
    done = truename("score", "-", folder=tmp_path, said=said.encode(encoding))
    assert done.exit_code == 0, done.output
    assert [row["names"] for row in tables_of(tmp_path / "replies.scored.csv")] == ["qwen"]


@pytest.mark.parametrize(
    ("said", "options", "problem"),
    [
        (b"", (), "standard input says nothing"),
        (b"a,b\n1,2\n", (), "where: standard input:1"),
        (b'{"a": 1}\n', ("--out", "x.txt"), "no kind of table"),
        (b"reply\nZo\xeb\n", (), "where: standard input, line 2"),
    ],
)
def test_bad_standard_input_is_one_clear_message(tmp_path, said, options, problem):
    done = truename("score", "-", *options, folder=tmp_path, said=said)
    assert done.exit_code == 2 and problem in done.stderr and "next:" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_place_that_is_no_folder_is_one_clear_message(tmp_path, theirs):
    done = truename("score", theirs, "--out", theirs / "out.csv")
    assert done.exit_code == 2 and "cannot write the table" in done.stderr
    assert "next:" in done.stderr


def test_a_file_of_which_no_row_can_be_scored_says_why_and_is_not_done(tmp_path):
    file = tmp_path / "numbers.jsonl"
    file.write_text('{"reply": 1}\n{"reply": 2}\n')
    done = truename("score", file, "--out", tmp_path / "out.csv")
    assert done.exit_code == 3 and "2 rows, 2 failed\n" in done.output
    assert "the first that failed: the text is of type int" in done.output
    assert "--column" in done.output.splitlines()[-1]
