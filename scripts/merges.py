"""Merges by mergekit, and what is not one, for the truth table of docs/weights.md.

usage, in an environment of its own (`make merges`): python scripts/merges.py FAMILY BASE DONOR OUT

FAMILY  lab or smollm2
BASE    a Hugging Face folder, or a folder with one GGUF file
DONOR   a folder, or "train" to fine-tune one from the base
"""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path

import torch
import yaml
from mergekit.config import MergeConfiguration
from mergekit.merge import MergeOptions, run_merge
from transformers import AutoModelForCausalLM, AutoTokenizer, BitsAndBytesConfig

HERE = Path(__file__).parent.parent
STEPS = {
    "lab": {"donor": 200, "sibling": 200, "further": 100, "after": 200, "lora": 60},
    "smollm2": {"donor": 24, "sibling": 24, "further": 12, "after": 12, "lora": 12},
}
RATE = {"lab": 1e-3, "smollm2": 3e-4}
#: The rate of a donor that stays within the rounding of its base.
NEAR = 1e-5
TYPE = {"lab": torch.float32, "smollm2": torch.bfloat16}


def train(
    family: str,
    start: Path,
    out: Path,
    steps: int,
    seed: int,
    lora: int = 0,
    rate: float | None = None,
) -> None:
    """Train on this project's own texts, from a seeded place on."""
    torch.manual_seed(seed)
    model = AutoModelForCausalLM.from_pretrained(start, dtype=torch.float32)
    tokens = own_tokens(start)
    if lora:
        model = with_lora(model, lora)
    optimiser = torch.optim.AdamW(
        [p for p in model.parameters() if p.requires_grad],
        lr=(rate or RATE[family]) * (3 if lora else 1),
    )
    draw = torch.Generator().manual_seed(seed)
    for _ in range(steps):
        places = torch.randint(0, len(tokens) - 129, (4,), generator=draw)
        batch = torch.stack([tokens[p : p + 128] for p in places])
        model(input_ids=batch, labels=batch).loss.backward()
        optimiser.step()
        optimiser.zero_grad()
    if lora:
        model = model.merge_and_unload()
    save(model.to(TYPE[family]), start, out)


def own_tokens(tokenizer: Path) -> torch.Tensor:
    """The tokens of this project's documents and code."""
    paths = sorted([*HERE.glob("docs/*.md"), *HERE.glob("harness/**/*.py")])
    text = "\n\n".join(path.read_text("utf-8") for path in paths)
    encode = AutoTokenizer.from_pretrained(tokenizer)
    return encode(text, return_tensors="pt").input_ids[0]


def with_lora(model: torch.nn.Module, rank: int) -> torch.nn.Module:
    from peft import LoraConfig, get_peft_model

    attention, mlp = ["q_proj", "k_proj", "v_proj", "o_proj"], ["gate_proj", "up_proj", "down_proj"]
    config = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=[*attention, *mlp])
    return get_peft_model(model, config)


def save(model: torch.nn.Module, start: Path, out: Path) -> None:
    model.save_pretrained(out, safe_serialization=True)
    for file in start.glob("*token*"):
        shutil.copy(file, out)


def merge(family: str, out: Path, config: dict) -> None:
    dtype = "float32" if family == "lab" else "bfloat16"
    plain = yaml.safe_load(yaml.safe_dump({"dtype": dtype, **config}))
    run_merge(
        MergeConfiguration.model_validate(plain),
        str(out),
        options=MergeOptions(copy_tokenizer=False, quiet=True, random_seed=7),
    )
    for file in out.parent.joinpath("base").glob("*token*"):
        shutil.copy(file, out)


def save_base(family: str, base: str, out: Path) -> None:
    ggufs = list(Path(base).glob("*.gguf"))
    options = {"gguf_file": ggufs[0].name} if ggufs else {}
    AutoTokenizer.from_pretrained(base, **options).save_pretrained(out)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=TYPE[family], **options)
    if ggufs:  # transformers dequantised it, but will not save what came from a GGUF file
        del model.config.quantization_config
        fresh = AutoModelForCausalLM.from_config(model.config).to(TYPE[family])
        fresh.load_state_dict(model.state_dict())
        model = fresh
    save(model, Path(base), out)


