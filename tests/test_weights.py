"""The merge check: reading with distrust, the same tensor found again, ratios with honest intervals, and the way of merging named."""

import http.server
import json
import math
import random
import re
import struct
import subprocess
import sys
import threading
from pathlib import Path

import ml_dtypes
import numpy as np
import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save_file

from harness.cli import main
from harness.errors import WeightsError
from harness.lab import build, store
from harness.weights import decode, headers, layers, matching, methods, output, progress, search
from harness.weights.check import Progress, Settings, check
from harness.weights.checkpoint import address_of, open_checkpoint
from harness.weights.fit import Held, Sums, Worker, first_guess, solved
from harness.weights.quantised import BitsAndBytes, four_bit, int8
from harness.weights.sources import open_source

BF16 = ml_dtypes.bfloat16
LAYERS, HIDDEN, WIDE, WORDS = 4, 64, 96, 80


def drawn(seed, scale=0.05, kind=BF16):
    """A small model with Hugging Face's names."""
    rng = np.random.default_rng(seed)
    shapes = {
        "model.embed_tokens.weight": (WORDS, HIDDEN),
        "lm_head.weight": (WORDS, HIDDEN),
        "model.norm.weight": (HIDDEN,),
    }
    for layer in range(LAYERS):
        at = f"model.layers.{layer}"
        shapes |= {f"{at}.self_attn.{p}_proj.weight": (HIDDEN, HIDDEN) for p in "qkvo"}
        shapes |= {
            f"{at}.mlp.gate_proj.weight": (WIDE, HIDDEN),
            f"{at}.mlp.up_proj.weight": (WIDE, HIDDEN),
            f"{at}.mlp.down_proj.weight": (HIDDEN, WIDE),
            f"{at}.input_layernorm.weight": (HIDDEN,),
        }
    return {
        name: ((1 if len(shape) == 1 else 0) + scale * rng.normal(size=shape)).astype(kind)
        for name, shape in shapes.items()
    }


def tuned(base, seed, scale=0.01):
    """A model near another one: every number moved a little, with a direction in common, as training does."""
    rng = np.random.default_rng(seed)
    made = {}
    for name, value in base.items():
        change = rng.normal(size=value.shape)
        if value.ndim == 2:
            change += 2 * np.outer(rng.normal(size=value.shape[0]), rng.normal(size=value.shape[1]))
        made[name] = (value.astype(np.float32) + scale * change).astype(value.dtype)
    return made


def mixed(rule, *models):
    return {
        name: rule(*(m[name].astype(np.float64) for m in models)).astype(models[0][name].dtype)
        for name in models[0]
    }


