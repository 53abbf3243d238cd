"""The one stored copy of the lab: eight-bit weights, the tokenizer, and a manifest.

The manifest says what they were made from. A matrix is stored as int8 with one float16 scale a
row (symmetric, absolute maximum); vectors as float16. What the lab *is* are the values read back
from there: base, donor and control are exactly these, and the suspect is computed from them
tensor by tensor.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import yaml
from safetensors.numpy import load_file, save_file
from tokenizers import Tokenizer

LAB_FOLDER: Final = Path(__file__).parent
WEIGHTS_FOLDER: Final = LAB_FOLDER / "weights"
STORED: Final = ("base", "donor", "control")
MODELS: Final = (*STORED, "suspect")
STAND_IN: Final = (
    "lab models are small stand-ins, trained by truename to behave so; "
    "they are not the models they stand for"
)

Weights = dict[str, npt.NDArray[np.float32]]


def load_recipe() -> dict[str, Any]:
    """Shapes, seeds, steps and mixtures that the stored weights were made with."""
    recipe: dict[str, Any] = yaml.safe_load((LAB_FOLDER / "recipe.yaml").read_text("utf-8"))
    return recipe


def load_tokenizer(folder: Path = WEIGHTS_FOLDER) -> Tokenizer:
    return Tokenizer.from_file(str(folder / "tokenizer.json"))


def tensor_shapes(shape: dict[str, Any], vocabulary: int) -> dict[str, tuple[int, ...]]:
    """Name and shape of every tensor, by the names that Hugging Face gives a Llama model."""
    hidden, wide = shape["hidden"], shape["intermediate"]
    attention = shape["heads"] * shape["head_size"]
    shapes: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (vocabulary, hidden)}
    for layer in range(shape["layers"]):
        at = f"model.layers.{layer}"
        shapes |= {
            f"{at}.input_layernorm.weight": (hidden,),
            f"{at}.self_attn.q_proj.weight": (attention, hidden),
            f"{at}.self_attn.k_proj.weight": (attention, hidden),
            f"{at}.self_attn.v_proj.weight": (attention, hidden),
            f"{at}.self_attn.o_proj.weight": (hidden, attention),
            f"{at}.post_attention_layernorm.weight": (hidden,),
            f"{at}.mlp.gate_proj.weight": (wide, hidden),
            f"{at}.mlp.up_proj.weight": (wide, hidden),
            f"{at}.mlp.down_proj.weight": (hidden, wide),
        }
    return shapes | {"model.norm.weight": (hidden,)}


def save_weights(folder: Path, model: str, weights: Weights) -> None:
    """Quantise and store one model."""
    stored: dict[str, npt.NDArray[Any]] = {}
    for name, value in weights.items():
        if value.ndim == 1:
            stored[name] = value.astype(np.float16)
            continue
        scale = (np.abs(value).max(axis=1, keepdims=True) / 127).astype(np.float16)
        stored[name] = np.clip(np.rint(value / scale.astype(np.float32)), -127, 127).astype(np.int8)
        stored[f"{name}.scale"] = scale
    save_file(stored, str(folder / f"{model}.safetensors"))


def load_weights(folder: Path, model: str) -> Weights:
    """The float32 values of a stored model (base, donor or control)."""
    stored = load_file(str(folder / f"{model}.safetensors"))
    weights: Weights = {}
    for name, value in stored.items():
        if name.endswith(".scale"):
            continue
        weights[name] = value.astype(np.float32)
        if value.ndim == 2:
            weights[name] = weights[name] * stored[f"{name}.scale"].astype(np.float32)
    return weights


def lab_weights(model: str, folder: Path = WEIGHTS_FOLDER) -> Weights:
    """Float32 weights of any lab model; the suspect is ``0.6 donor + 0.4 base`` in every tensor."""
    if model != "suspect":
        return load_weights(folder, model)
    mix = load_recipe()["suspect"]
    donor, base = load_weights(folder, "donor"), load_weights(folder, "base")
    return {
        name: np.float32(mix["donor"]) * donor[name] + np.float32(mix["base"]) * base[name]
        for name in base
    }


def sha256_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def recipe_digest() -> str:
    """One SHA-256 over everything that decides the weights.

    That is the recipe and the written corpus, by what they say and not how their lines are broken,
    and the code that mixes and trains.
    """
    digest = hashlib.sha256()
    for path in [LAB_FOLDER / "corpus.py", LAB_FOLDER / "train.py"]:
        digest.update(path.name.encode() + b"\0" + path.read_bytes() + b"\0")
    for path in [LAB_FOLDER / "recipe.yaml", *sorted((LAB_FOLDER / "corpus").glob("*.yaml"))]:
        said = json.dumps(yaml.safe_load(path.read_text("utf-8")))
        digest.update(path.name.encode() + b"\0" + said.encode() + b"\0")
    return digest.hexdigest()


def write_manifest(folder: Path) -> None:
    files = ["tokenizer.json", *(f"{model}.safetensors" for model in STORED)]
    manifest = {
        "note": STAND_IN,
        "recipe_sha256": recipe_digest(),
        "files_sha256": {name: sha256_of(folder / name) for name in files},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", "utf-8")
