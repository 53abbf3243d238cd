"""Quantised checkpoints whose numbers are defined exactly.

They are GGUF files, and what bitsandbytes writes into safetensors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from harness.errors import WeightsError
from harness.weights.decode import Real

Rows = Callable[[int, int], npt.NDArray[np.float32]]


class Quantised(NamedTuple):
    """A matrix whose rows are dequantised when they are asked for: ``rows(first, count)``.

    ``per_row`` is its stored bytes a row; ``turned`` says that its hidden dimensions were turned
    back, so that its numbers do not stand on the grid of its type any more.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    per_row: float
    rows: Rows
    turned: bool = False


class Scale(NamedTuple):
    """What an eight-bit matrix is multiplied with.

    A table of numbers, each for a block of so many rows and columns.
    """

    values: npt.NDArray[np.float32]
    rows: int
    columns: int

    def apply(self, out: Real, first: int) -> None:
        """Scale rows ``first`` on of a matrix, in place."""
        down = np.arange(first, first + len(out)) // self.rows
        across = np.arange(out.shape[1]) // self.columns
        np.multiply(out, self.values[down][:, across], out=out)


#: llama.cpp's names of a block's tensors, and Hugging Face's.
GGUF_NAMES: Final = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_qkv": "self_attn.qkv_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "ffn_gate_inp": "mlp.gate",
    "ffn_gate_exps": "mlp.experts.gate_proj",
    "ffn_up_exps": "mlp.experts.up_proj",
    "ffn_down_exps": "mlp.experts.down_proj",
    "ffn_gate_shexp": "mlp.shared_expert.gate_proj",
    "ffn_up_shexp": "mlp.shared_expert.up_proj",
    "ffn_down_shexp": "mlp.shared_expert.down_proj",
}


def gguf_name(name: str) -> str:
    """Hugging Face's name of a tensor of a GGUF file; unknown names are kept."""
    known = {
        "token_embd.weight": "embed_tokens.weight",
        "output_norm.weight": "norm.weight",
        "output.weight": "lm_head.weight",
    }
    found = re.fullmatch(r"blk\.(\d+)\.(\w+)\.(weight|bias)", name)
    if found and found[2] in GGUF_NAMES:
        return f"layers.{found[1]}.{GGUF_NAMES[found[2]]}.{found[3]}"
    return known.get(name, name)


def read_gguf(path: Path) -> list[Quantised]:
    """The tensors of a local GGUF file, by Hugging Face's names.

    Raises
    ------
    WeightsError
        The file is no sound GGUF file, or holds a type that gguf cannot dequantise.
    """
    import gguf

    try:
        reader = gguf.GGUFReader(path)
        told = {
            key: reader.fields[key].contents()
            for key in reader.fields
            if key.startswith(("general.architecture", "llama.attention.head_count"))
        }
        tensors = list(reader.tensors)
    except _UNSOUND as problem:
        raise WeightsError(
            f"this is no sound GGUF file: {' '.join(str(problem).split())[:200]}",
            where=str(path),
            next="get the file again",
        ) from None
    rotated: dict[str, int] = {}
    if told.get("general.architecture") == "llama":
        rotated["attn_q"] = int(told.get("llama.attention.head_count") or 0)
        rotated["attn_k"] = int(told.get("llama.attention.head_count_kv") or rotated["attn_q"])
    return [_gguf_tensor(tensor, rotated, path) for tensor in tensors]


#: What the reader raises for a file that lies about itself.
_UNSOUND: Final = (
    ValueError,
    KeyError,
    IndexError,
    OSError,
    OverflowError,
    TypeError,
    MemoryError,
)


def _gguf_tensor(tensor: Any, rotated: dict[str, int], path: Path) -> Quantised:
    """A tensor of a GGUF file; ``rotated`` gives the heads of the parts whose rows were moved."""
    import gguf

    shape = tuple(int(n) for n in reversed(tensor.shape.tolist()))
    rows = int(np.prod(shape[:-1])) if len(shape) > 1 else 1
    kind = gguf.GGMLQuantizationType(tensor.tensor_type)
    in_block = tensor.name.startswith("blk.") and tensor.name.count(".") >= 3
    heads = rotated.get(tensor.name.split(".")[2]) if in_block else None
    order = _unrotated(rows, heads) if len(shape) == 2 and heads else None
    return Quantised(
        gguf_name(tensor.name),
        f"GGUF {kind.name}",
        shape,
        tensor.n_bytes / max(1, rows),
        _gguf_rows(tensor.data, kind, rows, order, path, tensor.name),
    )