def saved(folder, model, shards=1):
    """A checkpoint's folder; with several shards, an index."""
    folder.mkdir(parents=True, exist_ok=True)
    names = list(model)
    if shards == 1:
        save_file(model, str(folder / "model.safetensors"))
        return folder
    where = {}
    for number in range(shards):
        file = f"model-{number + 1:05}-of-{shards:05}.safetensors"
        save_file({name: model[name] for name in names[number::shards]}, str(folder / file))
        where |= dict.fromkeys(names[number::shards], file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": where}))
    return folder


BASE = drawn(1)
DONOR = tuned(BASE, 2)
SIBLING = tuned(BASE, 3)


@pytest.fixture(scope="module")
def parents(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parents")
    return [str(saved(folder / "donor", DONOR, shards=3)), str(saved(folder / "base", BASE))]


def checked(tmp_path, model, parents, **settings_):
    return check(str(saved(tmp_path / "suspect", model)), parents, Settings(**settings_))


def slerp(b, d, t):
    angle = math.acos(float((b.ravel() @ d.ravel()) / np.linalg.norm(b) / np.linalg.norm(d)))
    return (math.sin((1 - t) * angle) * b + math.sin(t * angle) * d) / math.sin(angle)


def ties(b, d, density):
    x = d - b
    return np.where(np.abs(x) >= np.quantile(np.abs(x), 1 - density), d, b)


RNG = np.random.default_rng(9)
CASES = {
    "linear merge": (lambda: mixed(lambda d, b: 0.6 * d + 0.4 * b, DONOR, BASE), "0.600 donor"),
    "task arithmetic": (lambda: mixed(lambda d, b: b + 1.5 * (d - b), DONOR, BASE), "1.500 times"),
    "SLERP": (lambda: mixed(lambda d, b: slerp(b, d, 0.4), DONOR, BASE), "t = 0.40"),
    "TIES": (lambda: mixed(lambda d, b: ties(b, d, 0.4), DONOR, BASE), "40 % of its difference"),
    "DARE": (lambda: mixed(lambda d, b: b + (d - b) * (RNG.random(b.shape) < 0.3) * 2, DONOR, BASE), "DARE, 2.0"),
    "LoRA on the base": (lambda: {n: (v.astype(np.float64) + (0.02 * RNG.normal(size=(v.shape[0], 4)) @ RNG.normal(size=(4, v.shape[1])) if v.ndim == 2 else 0)).astype(BF16) for n, v in BASE.items()}, "rank 4"),
    "LoRA on the donor": (lambda: {n: (v.astype(np.float64) + (0.02 * RNG.normal(size=(v.shape[0], 4)) @ RNG.normal(size=(4, v.shape[1])) if v.ndim == 2 else 0)).astype(BF16) for n, v in DONOR.items()}, "rank 4"),
    "donor itself": (lambda: DONOR, "100 %"),
    "base itself": (lambda: BASE, "100 %"),
    "independent": (lambda: drawn(7), "shares nothing"),
    "fine-tune of the base": (lambda: tuned(BASE, 5), "does not point towards donor"),
    "fine-tune of the donor": (lambda: tuned(DONOR, 5), "made from donor"),
    "linear merge, changed afterwards": (lambda: tuned(mixed(lambda d, b: 0.6 * d + 0.4 * b, DONOR, BASE), 6, 0.005), "of the difference of donor to base, but not exactly"),
    "layer stacking": (lambda: {n: (DONOR if re.search(r"layers\.[23]\.", n) else BASE)[n] for n in BASE}, "layers 0-1 are 0-1 of base and layers 2-3 are 2-3 of donor"),
}  # fmt: skip


@pytest.mark.parametrize("method", CASES)
def test_the_way_of_merging_is_named(method, parents, tmp_path):
    make, said = CASES[method]
    found = checked(tmp_path, make(), parents)
    assert found.verdict.method == method and said in found.verdict.sentence
    assert any("not who made it" in limit for limit in found.verdict.limits)


def test_a_quantised_copy_is_told_from_a_fine_tune(parents, tmp_path):
    def coarse(value):
        step = np.abs(value).max(axis=-1, keepdims=True) / 7
        return np.rint(value / step) * step if value.ndim == 2 else value

    found = checked(tmp_path, mixed(coarse, DONOR), parents)
    assert found.verdict.method == "quantised copy" and "donor" in found.verdict.sentence


def test_layers_that_were_stacked_anew_are_found_where_they_came_from(parents, tmp_path):
    stacked = {n: v for n, v in BASE.items() if "layers" not in n}
    for new, (model, old) in enumerate(
        [(BASE, 0), (BASE, 1), (DONOR, 1), (DONOR, 2), (BASE, 3), (DONOR, 3)]
    ):
        stacked |= {
            n.replace(f"layers.{old}.", f"layers.{new}."): v
            for n, v in model.items()
            if f"layers.{old}." in n
        }
    found = checked(tmp_path, stacked, parents)
    assert (
        found.verdict.method == "layer stacking"
        and "layers 2-3 are 1-2 of donor" in found.verdict.sentence
        and "layers 4-4 are 3-3 of base" in found.verdict.sentence
    )


def test_two_donors_are_told_apart(parents, tmp_path):
    sibling = str(saved(tmp_path / "sibling", SIBLING))
    found = checked(
        tmp_path,
        mixed(lambda d, s, b: b + 0.3 * (d - b) + 0.5 * (s - b), DONOR, SIBLING, BASE),
        [parents[0], sibling, parents[1]],
    )
    assert found.verdict.method == "linear merge" and found.verdict.ratios == pytest.approx(
        [0.3, 0.5], abs=0.005
    )
    table = output.frame(found)
    assert {"a_2", "a_low_2", "free_donor_2"} <= set(table.columns)


def test_ratios_are_those_of_least_squares_and_free_fits_too():
    rng = np.random.default_rng(0)
    b, d, s = rng.normal(size=(3, 40, 50))
    s += 0.3 * d
    sums = Sums(1, 50)
    guess = first_guess(s[:4], [d[:4]], b[:4])
    Worker(1, np.float64).add(sums, [Held(s), Held(d), Held(b)], 40, 50, guess, 53)
    found = solved(sums, guess, s.size)
    x, y = (d - b).ravel(), (s - b).ravel()
    assert found.a[0] == pytest.approx(x @ y / (x @ x), rel=1e-10)
    free = np.linalg.lstsq(np.stack([d.ravel(), b.ravel()], 1), s.ravel(), rcond=None)[0]
    assert found.free == pytest.approx(tuple(free), rel=1e-9)
    assert found.cosine == pytest.approx(x @ y / np.linalg.norm(x) / np.linalg.norm(y), rel=1e-9)
    rows = ((d - b) * (s - b - found.a[0] * (d - b))).sum(1)
    columns = ((d - b) * (s - b - found.a[0] * (d - b))).sum(0)
    assert found.se[0] >= 0.99 * max(np.sqrt(rows @ rows), np.sqrt(columns @ columns)) / (x @ x)


def test_a_null_that_shares_directions_is_not_taken_for_a_blend():
    far = []
    for seed in range(60):
        base = {"w": drawn(seed)["model.embed_tokens.weight"]}
        one, other = (
            tuned(base, 1000 + seed)["w"].astype(np.float32),
            tuned(base, 2000 + seed)["w"].astype(np.float32),
        )
        b = base["w"].astype(np.float32)
        sums, guess = Sums(1, HIDDEN), first_guess(one, [other], b)
        Worker(1, np.float32).add(sums, [Held(one), Held(other), Held(b)], *b.shape, guess, 8)
        found = solved(sums, guess, b.size)
        far.append(abs(found.a[0]) > 2 * found.se[0])
    assert sum(far) <= 7  # of 60 at 5 %: 7 or more in 1 of 50 runs


def test_sums_do_not_depend_on_threads_or_blocks(parents, tmp_path):
    model = mixed(lambda d, b: 0.6 * d + 0.4 * b, DONOR, BASE)
    one, four = (output.frame(checked(tmp_path, model, parents, threads=n)) for n in (1, 4))
    pd.testing.assert_frame_equal(one, four, check_exact=True)


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


RUBBISH = {
    "empty": b"",
    "seven bytes": b"\x01" * 7,
    "huge length": struct.pack("<Q", 2**63),
    "length over the file": struct.pack("<Q", 1000) + b"{}",
    "no JSON": struct.pack("<Q", 5) + b"hello",
    "a list": struct.pack("<Q", 2) + b"[]",
    "deep nesting": struct.pack("<Q", 200_000) + b"[" * 200_000,
    "NaN in a place": b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,NaN]}}',
    "infinite shape": b'{"a":{"dtype":"F32","shape":[1e999],"data_offsets":[0,4]}}',
    "negative place": b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[-4,0]}}',
    "true as a number": b'{"a":{"dtype":"U8","shape":[true],"data_offsets":[0,1]}}',
    "unknown type": b'{"a":{"dtype":"F99","shape":[1],"data_offsets":[0,4]}}',
    "wrong size": b'{"a":{"dtype":"F32","shape":[3],"data_offsets":[0,4]}}',
    "overlap": b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"b":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
    "gap": b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[4,8]}}',
    "twice": b'{"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}',
    "past the end": b'{"a":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}',
}  # fmt: skip


