"""The reference says what is there today."""

from __future__ import annotations

import re

from click.testing import CliRunner

from harness.cli import exits, main
from harness.cli.reference import kinds
from tests import ROOT


def test_the_reference_is_of_today():
    said = CliRunner().invoke(main, ["reference"]).output
    stands = (ROOT / "docs/reference.md").read_text("utf-8")
    assert said == stands, "type: make reference"


def test_every_key_says_what_it_is_for():
    said = CliRunner().invoke(main, ["reference"]).output
    keys = re.findall(r"^- `\w+` \(.*(?:\n  .*)*", said, re.MULTILINE)
    assert len(keys) > 100
    assert not [key for key in keys if "): " not in " ".join(key.split())]


def test_the_models_of_all_files_are_in_it():
    said = CliRunner().invoke(main, ["reference"]).output
    for kind in kinds():
        for key in kind.model.model_fields:
            assert f"- `{key}` (" in said, (kind.title, key)


def test_no_command_exits_with_a_code_of_its_own():
    for path in (ROOT / "harness").rglob("*.py"):
        if "train" not in path.name:
            assert not re.search(r"sys\.exit\(\d", path.read_text("utf-8")), path
    assert sorted(exits.EXITS) == [0, 1, 2, 3, 130, 141]


def test_the_help_shows_every_command_on_one_whole_line_of_80_columns():
    said = CliRunner().invoke(main, ["--help"], terminal_width=80).output
    lines = [line.split("  ", 2) for line in said.splitlines()]
    listed = {parts[1].strip(): parts[2] for parts in lines if len(parts) == 3}
    assert set(main.commands) <= set(listed)
    assert max(map(len, said.splitlines())) <= 80 and "..." not in said.split("Begin:")[1]


def test_every_command_has_its_section_once():
    from harness.cli import SECTIONS

    sorted_in = [command.name for commands in SECTIONS.values() for command in commands]
    assert sorted(sorted_in) == sorted(main.commands)
