"""A run for other tools."""

from __future__ import annotations

import json

from tests.commands import truename
from tests.made_runs import SECRET


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
