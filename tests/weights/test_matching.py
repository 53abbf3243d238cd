"""The same tensor found again."""

from __future__ import annotations

import numpy as np

from harness.weights import matching, output
from harness.weights.checkpoint import open_checkpoint
from tests.weights.models import BASE, BF16, DONOR, checked, mixed, saved


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
