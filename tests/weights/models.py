"""Small models with Hugging Face's names, tuned, merged and stored."""

from __future__ import annotations

import json

import ml_dtypes
import numpy as np
from safetensors.numpy import save_file

from harness.weights.check import Settings, check

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
    """A model near another one: all numbers moved a little, in part together, as training does."""
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


def checked(tmp_path, model, parents, **settings_):
    return check(str(saved(tmp_path / "suspect", model)), parents, Settings(**settings_))