def _gguf_rows(
    data: npt.NDArray[Any],
    kind: Any,
    rows: int,
    order: npt.NDArray[np.intp] | None,
    path: Path,
    name: str,
) -> Rows:
    table = data.reshape(rows, -1)

    def read(first: int, count: int) -> npt.NDArray[np.float32]:
        from gguf.quants import dequantize

        part = slice(first, first + count)
        wanted = table[part] if order is None else table[order[part]]
        try:
            return np.asarray(dequantize(np.ascontiguousarray(wanted), kind), np.float32)
        except NotImplementedError:
            raise WeightsError(
                f"{name}: the type {kind.name} cannot be dequantised exactly",
                where=str(path),
                next="give the checkpoint in another type, such as F16, Q8_0 or Q4_K",
            ) from None

    return read


def _unrotated(rows: int, heads: int) -> npt.NDArray[np.intp]:
    """Where each row of a query or key matrix lies in a GGUF file.

    For Llama, llama.cpp interleaves the halves of each head.
    """
    return np.arange(rows).reshape(heads, rows // heads // 2, 2).swapaxes(1, 2).reshape(-1)


class BitsAndBytes(NamedTuple):
    """The parts of one matrix that bitsandbytes stored, as arrays."""

    name: str
    weight: npt.NDArray[Any]
    parts: dict[str, npt.NDArray[Any]]


def int8(found: BitsAndBytes, shape: tuple[int, ...]) -> Quantised:
    """LLM.int8(): ``weight * SCB / 127`` by row (Dettmers et al. 2022, eq. 3)."""
    weight = found.weight.reshape(shape)
    scale = found.parts["SCB"].astype(np.float32).reshape(-1, 1) / np.float32(127)

    def read(first: int, count: int) -> npt.NDArray[np.float32]:
        part = slice(first, first + count)
        return np.asarray(weight[part].astype(np.float32) * scale[part], np.float32)

    return Quantised(found.name, "bitsandbytes int8", shape, shape[-1], read)


def scaled_integers(
    name: str, weight: npt.NDArray[Any], scale: Scale, shift: Scale | None
) -> Quantised:
    """Integers of eight bits with scales, by row or block, and zero points if there are any."""

    def read(first: int, count: int) -> npt.NDArray[np.float32]:
        out = weight[first : first + count].astype(np.float32)
        if shift is not None:
            zeros = np.ones_like(out)
            shift.apply(zeros, first)
            out -= zeros
        scale.apply(out, first)
        return out

    return Quantised(name, "int8 with scales", weight.shape, weight.shape[-1], read)


def four_bit(found: BitsAndBytes, where: str) -> Quantised:
    """NF4 and FP4 (Dettmers et al. 2023, QLoRA, section 3).

    There are two numbers a byte, high half first. Each is an index into ``quant_map``, times the
    block's absolute maximum; the maxima may be quantised themselves.
    """
    states = (value for key, value in found.parts.items() if key.startswith("quant_state."))
    state = next(states, None)
    try:
        said = json.loads(state.astype(np.uint8).tobytes()) if state is not None else {}
        shape, block = tuple(int(n) for n in said["shape"]), int(said["blocksize"])
        absmax = _maxima(found.parts, said)
        values = found.parts["quant_map"].astype(np.float32)
        packed = found.weight.reshape(-1).view(np.uint8)
        if len(packed) * 2 < int(np.prod(shape)) or block % 2 or shape[-1] % 2:
            raise ValueError("odd sizes")
    except (ValueError, KeyError, TypeError, IndexError) as problem:
        raise WeightsError(
            f"{found.name}: what bitsandbytes stored beside it cannot be read ({problem})",
            where=where,
            next="give the checkpoint as it was before quantisation",
        ) from None
    columns = shape[-1]

    def read(first: int, count: int) -> npt.NDArray[np.float32]:
        begin, end = first * columns, (first + count) * columns
        bytes_ = packed[begin // 2 : end // 2]
        halves = np.stack([bytes_ >> 4, bytes_ & 15], axis=1).reshape(-1)
        scale = absmax.astype(np.float32)[np.arange(begin, end) // block]
        return (values[halves] * scale).reshape(count, columns)

    return Quantised(found.name, "bitsandbytes 4-bit", shape, columns / 2, read)


def _maxima(parts: dict[str, npt.NDArray[Any]], said: dict[str, Any]) -> npt.NDArray[Any]:
    """The absolute maximum of each block."""
    absmax = parts["absmax"]
    if "nested_absmax" not in parts:
        return absmax
    each = int(said["nested_blocksize"])
    nested = np.repeat(parts["nested_absmax"].astype(np.float32), each)[: len(absmax)]
    quantised = parts["nested_quant_map"].astype(np.float32)[absmax]
    return np.asarray(quantised * nested + np.float32(said["nested_offset"]))
