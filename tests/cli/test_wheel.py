"""The wheel alone, in an empty folder: everything from the first file to the report."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tests import ROOT


@pytest.fixture(scope="module")
def toured(tmp_path_factory):
    """An empty folder, and a way to type commands there that knows the built wheel only."""
    there = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(there)]
    built = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    with zipfile.ZipFile(next(there.glob("*.whl"))) as wheel:
        wheel.extractall(there / "site")
    folder = tmp_path_factory.mktemp("empty")

    def typed(*words: str, said: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-P", "-m", "harness.cli", *words],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(there / "site")},
            input=said,
            capture_output=True,
            text=True,
        )

    where = "import harness; print(harness.__path__[0])"
    found = subprocess.run(
        [sys.executable, "-P", "-c", where],
        env={**os.environ, "PYTHONPATH": str(there / "site")},
        capture_output=True,
        text=True,
    )
    assert Path(found.stdout.strip()).is_relative_to(there), found
    return folder, typed


def test_a_tour_from_an_empty_folder_to_a_report(toured):
    folder, typed = toured
    begun = typed("init", "campaign", "mine", "--engine", "embedded")
    assert begun.returncode == 0, begun.stderr
    path = folder / "probes/campaigns/mine.yaml"
    text = re.sub(r"languages: .*", "languages: [en]", path.read_text("utf-8"))
    text = re.sub(r"arms: .*", "arms: [absent, bare]", text)
    text = re.sub(r"probes: .*", "probes: [identity]", text)
    path.write_text(re.sub(r"samples: .*", "samples: 1", text), "utf-8")
    said = ""
    for words in (
        ("plan", "mine"),
        ("run", "mine"),
        ("tally", "mine"),
        ("report", "mine"),
        ("show", "mine", "--where", "arm=absent", "--where", "names=Rio", "--limit", "1"),
    ):
        typing = typed(*words)
        assert typing.returncode == 0, f"{words}: {typing.stdout}{typing.stderr}"
        if next_to_type := re.search(r"next: truename (\w+)", said):
            assert next_to_type[1] == words[0]
        said = typing.stdout
    assert "samples fit" in said
    page = (folder / "results/mine/report.html").read_text("utf-8")
    assert "Rio" in page and str(ROOT) not in page


def test_replies_on_standard_input_are_scored(toured):
    folder, typed = toured
    line = json.dumps({"reply": "I am Qwen, made by Alibaba Cloud."})
    done = typed("score", "-", "--out", "scored.csv", said=line + "\n")
    assert done.returncode == 0 and "names: qwen 1" in done.stdout, done.stderr
    assert (folder / "scored.csv").is_file()


def test_the_reference_needs_no_checkout(toured):
    _, typed = toured
    assert typed("reference").stdout == (ROOT / "docs/reference.md").read_text("utf-8")