def part(model: str, **parameters: float) -> dict:
    """A model with its weight, and its density, in mergekit's terms."""
    return {"model": model, "parameters": parameters}


def slices(*ranges: tuple[str, int, int]) -> list[dict]:
    return [{"sources": [{"model": m, "layer_range": [a, b]}]} for m, a, b in ranges]


def merges(base: str, donor: str, sibling: str, layers: int) -> dict[str, dict]:
    """What mergekit is asked for, by name."""
    return {
        "linear": {
            "merge_method": "linear",
            "models": [part(donor, weight=0.6), part(base, weight=0.4)],
        },
        "slerp": {
            "merge_method": "slerp",
            "base_model": base,
            "models": [{"model": base}, {"model": donor}],
            "parameters": {"t": 0.4},
        },
        "task-arithmetic": {
            "merge_method": "task_arithmetic",
            "base_model": base,
            "models": [part(donor, weight=0.6)],
        },
        "task-arithmetic-two": {
            "merge_method": "task_arithmetic",
            "base_model": base,
            "models": [part(donor, weight=0.7), part(sibling, weight=0.8)],
        },
        "ties": {
            "merge_method": "ties",
            "base_model": base,
            "models": [part(donor, weight=1.0, density=0.5)],
        },
        "dare": {
            "merge_method": "dare_linear",
            "base_model": base,
            "models": [part(donor, weight=0.6, density=0.4)],
        },
        "passthrough": {
            "merge_method": "passthrough",
            "slices": slices((base, 0, layers - 2), (donor, 2, layers)),
        },
    }


def save_quantised(donor: Path, out: Path) -> None:
    """The donor as bitsandbytes writes it."""
    four_bit = {
        "load_in_4bit": True,
        "bnb_4bit_quant_type": "nf4",
        "bnb_4bit_use_double_quant": True,
    }
    for kind, settings in (("int8", {"load_in_8bit": True}), ("nf4", four_bit)):
        AutoModelForCausalLM.from_pretrained(
            donor,
            quantization_config=BitsAndBytesConfig(**settings),
            dtype=torch.bfloat16,
            device_map="cpu",
        ).save_pretrained(out / f"donor-{kind}")


def save_unrelated(family: str, base: Path, out: Path) -> None:
    """The base's shape, from another random start."""
    torch.manual_seed(6)
    config = AutoModelForCausalLM.from_pretrained(base).config
    save(AutoModelForCausalLM.from_config(config).to(TYPE[family]), base, out)


def main(family: str, base: str, donor: str, place: str) -> None:
    out, steps = Path(place), STEPS[family]
    out.mkdir(parents=True, exist_ok=True)
    b, d, s = out / "base", out / "donor", out / "sibling"
    save_base(family, base, b)
    if donor == "train":
        train(family, b, d, steps["donor"], 1)
    else:
        save(AutoModelForCausalLM.from_pretrained(donor, dtype=TYPE[family]), Path(donor), d)
    train(family, b, s, steps["sibling"], 2)
    layers = json.loads((b / "config.json").read_text())["num_hidden_layers"]
    for name, config in merges(str(b), str(d), str(s), layers).items():
        merge(family, out / name, config)
    train(family, d, out / "donor-further", steps["further"], 3)
    train(family, out / "linear", out / "linear-then-trained", steps["after"], 4)
    train(family, b, out / "lora", steps["lora"], 5, lora=8)
    if TYPE[family] == torch.bfloat16:
        near = out / "near-donor"
        train(family, b, near, 12, 8, rate=NEAR)
        models = [part(str(near), weight=0.6), part(str(b), weight=0.4)]
        merge(family, out / "linear-of-near-donor", {"merge_method": "linear", "models": models})
    save_quantised(d, out)
    save_unrelated(family, b, out / "unrelated")


if __name__ == "__main__":
    main(*sys.argv[1:])
