"""What the papers say is what is there."""

from __future__ import annotations

import re
import subprocess

from harness.lab.store import STAND_IN
from tests import ROOT


def test_architecture_names_every_room(root):
    text = (root / "docs/architecture.md").read_text("utf-8")
    for path in (root / "harness").iterdir():
        if path.suffix == ".py" and path.name != "__init__.py":
            assert path.name in text, path.name
        elif path.is_dir() and not path.name.startswith(("_", ".")):
            assert f"`{path.name}/`" in text, path.name


def test_every_dependency_has_its_reason(root):
    import tomllib

    reasons = (root / "docs/decisions.md").read_text("utf-8").lower()
    for requirement in tomllib.loads((root / "pyproject.toml").read_text("utf-8"))["project"][
        "dependencies"
    ]:
        name = re.split(r"[><=]", requirement)[0]
        if name not in ("numpy", "pyyaml"):
            assert name in reasons, name


def test_no_registry_host_and_no_machine_path_is_committed(root):

    words = re.compile("pypi" + r"\.org|files\.python" + r"hosted|/" + "work/|/" + "root/")
    for name in subprocess.run(
        ["git", "ls-files"], cwd=root, capture_output=True, text=True, check=True
    ).stdout.split():
        path = root / name
        if path.is_file() and path.suffix not in (".npz", ".png", ".safetensors"):
            assert not words.search(path.read_text("utf-8")), name


def test_the_readme_says_that_the_lab_is_a_stand_in(root):
    assert "stand-in" in (root / "README.md").read_text("utf-8")
    assert "stand-ins" in STAND_IN


def test_every_command_is_in_the_readme():
    from harness.cli import main

    readme = (ROOT / "README.md").read_text()
    for name, command in main.commands.items():
        assert re.search(rf"truename {name}\b", readme), name
        assert command.help
