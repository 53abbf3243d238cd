"""What bad input gets on the command line, and what the command costs to start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT
from tests.commands import truename

EMBEDDED = "engine: embedded, model: 'lab:suspect'"
BASE = f"""campaign: c
targets:
  - {{name: s, role: suspect, {EMBEDDED}}}
languages: [en]
"""
NOBODY = "engine: endpoint, model: m, base_url: 'http://127.0.0.1:9/v1'"


@pytest.mark.parametrize(
    ("campaign", "said"),
    [
        (BASE + "sampels: 1\n", "unknown key 'sampels': did you mean 'samples'?"),
        (BASE + "samples: 0\n", "the campaign has no samples"),
        (BASE + "arms: ['given:system/named.j2']\n", "'name' is undefined"),
        (BASE.replace("lab:suspect", "no/such.gguf"), "there is no such model file"),
        (BASE.replace("lab:suspect", "broken.gguf"), "llama.cpp cannot load the model"),
        (BASE.replace(EMBEDDED, NOBODY), "OPENAI_API_KEY is not set"),
        (
            BASE.replace(EMBEDDED, f"{NOBODY}, api_key_env: null"),
            "no connection to http://127.0.0.1:9/v1",
        ),
        (BASE + "arms: ['given:prompts/hostile.j2']\n", "reaches for Python internals"),
        (BASE + "arms: ['given:../../etc/hostname']\n", "lies outside prompts/"),
        (BASE + "arms: ['decoy:/etc/hostname']\n", "lies outside prompts/"),
        (BASE + "arms: ['given:c.yaml']\n", "lies outside prompts/"),
        (BASE + "arms: ['given:prompts/linked.j2']\n", "lies outside prompts/"),
        (
            BASE.replace(EMBEDDED, f"{NOBODY}, headers: {{x-token: abc}}"),
            "'headers.x-token' holds what looks like a credential",
        ),
        (BASE.replace(EMBEDDED, "engine: vllm, model: ./no-model"), "the folder holds no model"),
        ("\x00\x01", "not valid YAML"),
        ("", "the file holds no keys"),
    ],
)
def test_bad_input_is_one_clear_message_and_exit_code_2(tmp_path, monkeypatch, campaign, said):
    (tmp_path / "c.yaml").write_text(campaign)
    (tmp_path / "broken.gguf").write_bytes(b"GGUF" + b"\x00" * 64)
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "hostile.j2").write_text("{{ ''.__class__.__mro__ }}")
    (tmp_path / "prompts" / "linked.j2").symlink_to("/etc/hostname")
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    done = truename("run", "c.yaml", folder=tmp_path)
    assert done.exit_code == 2, done.output
    assert said in done.stderr
    assert "next:" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("program", [["truename"], ["python", "-m", "harness.cli"]])
def test_both_ways_to_type_the_command_end_with_one_clear_message(tmp_path, program):
    name, *words = program
    command = [str(Path(sys.executable).with_name(name)), *words, "run", "nothing"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stdout + done.stderr
    assert "next:" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("tally", "nothing"),
        ("show", "nothing", "abc"),
        ("plan", "nothing"),
        ("run", "nothing"),
        ("lab", "export", "nobody", "x"),
        ("run", "rio-lab", "--run", "../up"),
    ],
)
def test_things_that_do_not_exist_are_named(tmp_path, arguments):
    done = truename(*arguments, folder=tmp_path)
    assert done.exit_code == 2
    assert "next:" in done.stderr and "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_help_starts_fast_because_heavy_imports_are_lazy():
    heavy = "pandas numpy sklearn openai xllamacpp sqlalchemy jinja2 pydantic rich"
    code = f"import sys, harness.cli; sys.exit(' '.join(set({heavy!r}.split()) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.stderr.strip() == ""


def test_sizes_are_printed_before_anything_is_spent():
    done = truename("size", "--rate", "0.8", "--width", "0.1", "--icc", "0.5")
    assert done.exit_code == 0 and "264" in done.output and "299 questions" in done.output
    assert truename("size", "--width", "0").exit_code == 2
    done = truename("size", "--width", "0.4", "--languages", "3")
    assert done.exit_code == 0 and "in 3 languages" in done.output
    assert "no number of questions is enough: ask more languages" in done.output