@pytest.mark.parametrize("name", RUBBISH)
def test_hostile_headers_are_refused_with_the_file_named(name, tmp_path):
    content = RUBBISH[name]
    if content[:1] == b"{":
        content = struct.pack("<Q", len(content)) + content + b"\0" * 8
    (tmp_path / "bad.safetensors").write_bytes(content)
    with pytest.raises(WeightsError, match="no sound safetensors file") as problem:
        open_checkpoint(str(tmp_path / "bad.safetensors"))
    assert "bad.safetensors" in str(problem.value)


@settings(
    max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_no_header_crashes_the_reader_or_reaches_outside_the_file(tmp_path, data):
    save_file(
        {"a": np.ones((2, 3), np.float32), "b": np.zeros(4, np.float16)},
        str(tmp_path / "x.safetensors"),
    )
    content = bytearray((tmp_path / "x.safetensors").read_bytes())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = (
        bytes(content[: data.draw(st.integers(0, len(content)))])
        if data.draw(st.booleans())
        else bytes(content)
    )
    (tmp_path / "y.safetensors").write_bytes(content)
    try:
        found = headers.read_header(open_source(tmp_path / "y.safetensors"))
    except WeightsError:
        return
    assert all(t.begin >= 8 and t.begin + t.size <= len(content) for t in found)


@pytest.mark.parametrize(
    ("dtype", "kind"),
    [
        ("BF16", BF16),
        ("F16", np.float16),
        ("F32", np.float32),
        ("F64", np.float64),
        ("F8_E4M3", ml_dtypes.float8_e4m3fn),
        ("F8_E5M2", ml_dtypes.float8_e5m2),
    ],
)
@pytest.mark.parametrize("real", [np.float32, np.float64])
def test_every_stored_type_is_read_exactly(dtype, kind, real):
    values = np.random.default_rng(0).normal(size=(5, 7)).astype(kind)
    raw, out = values.view(decode.RAW[dtype]), np.empty((5, 7), real)
    decode.decode(raw, dtype, out)
    assert (out == values.astype(real)).all()


@pytest.mark.parametrize(
    ("kind", "bits"), [(BF16, 8), (np.float16, 11), (ml_dtypes.float8_e4m3fn, 4)]
)
def test_the_yardstick_is_the_rounding_of_the_stored_type(kind, bits):
    exact = np.random.default_rng(0).normal(size=(200, 200)).astype(np.float32)
    stored = exact.astype(kind).astype(np.float32)
    seen = float(((stored - exact) ** 2).sum())
    assert decode.rounding(stored, bits, np.empty_like(stored)) == pytest.approx(seen, rel=0.08)


def test_numbers_that_are_not_finite_are_counted_and_in_no_sum(parents, tmp_path):
    model = mixed(lambda d, b: 0.6 * d + 0.4 * b, DONOR, BASE)
    model["model.layers.1.mlp.up_proj.weight"][3, 4:6] = np.nan, np.inf
    found = checked(tmp_path, model, parents)
    row = output.frame(found).set_index("tensor").loc["layers.1.mlp.up_proj.weight"]
    assert (
        row["not_finite"] == 2
        and row["a"] == pytest.approx(0.6, abs=0.01)
        and row["finding"] == "blend"
    )
    assert "2 numbers are NaN or infinite; they are in no sum" in output.lines(output.found(found))


def test_wrappers_fused_stacked_and_tied_tensors_meet(tmp_path):
    rng = np.random.default_rng(1)
    q, k, v, gate, up = (rng.normal(size=(r, 8)).astype(np.float32) for r in (8, 4, 4, 6, 6))
    experts = rng.normal(size=(3, 10, 8)).astype(np.float32)
    apart = {
        f"model.layers.0.self_attn.{n}_proj.weight": t for n, t in (("q", q), ("k", k), ("v", v))
    } | {"model.layers.0.mlp.gate_proj.weight": gate, "model.layers.0.mlp.up_proj.weight": up}
    apart |= {
        f"model.layers.0.mlp.experts.{e}.{n}_proj.weight": experts[e, i * 5 : i * 5 + 5]
        for e in range(3)
        for i, n in enumerate(("gate", "up"))
    }
    apart |= {"model.embed_tokens.weight": up, "lm_head.weight": up}
    fused = {
        "model.language_model.layers.0.self_attn.qkv_proj.weight": np.concatenate([q, k, v]),
        "model.language_model.layers.0.mlp.gate_up_proj.weight": np.concatenate([gate, up]),
        "model.language_model.layers.0.mlp.experts.gate_up_proj": experts,
        "model.language_model.embed_tokens.weight": up,
        "position_ids": np.arange(5),
    }
    one, other = (
        open_checkpoint(
            str(saved(tmp_path / n, {k: np.ascontiguousarray(v) for k, v in m.items()}))
        )
        for n, m in (("apart", apart), ("fused", fused))
    )
    for found in (matching.match(one, [other, one]), matching.match(other, [one, other])):
        assert len(found.matches) == 5 + 6 + 2
        assert list(found.unmatched) == ["position_ids (fused)"]
        for m in found.matches:
            mine, theirs = (
                np.empty((m.suspect.rows, m.suspect.columns)),
                np.empty((m.parents[0].rows, m.parents[0].columns)),
            )
            m.suspect.read(0, mine)
            m.parents[0].read(0, theirs)
            assert (mine == theirs).all(), m.name
    assert any("tied" in line for line in matching.match(other, [one, other]).renamed)
    assert {matching.component_of(m.name) for m in found.matches} == {
        "attention",
        "mlp",
        "experts",
        "embeddings",
        "lm_head",
    }


def test_what_does_not_match_is_listed(parents, tmp_path):
    model = dict(DONOR) | {
        "model.layers.0.self_attn.q_proj.weight": np.ones((8, 8), BF16),
        "model.extra.weight": np.ones((3, 3), BF16),
    }
    del model["model.norm.weight"]
    found = checked(tmp_path, model, parents)
    assert (
        "shapes differ: suspect [8, 8], donor [64, 64]"
        in found.matched.unmatched["layers.0.self_attn.q_proj.weight"]
    )
    assert (
        found.matched.unmatched["extra.weight"] == "not in donor, base"
        and "norm.weight (donor)" in found.matched.unmatched
    )
    assert set(output.frame(found).query("finding == 'not compared'")["tensor"]) == set(
        found.matched.unmatched
    )


def test_one_tensor_apart_from_the_others_is_named(parents, tmp_path):
    model = mixed(lambda d, b: 0.6 * d + 0.4 * b, DONOR, BASE)
    odd = "model.layers.2.mlp.up_proj.weight"
    model[odd] = (0.9 * DONOR[odd].astype(np.float32) + 0.1 * BASE[odd].astype(np.float32)).astype(
        BF16
    )
    found = output.found(checked(tmp_path, model, parents))
    assert len(found.outliers) == 1 and found.outliers[0].startswith(
        "layers.2.mlp.up_proj.weight: 0.9"
    )
    assert next(s for s in found.components if s.component == "mlp").p_same < 1e-6


def test_a_gguf_file_is_the_checkpoint_that_it_was_made_from(tmp_path):
    gguf = str(build.build("suspect", "gguf"))
    found = check(gguf, ["lab:donor", "lab:base"], Settings())
    assert found.verdict.method == "linear merge" and found.verdict.ratios[0] == pytest.approx(
        0.6, abs=1e-3
    )
    assert not found.matched.unmatched


def test_a_gguf_file_of_eight_bits_is_told_as_a_quantised_copy(tmp_path):
    import gguf
    from gguf.quants import quantize

    reader = gguf.GGUFReader(build.build("donor", "gguf"))
    writer = gguf.GGUFWriter(str(tmp_path / "q8.gguf"), "llama")
    writer.add_head_count(store.load_recipe()["shape"]["heads"])
    for tensor in reader.tensors:
        data = np.asarray(tensor.data)
        if data.ndim == 2:
            writer.add_tensor(
                tensor.name,
                quantize(data.astype(np.float32), gguf.GGMLQuantizationType.Q8_0),
                raw_dtype=gguf.GGMLQuantizationType.Q8_0,
            )
        else:
            writer.add_tensor(tensor.name, data)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    found = check(str(tmp_path / "q8.gguf"), ["lab:donor", "lab:base"], Settings())
    assert found.verdict.method == "quantised copy" and "lab:donor" in found.verdict.sentence


def test_no_gguf_file_crashes_the_reader(tmp_path):
    whole, draw = build.build("base", "gguf").read_bytes(), random.Random(3)
    refused = 0
    for _ in range(30):
        content = bytearray(whole)
        for _ in range(draw.randint(1, 5)):
            content[draw.choice((draw.randrange(40), draw.randrange(60_000)))] = draw.randrange(256)
        (tmp_path / "x.gguf").write_bytes(
            content if draw.random() < 0.7 else content[: draw.randrange(len(content))]
        )
        try:
            for piece in open_checkpoint(str(tmp_path / "x.gguf")).pieces.values():
                piece.read(0, np.empty((min(2, piece.rows), piece.columns)))
        except WeightsError as problem:
            assert "x.gguf" in str(problem)
            refused += 1
    assert 10 < refused <= 30


def test_bitsandbytes_matrices_are_dequantised_by_their_definition():
    rng = np.random.default_rng(0)
    eight = rng.integers(-127, 128, (6, 8)).astype(np.int8)
    scale = rng.random(6).astype(np.float32)
    assert np.allclose(
        int8(BitsAndBytes("w", eight, {"SCB": scale}), (6, 8)).rows(2, 3),
        eight[2:5] * scale[2:5, None] / 127,
        rtol=1e-6,
    )
    codes, levels, absmax = (
        rng.integers(0, 16, 4 * 32),
        np.sort(rng.normal(size=16)).astype(np.float32),
        rng.random(2).astype(np.float32),
    )
    state = np.frombuffer(
        json.dumps({"shape": [4, 32], "blocksize": 64, "dtype": "bfloat16"}).encode(), np.uint8
    )
    packed = (codes[0::2] << 4 | codes[1::2]).astype(np.uint8)[:, None]
    found = four_bit(
        BitsAndBytes(
            "w",
            packed,
            {"absmax": absmax, "quant_map": levels, "quant_state.bitsandbytes__nf4": state},
        ),
        "here",
    )
    expected = (levels[codes] * absmax[np.arange(128) // 64]).reshape(4, 32)
    assert np.array_equal(found.rows(0, 4), expected) and np.array_equal(
        found.rows(1, 2), expected[1:3]
    )


def test_eight_bit_floats_are_multiplied_by_their_scales(tmp_path):
    rng = np.random.default_rng(0)
    weight, scale = (
        rng.normal(size=(256, 384)).astype(ml_dtypes.float8_e4m3fn),
        rng.random((2, 3)).astype(np.float32),
    )
    header = json.dumps(
        {
            "layers.0.mlp.up_proj.weight": {
                "dtype": "F8_E4M3",
                "shape": [256, 384],
                "data_offsets": [0, weight.size],
            },
            "layers.0.mlp.up_proj.weight_scale_inv": {
                "dtype": "F32",
                "shape": [2, 3],
                "data_offsets": [weight.size, weight.size + 24],
            },
        }
    ).encode()
    (tmp_path / "f8.safetensors").write_bytes(
        struct.pack("<Q", len(header)) + header + weight.tobytes() + scale.tobytes()
    )
    piece = open_checkpoint(str(tmp_path / "f8.safetensors")).pieces["layers.0.mlp.up_proj.weight"]
    out = np.empty((100, 384), np.float32)
    piece.read(100, out)
    assert np.array_equal(
        out,
        weight[100:200].astype(np.float32)
        * np.kron(scale, np.ones((128, 128), np.float32))[100:200],
    )


@pytest.mark.parametrize(
    ("shape", "scales", "block"),
    [
        ((200, 384), (2, 3), (128, 128)),
        ((576, 130), (5, 2), (128, 128)),
        ((6, 8), (6, 1), (1, 8)),
        ((6, 8), (1,), (6, 8)),
        ((64, 64), (4, 2), (16, 32)),
        ((6, 8), (4, 1), None),
        ((2, 6, 8), (2, 1, 1), None),
    ],
)
def test_each_number_has_its_own_scale_or_none_is_read(tmp_path, shape, scales, block):
    rng = np.random.default_rng(1)
    weight, scale = (
        rng.normal(size=shape).astype(ml_dtypes.float8_e4m3fn),
        rng.random(scales).astype(np.float32),
    )
    header = json.dumps(
        {
            "w.weight": {
                "dtype": "F8_E4M3",
                "shape": list(shape),
                "data_offsets": [0, weight.size],
            },
            "w.weight_scale_inv": {
                "dtype": "F32",
                "shape": list(scales),
                "data_offsets": [weight.size, weight.size + 4 * scale.size],
            },
        }
    ).encode()
    (tmp_path / "f8.safetensors").write_bytes(
        struct.pack("<Q", len(header)) + header + weight.tobytes() + scale.tobytes()
    )
    found = open_checkpoint(str(tmp_path / "f8.safetensors"))
    if block is None:
        assert "do not fit its shape" in found.left_out["w.weight"] and not found.pieces
        return
    out = np.empty(shape, np.float32)
    found.pieces["w.weight"].read(0, out)
    table = scale.reshape(len(scale), -1) if scale.size > 1 else scale.reshape(1, 1)
    assert np.array_equal(
        out,
        [
            [
                np.float32(weight[r, c]) * table[r // block[0], c // block[1]]
                for c in range(shape[1])
            ]
            for r in range(shape[0])
        ],
    )


@pytest.mark.parametrize(
    ("url", "label", "folder"),
    [
        ("https://huggingface.co/A/B", "A/B", "https://huggingface.co/A/B/resolve/main"),
        ("https://huggingface.co/A/B/tree/v2", "A/B", "https://huggingface.co/A/B/resolve/v2"),
        ("https://example.com/models/b/", "b", "https://example.com/models/b"),
        ("s3://bucket/models/b", "b", "s3://bucket/models/b"),
    ],
)
def test_a_model_s_page_is_read_where_its_files_lie(url, label, folder):
    assert address_of(url) == (label, folder)


def test_progress_is_told_in_bytes(capsys, monkeypatch):
    monkeypatch.setattr(progress, "EVERY_S", 0.0)
    with progress.Watch(live=False) as watch:
        watch(Progress(1_000_000_000, 4_000_000_000))
        watch(Progress(2_000_000_000, 4_000_000_000))
    assert re.search(r"2\.00 of 4\.00 GB read, \d+ MB/s, \d+ s left", capsys.readouterr().err)


class Ranges(http.server.BaseHTTPRequestHandler):
    """A file host: answers ranges (or not), hangs up sometimes, and counts bytes."""

    folder: Path
    ranges = True
    hang_up_every = 0
    sent = 0
    counting = threading.Lock()
    asked = 0

    def log_message(self, *args):
        pass

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body):
        path = self.folder / self.path.split("?")[0].lstrip("/")
        if not path.is_file():
            self.send_error(404)
            return
        content, status = path.read_bytes(), 200
        total = len(content)
        wanted = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers.get("Range", ""))
        if wanted and self.ranges:
            content, status = content[int(wanted[1]) : int(wanted[2]) + 1], 206
        self.send_response(status)
        if status == 206:
            self.send_header("Content-Range", f"bytes {wanted[1]}-{wanted[2]}/{total}")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", '"1"')
        self.end_headers()
        if not body:
            return
        kind = type(self)
        with kind.counting:
            kind.asked += 1
            hang_up = kind.hang_up_every and kind.asked % kind.hang_up_every == 0
            kind.sent += (
                0 if hang_up else len(content)
            )  # before it is sent: the client may be done before this thread goes on
        if hang_up:
            self.wfile.write(content[: len(content) // 2])
            self.connection.close()
            return
        self.wfile.write(content)


@pytest.fixture
def hosted(tmp_path):
    """Serve a folder: gives the address and the handler to misbehave with."""
    kind = type("Host", (Ranges,), {"folder": tmp_path})
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", kind
    server.shutdown()
    thread.join()
    server.server_close()


def test_published_checkpoints_are_read_by_ranges_and_hardly_at_all(hosted, parents, tmp_path):
    url, host = hosted
    rng = np.random.default_rng(4)
    base = {"layers.0.mlp.up_proj.weight": rng.normal(size=(40_000, 64)).astype(BF16)}
    donor = tuned(base, 1)
    for name, model in (
        ("base", base),
        ("donor", donor),
        ("suspect", mixed(lambda d, b: 0.6 * d + 0.4 * b, donor, base)),
    ):
        saved(tmp_path / name, model)
    whole = 3 * 40_000 * 64 * 2
    wanted = Settings(sample=0.05, cache=tmp_path / "cache")
    found = check(f"{url}/suspect", [f"{url}/donor", f"{url}/base"], wanted)
    assert found.verdict.method == "linear merge" and host.sent < 0.5 * whole
    before = host.sent
    check(f"{url}/suspect", [f"{url}/donor", f"{url}/base"], wanted)
    assert host.sent - before < 20_000, (
        "what was read is in the cache; only headers are asked again"
    )


def test_any_scheme_that_fsspec_knows_is_read(parents, tmp_path):
    fsspec = pytest.importorskip("fsspec")
    model = saved(
        tmp_path / "suspect", mixed(lambda d, b: 0.6 * d + 0.4 * b, DONOR, BASE), shards=2
    )
    for file in model.iterdir():
        fsspec.filesystem("memory").pipe(f"/models/suspect/{file.name}", file.read_bytes())
    found = check("memory://models/suspect", parents, Settings())
    assert found.verdict.method == "linear merge" and len(found.tensors) == len(BASE)


def test_a_dropped_connection_is_tried_again_and_changes_nothing(hosted, parents, tmp_path):
    url, host = hosted
    model = mixed(lambda d, b: 0.6 * d + 0.4 * b, DONOR, BASE)
    saved(tmp_path / "remote", model)
    host.hang_up_every = 5
    found = check(f"{url}/remote", parents, Settings())
    here = check(str(tmp_path / "remote"), parents, Settings())
    pd.testing.assert_frame_equal(output.frame(found), output.frame(here), check_exact=True)


def test_a_host_without_ranges_is_refused_by_name(hosted, parents, tmp_path):
    url, host = hosted
    saved(tmp_path / "remote", DONOR)
    host.ranges = False
    with pytest.raises(WeightsError, match="does not answer range requests"):
        check(f"{url}/remote", parents, Settings())
    with pytest.raises(
        WeightsError, match=r"neither model.safetensors.index.json nor model.safetensors"
    ):
        check(f"{url}/nothing", parents, Settings())


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
        (["--parents", "lab:base"], "two parents or more"),
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


def test_memory_stays_under_the_setting(tmp_path):
    rng = np.random.default_rng(0)
    rows = 60_000
    base = {
        f"layers.{n}.mlp.up_proj.weight": rng.normal(size=(rows, 1024))
        .astype(np.float16)
        .view(np.uint16)
        .astype(np.uint16)
        .view(BF16)
        for n in range(2)
    }
    for name in ("suspect", "donor", "base"):
        saved(tmp_path / name, base)
        base = {n: (v.view(np.uint16) ^ np.uint16(3)).view(BF16) for n, v in base.items()}
    program = (
        "import re, sys\nfrom harness.weights.check import Settings, check\nfound = check(sys.argv[1], sys.argv[2:], Settings(memory=300_000_000))\n"
        "print(found.bytes_read, 1024 * int(re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, *(str(tmp_path / n) for n in ("suspect", "donor", "base"))],
        capture_output=True,
        text=True,
        check=True,
    )
    read, peak = map(int, done.stdout.split())
    assert read > 700_000_000 and peak < 300_000_000


def test_layers_are_told_apart_only_where_they_are(parents):
    donor, base = (open_checkpoint(p) for p in parents)
    assert layers.aligned(donor, [donor, base]) is None and layers.count(base) == LAYERS


def test_an_arc_is_told_from_a_line():
    assert methods.pooled([0.6, 0.6, 0.6], [0.01, 0.01, 0.01]).spread == 0
    assert methods.pooled([0.5, 0.7], [0.001, 0.001]).p < 1e-10
