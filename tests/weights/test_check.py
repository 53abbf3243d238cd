"""The merge check from beginning to end: sampled, cut off and resumed, searched, told."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner

from harness.cli import main
from harness.weights import output, search
from harness.weights.check import Settings, check
from tests.weights.models import BASE, BF16, DONOR, SIBLING, checked, drawn, mixed, saved, tuned


def test_a_sample_reads_less_and_says_so(tmp_path):
    rng = np.random.default_rng(4)
    base = {
        "layers.0.mlp.up_proj.weight": rng.normal(size=(40_000, 64)).astype(BF16),
        "norm.weight": np.ones(64, BF16),
    }
    donor = tuned(base, 1)
    places = [
        str(saved(tmp_path / name, model)) for name, model in (("donor", donor), ("base", base))
    ]
    found = checked(
        tmp_path, mixed(lambda d, b: 0.6 * d + 0.4 * b, donor, base), places, sample=0.1
    )
    assert found.bytes_read < 0.2 * found.bytes_whole and found.verdict.method == "linear merge"
    row = output.frame(found).iloc[0]
    assert row["a_low"] < 0.6 < row["a_high"] and row["a_high"] - row["a_low"] < 0.03
    capped = checked(tmp_path, donor, places, budget=2_000_000)
    assert capped.bytes_read < 3_000_000 and capped.sample < 0.2


def test_a_check_that_was_cut_off_goes_on_where_it_was(parents, tmp_path, monkeypatch):
    suspect = str(saved(tmp_path / "suspect", mixed(lambda d, b: 0.6 * d + 0.4 * b, DONOR, BASE)))
    told = []

    def stop(progress):
        told.append(progress)
        if len(told) == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check(suspect, parents, Settings(threads=1), tmp_path / "part", stop)
    kept = (tmp_path / "part").read_bytes()
    (tmp_path / "part").write_bytes(kept[:-7])  # a kill in the midst of a line
    again = []
    found = check(suspect, parents, Settings(threads=1), tmp_path / "part", again.append)
    assert (
        again[0].done > told[0].done
        and again[-1].done == again[-1].planned
        and len(again) < len(found.tensors) - 15
    )
    pd.testing.assert_frame_equal(
        output.frame(found), output.frame(check(suspect, parents, Settings())), check_exact=True
    )
    assert not (tmp_path / "part").exists()


def break_(path, what):
    if what == "cut":
        path.write_bytes(path.read_bytes()[:-1000])
    return path


def test_bad_input_is_one_clear_message(parents, tmp_path):
    cut = saved(tmp_path / "cut", DONOR)
    (cut / "model.safetensors").write_bytes((cut / "model.safetensors").read_bytes()[:-1000])
    missing = saved(tmp_path / "missing", DONOR, shards=3)
    (missing / "model-00002-of-00003.safetensors").unlink()
    bare = saved(tmp_path / "bare", DONOR, shards=3)
    (bare / "model.safetensors.index.json").unlink()
    (bare / "model-00003-of-00003.safetensors").unlink()
    pickled = tmp_path / "pickled"
    pickled.mkdir()
    (pickled / "pytorch_model.bin").write_bytes(b"\x80\x04")
    evil = tmp_path / "evil"
    evil.mkdir()
    (evil / "model.safetensors.index.json").write_text(
        json.dumps({"weight_map": {"a": "../../etc/passwd"}})
    )
    (tmp_path / "bad.gguf").write_bytes(b"GGUF" + b"\xff" * 100)
    packed = saved(
        tmp_path / "packed",
        {
            "model.layers.0.mlp.up_proj.qweight": np.ones((4, 4), np.int32),
            "norm.weight": np.ones(4, np.float32),
        },
    )
    adapter = {"base_model.model.layers.0.q_proj.lora_A.weight": np.ones((4, 64), np.float32)}
    other = saved(tmp_path / "other", {"entirely.different": np.ones((4, 4), np.float32)})
    empty = tmp_path / "empty"
    empty.mkdir()
    for place, said in [
        (cut, "its shape|ends at byte"),
        (missing, "shard model-00002-of-00003.safetensors cannot be opened"),
        (bare, "2 of 3 shards are there"),
        (pickled, "is pickled"),
        (evil, "outside its folder"),
        (tmp_path / "bad.gguf", "no sound GGUF file"),
        (packed, "quantised in a way that is not read exactly"),
        (other, "no tensor of other is in all of"),
        (saved(tmp_path / "adapter", adapter), "is an adapter .*lora_A"),
        (empty, "no safetensors"),
        (tmp_path / "nowhere", "no such file or folder"),
    ]:
        done = CliRunner().invoke(
            main, ["weights", str(place), "--parents", *parents, "--out", str(tmp_path / "out")]
        )
        assert (
            done.exit_code == 2
            and re.search(said, done.output + done.stderr)
            and "next:" in done.stderr
        ), (place, done.output, done.stderr)
    for wrong, said in [
        ([], "in one way"),
        (["--parents", *parents, "--memory", "10MB"], "too little"),
        (["--parents", *parents, "--budget", "much"], "is no size"),
    ]:
        done = CliRunner().invoke(
            main, ["weights", parents[0], *wrong, "--out", str(tmp_path / "out")]
        )
        assert done.exit_code == 2 and said in done.stderr, (wrong, done.stderr)


def test_the_best_pair_of_a_folder_is_found(tmp_path):
    folder = tmp_path / "candidates"
    for name, model in (
        ("base", BASE),
        ("donor", DONOR),
        ("sibling", SIBLING),
        ("stranger", drawn(8)),
    ):
        saved(folder / name, model)
    (folder / "notes.txt").write_text("not a checkpoint")
    suspect = str(
        saved(tmp_path / "suspect", mixed(lambda d, s: 0.3 * d + 0.7 * s, DONOR, SIBLING))
    )
    best = search.best_pair(suspect, folder)[0]
    assert set(best.labels) == {"donor", "sibling"} and best.ratio == pytest.approx(0.3, abs=0.01)
    done = CliRunner().invoke(
        main, ["weights", suspect, "--search", str(folder), "--out", str(tmp_path / "out")]
    )
    assert done.exit_code == 0 and "is a linear merge" in done.output


def test_the_lab_s_merge_is_found_and_reported(tmp_path):
    done = CliRunner().invoke(
        main,
        ["weights", "lab:suspect", "--parents", "lab:donor", "lab:base", "--out", str(tmp_path)],
    )
    assert (
        done.exit_code == 0
        and "0.600 lab:donor + 0.400 lab:base, exact to the rounding" in done.output
    )
    table = pd.read_csv(tmp_path / "weights.csv")
    assert len(table) == 56 and (table["finding"] == "blend").all()
    assert (abs(table["a"] - 0.6) < 1e-5).all() and (table["residual_in_rounding"] < 2.5).all()
    svg = (tmp_path / "weights.svg").read_text()
    assert svg.startswith("<?xml") and "lab:donor" in svg and "var(" not in svg


def test_an_answer_that_numbers_do_not_give_has_an_exit_code_of_its_own(parents, tmp_path):
    names = {n.replace("_proj", "_linear"): v for n, v in drawn(7).items()}
    place = str(saved(tmp_path / "suspect", names))
    done = CliRunner().invoke(
        main, ["weights", place, "--parents", *parents, "--out", str(tmp_path / "out")]
    )
    assert done.exit_code == 3 and "too little of suspect" in done.output


PEAK = """
import re, sys
from harness.weights import Settings, check
found = check(sys.argv[2], sys.argv[3:], Settings(memory=int(sys.argv[1])))
said = open("/proc/self/status").read()
print(found.bytes_read, 1024 * int(re.search(r"VmHWM:\\s+(\\d+)", said)[1]))
"""


@pytest.mark.parametrize("rows", [40_000, pytest.param(60_000, marks=pytest.mark.slow)])
def test_memory_stays_under_the_setting(tmp_path, rows):
    rng, whole, memory = np.random.default_rng(0), 0, 300_000_000
    names = ("suspect", "donor", "base")
    bits = {
        f"layers.{n}.mlp.up_proj.weight": rng.integers(0x3C00, 0x4000, (rows, 1024), np.uint16)
        for n in range(2)
    }
    for number, name in enumerate(names):
        saved(tmp_path / name, {n: (b ^ np.uint16(3 * number)).view(BF16) for n, b in bits.items()})
        whole += sum(b.nbytes for b in bits.values())
    command = [sys.executable, "-c", PEAK, str(memory), *(str(tmp_path / name) for name in names)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    read, peak = map(int, done.stdout.split())
    assert read > 0.95 * whole > 1.5 * memory and peak < memory
