"""What the docs show of a terminal of 80 columns is what commands print there."""

from __future__ import annotations

import re
import shlex

import pytest

from scripts.captures import CHEAP, COLUMNS, FIRST, LAST, TYPED, screen, typed
from tests import ROOT
from tests.commands import truename

PAGE = (ROOT / "docs/terminal.md").read_text("utf-8")
SHOWN = dict(re.findall(r"```text\n\$ (.*?)\n(.*?)\n```", PAGE, re.DOTALL))


def test_every_command_is_shown():
    assert list(SHOWN) == list(TYPED.values())


@pytest.mark.parametrize("command", SHOWN)
def test_it_fits_and_says_the_next_step(command):
    lines = SHOWN[command].splitlines()
    assert len(lines) <= FIRST + LAST + 1
    assert [line for line in lines if len(line) > COLUMNS and not line.startswith("next: ")] == []
    assert lines[-1].startswith("next: ")


@pytest.mark.parametrize("command", list(TYPED.values())[:CHEAP])
def test_it_is_what_is_printed(command, tmp_path):
    said = typed(shlex.split(command)[1:], tmp_path)
    assert "\n".join(said).strip("\n") == SHOWN[command]


def test_a_screen_shows_what_stands_there_at_the_end():
    said = "one\r\n\x1b[1mtwo\x1b[0m\r\n\x1b[1A\x1b[2Kthree\r\nfour  \r\n"
    assert screen(said) == ["one", "three", "four", ""]


def test_help_lists_each_command_of_a_group_whole():
    for group in ("audit", "lab"):
        assert "..." not in truename(group, "--help").output.partition("Commands:")[2]
