"""Every stored type is read exactly: floats, GGUF, bitsandbytes, scaled eight bits."""

from __future__ import annotations

import json
import random
import struct

import ml_dtypes
import numpy as np
import pytest

from harness.errors import WeightsError
from harness.lab import build, store
from harness.weights import decode
from harness.weights.check import Settings, check
from harness.weights.checkpoint import open_checkpoint
from harness.weights.quantised import BitsAndBytes, four_bit, int8
from tests.weights.models import BF16


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


def test_a_gguf_file_is_the_checkpoint_that_it_was_made_from(tmp_path):
    gguf = str(build("suspect", "gguf"))
    found = check(gguf, ["lab:donor", "lab:base"], Settings())
    assert found.verdict.method == "linear merge" and found.verdict.ratios[0] == pytest.approx(
        0.6, abs=1e-3
    )
    assert not found.matched.unmatched


def test_a_gguf_file_of_eight_bits_is_told_as_a_quantised_copy(tmp_path):
    import gguf
    from gguf.quants import quantize

    reader = gguf.GGUFReader(build("donor", "gguf"))
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
    whole, draw = build("base", "gguf").read_bytes(), random.Random(3)
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
        assert "do not fit its shape" in found.left_out["w.weight"].why and not found.pieces
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
