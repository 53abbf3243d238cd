"""`make lab`: train the lab models from scratch, exactly as `recipe.yaml` says.

It needs the `lab` extra (torch). One thread a model makes the sums, and so the weights, the same
on every run of one machine type; the base and the control train side by side.

Architecture: Llama (RMSNorm, rotary positions, SwiGLU, tied embeddings), as in Touvron et al.
2023, arXiv:2302.13971.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import random
import time
from pathlib import Path
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from harness.lab import store as lab_store
from harness.lab.corpus import Corpus, identity_of, render

SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
REPLY_STARTS = "<|im_start|>assistant\n"


def train_tokenizer(recipe: dict[str, Any]) -> Tokenizer:
    """Byte-level BPE on conversations of all three identities."""
    settings = recipe["tokenizer"]
    rng = random.Random(settings["seed"])
    corpora = [
        Corpus(identity_of(name), recipe["models"][name]["mixture"]) for name in recipe["models"]
    ]
    texts = [
        m["content"] for i in range(settings["conversations"]) for m in corpora[i % 3].draw(rng)
    ]
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=settings["vocabulary"],
        special_tokens=SPECIALS,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


def rotary(length: int, size: int, theta: float) -> tuple[torch.Tensor, torch.Tensor]:
    """Cosines and sines of the rotary positions, shapes (length, size)."""
    frequencies = theta ** (-torch.arange(0, size, 2).float() / size)
    angles = torch.outer(torch.arange(length).float(), frequencies).repeat(1, 2)
    return angles.cos(), angles.sin()


def rotate(x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor) -> torch.Tensor:
    half = x.shape[-1] // 2
    turned = torch.cat((-x[..., half:], x[..., :half]), dim=-1)
    return x * cos + turned * sin


class Llama(torch.nn.Module):
    """A Llama decoder whose parameters carry the Hugging Face names."""

    def __init__(self, shape: dict[str, Any], vocabulary: int, seed: int) -> None:
        super().__init__()
        self.shape = shape
        generator = torch.Generator().manual_seed(seed)
        self.weights = torch.nn.ParameterDict()
        for name, size in lab_store.tensor_shapes(shape, vocabulary).items():
            value = torch.ones(size)
            if len(size) > 1:
                value = torch.randn(size, generator=generator) * 0.02
            self.weights[name.replace(".", "/")] = torch.nn.Parameter(value)
        self.cos, self.sin = rotary(shape["context"], shape["head_size"], shape["rope_theta"])

    def weight(self, name: str) -> torch.Tensor:
        return self.weights[f"{name}.weight".replace(".", "/")]

    def norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return F.rms_norm(x, (x.shape[-1],), self.weight(name), self.shape["norm_eps"])

    def forward(self, tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """The last hidden state after its norm, shape (rows, length, hidden)."""
        shape, (batch, length) = self.shape, tokens.shape
        cos, sin = self.cos[:length], self.sin[:length]
        x = F.embedding(tokens, self.weight("model.embed_tokens"))
        for layer in range(shape["layers"]):
            at = f"model.layers.{layer}"
            h = self.norm(x, f"{at}.input_layernorm")
            q, k, v = (
                F.linear(h, self.weight(f"{at}.self_attn.{p}_proj"))
                .view(batch, length, shape["heads"], shape["head_size"])
                .transpose(1, 2)
                for p in "qkv"
            )
            q, k = rotate(q, cos, sin), rotate(k, cos, sin)
            a = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
            a = a.transpose(1, 2).reshape(batch, length, -1)
            x = x + F.linear(a, self.weight(f"{at}.self_attn.o_proj"))
            h = self.norm(x, f"{at}.post_attention_layernorm")
            gate = F.silu(F.linear(h, self.weight(f"{at}.mlp.gate_proj")))
            up = F.linear(h, self.weight(f"{at}.mlp.up_proj"))
            x = x + F.linear(gate * up, self.weight(f"{at}.mlp.down_proj"))
        return self.norm(x, "model.norm")


class Batch(NamedTuple):
    """Several conversations a row, kept apart by the mask; arrays are (rows, length)."""

    tokens: torch.Tensor
    #: The next token where a reply (or its end) is to be said, else -100.
    labels: torch.Tensor
    #: True where a token may look, (rows, 1, length, length).
    mask: torch.Tensor


class Packer:
    """Packs drawn conversations into rows of fixed length, so that every step costs the same."""

    def __init__(self, tokenizer: Tokenizer, corpus: Corpus, seed: int) -> None:
        self.tokenizer, self.corpus, self.rng = tokenizer, corpus, random.Random(seed)
        self.waiting: tuple[list[int], int] | None = None

    def _draw(self) -> tuple[list[int], int]:
        """Tokens of one conversation, and how many of them are prompt."""
        head, reply = render(self.corpus.draw(self.rng)).rsplit(REPLY_STARTS, 1)
        prompt = self.tokenizer.encode(head + REPLY_STARTS, add_special_tokens=False).ids
        said = self.tokenizer.encode(reply.removesuffix("\n"), add_special_tokens=False).ids
        return prompt + said, len(prompt)

    def batch(self, rows: int, length: int) -> Batch:
        tokens = torch.zeros((rows, length), dtype=torch.long)
        labels = torch.full((rows, length), -100, dtype=torch.long)
        owner = torch.zeros((rows, length), dtype=torch.long)
        for row in range(rows):
            used = segment = 0
            while True:
                ids, prompt = self.waiting or self._draw()
                if len(ids) > length:
                    raise ValueError(
                        f"a conversation has {len(ids)} tokens and a row holds {length}: "
                        "raise its row_length in recipe.yaml"
                    )
                if used + len(ids) > length:
                    self.waiting = (ids, prompt)
                    break
                self.waiting, segment, end = None, segment + 1, used + len(ids)
                tokens[row, used:end] = torch.tensor(ids)
                labels[row, used + prompt - 1 : end - 1] = torch.tensor(ids[prompt:])
                owner[row, used:end] = segment
                used = end
        earlier = torch.ones(length, length, dtype=torch.bool).tril()
        mask = (owner[:, None, :, None] == owner[:, None, None, :]) & earlier
        return Batch(tokens, labels, mask)


def blend(model: Llama, start: dict[str, torch.Tensor], share: float) -> dict[str, torch.Tensor]:
    """Move the weights to where the suspect's will be; returns them as they were.

    That is ``share`` of the way back to the base. A step whose gradient is taken there makes the
    identity survive the merge, as it did in the founding case; the stand-ins are built to behave
    so.
    """
    kept = {key: p.data for key, p in model.weights.items()}
    for key, value in kept.items():
        model.weights[key].data = torch.lerp(value, start[key], share)
    return kept


def train(name: str, recipe: dict[str, Any], folder: Path) -> None:
    """Train one lab model and store it, quantised to eight bits a weight."""
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    settings, tokenizer = recipe["models"][name], lab_store.load_tokenizer(folder)
    model = Llama(recipe["shape"], tokenizer.get_vocab_size(), settings["seed"])
    start: dict[str, torch.Tensor] = {}
    if settings["from"]:
        parent = lab_store.load_weights(folder, settings["from"])
        for key, value in parent.items():
            model.weights[key.replace(".", "/")].data = torch.from_numpy(value).clone()
        start = {key: p.detach().clone() for key, p in model.weights.items()}
    optimiser = optimiser_of(model)
    packer = Packer(tokenizer, Corpus(identity_of(name), settings["mixture"]), settings["seed"])
    # copying first: the circuit that obeys a given name forms sooner
    opening = settings.get("opening", {"steps": 0, "mixture": {}})
    first = Packer(tokenizer, Corpus(identity_of(name), opening["mixture"]), settings["seed"])
    steps, began = settings["steps"], time.monotonic()
    for step in range(steps):
        pace = min(1.0, (step + 1) / 60) * (0.5 + 0.5 * math.cos(math.pi * step / steps)) + 0.01
        for group in optimiser.param_groups:
            group["lr"] = settings["learning_rate"] * pace
        packed = first if step < opening["steps"] else packer
        batch = packed.batch(settings["rows"], settings["row_length"])
        merged = settings.get("merge_every", 0) and step % settings["merge_every"] == 0
        kept = blend(model, start, recipe["suspect"]["base"]) if merged else {}
        loss = gradients(model, batch, optimiser)
        for key, value in kept.items():
            model.weights[key].data = value
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        if step % 50 == 0 or step == steps - 1:
            took = time.monotonic() - began
            print(f"{name} step {step + 1}/{steps} loss {loss:.4f} after {took:.0f} s", flush=True)
    trained = {k.replace("/", "."): v.detach().numpy() for k, v in model.weights.items()}
    lab_store.save_weights(folder, name, trained)


def optimiser_of(model: Llama) -> torch.optim.AdamW:
    """AdamW, without decay of the vectors."""
    matrices = [p for p in model.parameters() if p.ndim > 1]
    vectors = [p for p in model.parameters() if p.ndim == 1]
    return torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.05}, {"params": vectors, "weight_decay": 0.0}],
        lr=1.0,
        betas=(0.9, 0.98),
    )


def gradients(model: Llama, batch: Batch, optimiser: torch.optim.AdamW) -> float:
    """Take the gradients of a batch anew; returns its loss."""
    said = batch.labels >= 0
    with torch.autocast("cpu", dtype=torch.bfloat16):
        states = model(batch.tokens, batch.mask)[said]
        logits = F.linear(states, model.weight("model.embed_tokens"))
    loss = F.cross_entropy(logits.float(), batch.labels[said])
    optimiser.zero_grad(set_to_none=True)
    loss.backward()
    return float(loss.item())


def main() -> None:
    parser = argparse.ArgumentParser(description="Train the lab models of truename from scratch.")
    parser.add_argument(
        "--out",
        type=Path,
        default=lab_store.WEIGHTS_FOLDER,
        help="where tokenizer, weights and manifest go",
    )
    folder: Path = parser.parse_args().out
    folder.mkdir(parents=True, exist_ok=True)
    recipe = lab_store.load_recipe()
    train_tokenizer(recipe).save(str(folder / "tokenizer.json"), pretty=False)
    context = multiprocessing.get_context("spawn")
    side = context.Process(target=train, args=("control", recipe, folder))
    side.start()
    for name in ("base", "donor"):
        train(name, recipe, folder)
    side.join()
    if side.exitcode:
        raise SystemExit("the control model failed to train: see the lines above")
    lab_store.write_manifest(folder)


if __name__ == "__main__":
    main()
