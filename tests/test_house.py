"""The house is as `docs/architecture.md` draws it, and the papers keep to what is there."""

from __future__ import annotations

import ast
import re
import shlex

import click
import pytest

from harness.cli import main
from tests import ROOT

#: The one place that holds the order of the wings: no room imports from a later one.
GROUND = (
    *(
        "pieces",
        "masking",
        "errors",
        "jobs",
        "encodings",
        "special",
        "stats",
        "sizes",
        "repeats",
        "console",
        "progress",
        "tables",
        "charts",
    ),
    *("rendering", "guarded"),
)
WINGS = (
    *("campaign", "lab", "targets", "journal", "sampling", "scoring", "lineup"),
    *("exposure", "counting", "weights", "report", "whois", "audits", "cli"),
)
ORDER = {name: place for place, name in enumerate((*GROUND, *WINGS))}
ROOMS = sorted((ROOT / "harness").rglob("*.py"))
DOORS = {wing: ROOT / "harness" / wing / "__init__.py" for wing in WINGS}


def wing_of(module):
    """The wing, or room of the ground, that a module of the harness lies in."""
    return module.removeprefix("harness.").split(".")[0]


def imports(path):
    """(module, names) of what a room imports from the harness."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] == "harness":
            names = [alias.name for alias in node.names]
            if node.module == "harness":
                yield from ((f"harness.{name}", []) for name in names)
            else:
                yield node.module, names
        elif isinstance(node, ast.Import):
            yield from ((a.name, []) for a in node.names if a.name.startswith("harness."))


def test_every_folder_and_room_of_the_ground_stands_in_the_order():
    there = {path.stem for path in (ROOT / "harness").iterdir() if not path.name.startswith("_")}
    assert there - {"py"} == set(ORDER)


@pytest.mark.parametrize("wing", [*GROUND, *WINGS])
def test_no_room_imports_from_a_later_wing(wing):
    later = [
        f"{path.relative_to(ROOT)} imports {module}"
        for path in ROOMS
        if wing_of(".".join(path.relative_to(ROOT).with_suffix("").parts)) == wing
        for module, _ in imports(path)
        if ORDER[wing_of(module)] > ORDER[wing]
    ]
    assert later == []


def handed_out(wing):
    """The names at a wing's door."""
    for node in ast.walk(ast.parse(DOORS[wing].read_text("utf-8"))):
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return set(ast.literal_eval(node.value))
    return set()


@pytest.mark.parametrize("wing", [wing for wing in WINGS if wing != "cli"])
def test_what_a_door_hands_out_is_taken_there(wing):
    """Nobody goes past the door for a name that it hands out."""
    names = handed_out(wing)
    past = [
        f"{path.relative_to(ROOT)}: {module}.{name}"
        for path in ROOMS
        if wing_of(".".join(path.relative_to(ROOT).with_suffix("").parts)) != wing
        for module, taken in imports(path)
        if module.startswith(f"harness.{wing}.")
        for name in taken
        if name in names
    ]
    assert past == []


@pytest.mark.parametrize("wing", WINGS)
def test_each_door_says_what_comes_in_and_what_goes_out(wing):
    said = ast.get_docstring(ast.parse(DOORS[wing].read_text("utf-8")))
    assert said
    assert wing == "cli" or ("In:" in said and "Out:" in said), said


@pytest.mark.parametrize("wing", WINGS)
def test_tests_mirror_the_wings(wing):
    assert list((ROOT / "tests" / wing).glob("test_*.py"))


PAPERS = sorted(
    path
    for kind in (
        "*.md",
        "docs/*.md",
        "benchmarks/*.md",
        "results/*.md",
        "harness/**/*.yaml",
        "probes/**/*.yaml",
        "probes/**/*.md",
    )
    for path in ROOT.glob(kind)
    if not path.stem.endswith("-zh")  # a line cannot be broken where no space stands
)


@pytest.mark.parametrize("path", PAPERS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_no_line_of_a_paper_is_wider_than_a_screen(path):
    wide, shown = [], False  # what a command printed is shown as it is
    for number, line in enumerate(path.read_text("utf-8").splitlines(), 1):
        shown ^= line.startswith("```")
        if len(line) > 140 and not shown and not line.startswith(("|", "![")):
            wide.append(number)
    assert wide == []


def commands(path):
    """Every `truename ...` line of the shell blocks of a paper."""
    for block in re.findall(r"```sh\n(.*?)```", path.read_text("utf-8"), re.DOTALL):
        for line in block.splitlines():
            if line.startswith("truename "):
                yield line


@pytest.mark.parametrize("path", [p for p in PAPERS if p.suffix == ".md"], ids=lambda p: p.name)
def test_every_command_in_a_paper_exists_with_its_options(path):
    for line in commands(path):
        words = shlex.split(line, comments=True)[1:]
        command = main.commands[words.pop(0)]
        if isinstance(command, click.Group):
            command = command.commands[words.pop(0)]
        known = {name for parameter in command.params for name in parameter.opts}
        known |= {name for parameter in command.params for name in parameter.secondary_opts}
        used = {word.split("=")[0] for word in words if word.startswith("--")}
        assert used <= known | {"--help"}, line
