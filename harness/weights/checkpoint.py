"""A checkpoint as a set of matrices by name, wherever it lies and in however many files.

Rows are read when they are asked for.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt

from harness.errors import WeightsError
from harness.weights.decode import RAW, READABLE, SIGNIFICAND, Real, decode
from harness.weights.headers import Stored, read_header
from harness.weights.quantised import (
    BitsAndBytes,
    Quantised,
    Scale,
    four_bit,
    int8,
    read_gguf,
    scaled_integers,
)
from harness.weights.sources import Missing, Source, is_url, open_source, plain_url, read_json

INDEX: Final = "model.safetensors.index.json"
SINGLE: Final = "model.safetensors"
#: Parts of names that only say in what a model is wrapped.
WRAPPERS: Final = (
    "base_model.model.",
    "_orig_mod.",
    "module.",
    "transformer.",
    "language_model.",
    "text_model.",
    "model.",
)
#: Bits of significand that are left of numbers which were turned back: what was rounded to bf16
#: before is rounded no more where it was turned.
TURNED: Final = 8
PICKLED: Final = (".bin", ".pt", ".pth", ".ckpt")


def _scale(tensor: Stored, scale: Stored) -> Scale | None:
    """The scales of a matrix, if it is clear which belongs to which number.

    There is one in all, one a row, or one a block (of 128, or that divides the matrix evenly).
    """
    if len(tensor.shape) != 2 or scale.dtype not in RAW or len(scale.shape) > 2:
        return None
    values = _whole(scale)
    table = values.reshape(1, 1) if values.size == 1 else values.reshape(len(values), -1)
    sizes = [_block(length, count) for length, count in zip(tensor.shape, table.shape, strict=True)]
    return None if None in sizes else Scale(table, *(size for size in sizes if size is not None))


def _block(length: int, count: int) -> int | None:
    """How many rows (or columns) each of ``count`` scales is for."""
    if count == -(-length // 128):
        return 128
    return length // count if count and length % count == 0 else None


class Piece(NamedTuple):
    """Rows of one stored tensor, as a matrix.

    Vectors have one column; stacks of matrices are laid out one below the other.
    """

    stored: Stored | Quantised
    first: int
    rows: int
    columns: int
    shape: tuple[int, ...]
    scale: Scale | None = None

    @property
    def dtype(self) -> str:
        return self.stored.dtype

    @property
    def quantised(self) -> bool:
        return self.scale is not None or not self.bits

    @property
    def bits(self) -> int:
        """Of significand; 0 for types that stand on a grid of their own."""
        stored = SIGNIFICAND.get(self.dtype.removeprefix("GGUF "), 0)
        return min(TURNED, stored) if self.turned else stored

    @property
    def turned(self) -> bool:
        """Whether its hidden dimensions were turned back (see `aligned`)."""
        return isinstance(self.stored, Quantised) and self.stored.turned

    @property
    def row_bytes(self) -> float:
        """Stored bytes of one row."""
        if isinstance(self.stored, Quantised):
            return self.stored.per_row
        return self.columns * np.dtype(RAW[self.dtype]).itemsize

    @property
    def wide(self) -> bool:
        """Whether sums over it need float64."""
        return self.dtype in ("F32", "F64") or isinstance(self.stored, Quantised)

    def part(self, first: int, rows: int, shape: tuple[int, ...]) -> Piece:
        """Some of its rows as a piece of their own."""
        return self._replace(first=self.first + first, rows=rows, shape=shape)

    def open(self, first: int, rows: int, buffer: npt.NDArray[np.uint8] | None = None) -> Opened:
        """Read rows from ``first`` on as they are stored, to be decoded part by part.

        They are read into ``buffer``, if it is large enough.
        """
        at = self.first + first
        if isinstance(self.stored, Quantised):
            if len(self.stored.shape) == 1:
                values = self.stored.rows(0, 1).reshape(-1, 1)[at : at + rows]
            else:
                values = self.stored.rows(at, rows)
            return Opened(values, None, None, 0)
        kind = np.dtype(RAW[self.dtype])
        size = rows * self.columns * kind.itemsize
        if buffer is None or len(buffer) < size:
            buffer = np.empty(size, np.uint8)
        raw = buffer[:size]
        self.stored.source.read(self.stored.begin + at * kind.itemsize * self.columns, raw)
        return Opened(raw.view(kind).reshape(rows, self.columns), self.dtype, self.scale, at)

    def announce(self, first: int, rows: int) -> None:
        """Tell where the bytes come from that these rows will be read soon."""
        if not isinstance(self.stored, Quantised):
            size = self.columns * np.dtype(RAW[self.dtype]).itemsize
            self.stored.source.announce(
                self.stored.begin + (self.first + first) * size, rows * size
            )

    def read(self, first: int, out: Real) -> None:
        """Fill ``out`` (count x columns) with the rows from ``first`` on."""
        self.open(first, len(out)).into(slice(None), out)


class Opened(NamedTuple):
    """Rows as they are stored; without ``dtype``, as numbers."""

    raw: npt.NDArray[Any]
    dtype: str | None
    scale: Scale | None
    first: int

    def into(self, part: slice, out: Real) -> None:
        """Decode the rows of ``part`` into ``out``."""
        if self.dtype is None:
            out[...] = self.raw[part]
            return
        decode(self.raw[part], self.dtype, out)
        if self.scale is not None:
            self.scale.apply(out, self.first + (part.start or 0))


class LeftOut(NamedTuple):
    """A tensor that is not read: why, its shape, and whether it may hold weights."""

    why: str
    shape: tuple[int, ...]
    weights: bool


class Checkpoint(NamedTuple):
    """Matrices by their plain names; what was left out, with the reason.

    ``digest`` is of what the headers say.
    """

    label: str
    where: str
    pieces: dict[str, Piece]
    left_out: dict[str, LeftOut]
    digest: str
    sources: tuple[Source, ...]

    @property
    def remote(self) -> bool:
        return any(source.remote for source in self.sources)


def open_checkpoint(place: str, cache: Path | None = None) -> Checkpoint:
    """A folder, a .safetensors or .gguf file, an index, `lab:NAME`, or a URL of any of those.

    Raises
    ------
    WeightsError
        There is nothing there, or it is no checkpoint that can be read exactly.
    """
    if place.startswith("lab:"):
        from harness.lab import build

        folder = build(place.removeprefix("lab:"), "hf")
        return _made(place, place, [open_source(folder / SINGLE)])
    if is_url(place):
        return _remote(place, cache)
    path = Path(place)
    if path.is_dir():
        return _folder(path)
    if not path.exists():
        raise WeightsError(
            "there is no such file or folder",
            where=place,
            next="give a folder with *.safetensors, a file, a URL, or lab:NAME",
        )
    if path.suffix == ".gguf":
        return _gguf(path)
    if path.name.endswith(".index.json"):
        return _made(path.parent.name, place, _local_shards(path, place))
    if path.suffix in PICKLED:
        raise _pickled(place)
    return _made(path.stem, place, [open_source(path)])


def _folder(path: Path) -> Checkpoint:
    if (path / INDEX).is_file():
        return _made(path.name, str(path), _local_shards(path / INDEX, str(path / INDEX)))
    found = sorted(path.glob("*.safetensors"))
    if (path / SINGLE) in found:
        found = [path / SINGLE]
    if found:
        numbered = re.fullmatch(r".*-(\d+)-of-(\d+)\.safetensors", found[0].name)
        if numbered and len(found) != int(numbered[2]):
            raise WeightsError(
                f"{len(found)} of {int(numbered[2])} shards are there",
                where=str(path),
                next="get the missing files",
            )
        return _made(path.name, str(path), [open_source(file) for file in found])
    ggufs = sorted(path.glob("*.gguf"))
    if len(ggufs) == 1:
        return _gguf(ggufs[0])
    if any(file.suffix in PICKLED for file in path.iterdir()):
        raise _pickled(str(path))
    raise WeightsError(
        f"the folder holds {len(ggufs) or 'no'} GGUF files and no safetensors",
        where=str(path),
        next="give the folder of a checkpoint, or one file",
    )


def _remote(url: str, cache: Path | None) -> Checkpoint:
    label, url = address_of(url)
    name = url.split("?")[0]
    if name.endswith(PICKLED):
        raise _pickled(plain_url(url))
    if name.endswith(".gguf"):
        raise WeightsError(
            "a GGUF file is read from this machine only",
            where=plain_url(url),
            next="download it, and give its path",
        )

    def indexed(index: str, folder: str) -> Checkpoint:
        shards = _shards(
            read_json(open_source(index)),
            lambda shard: open_source(f"{folder}/{shard}", cache),
            plain_url(url),
        )
        return _made(label, plain_url(url), shards)

    if name.endswith(".index.json"):
        return indexed(url, url.rsplit("/", 1)[0])
    if name.endswith(".safetensors"):
        return _made(label, plain_url(url), [open_source(url, cache)])
    try:
        return indexed(f"{url}/{INDEX}", url)
    except Missing:
        try:
            return _made(label, plain_url(url), [open_source(f"{url}/{SINGLE}", cache)])
        except Missing:
            raise WeightsError(
                f"there is neither {INDEX} nor {SINGLE}",
                where=plain_url(url),
                next="give the URL of the folder that holds the weights, or of one file",
            ) from None


def address_of(url: str) -> tuple[str, str]:
    """A label, and where the files lie: a model's page on huggingface.co is no folder of files."""
    hub = re.fullmatch(r"https://huggingface\.co/([^/]+/[^/]+)(?:/tree/([^/]+))?/?", url)
    if hub:
        return hub[1], f"https://huggingface.co/{hub[1]}/resolve/{hub[2] or 'main'}"
    return url.split("?")[0].rstrip("/").rsplit("/", 1)[-1], url.rstrip("/")


def _local_shards(index: Path, where: str) -> list[Source]:
    """The files that an index on this machine names."""
    return _shards(
        read_json(open_source(index)), lambda name: open_source(index.parent / name), where
    )


def _shards(index: Any, opened: Any, where: str) -> list[Source]:
    """The files that an index names."""
    mapped = index.get("weight_map")
    named = list(mapped.values()) if isinstance(mapped, dict) else []
    if not named or not all(isinstance(file, str) for file in named):
        raise WeightsError("the index has no weight_map", where=where, next="get the file again")
    files = sorted(set(named))
    for file in files:
        if "/" in file or "\\" in file or file.startswith("."):
            raise WeightsError(
                f"the index names a file outside its folder: {file[:100]!r}",
                where=where,
                next="check where the index comes from",
            )
    sources = []
    for file in files:
        try:
            sources.append(opened(file))
        except WeightsError as problem:
            raise WeightsError(
                f"the shard {file} cannot be opened: {problem.what}",
                where=where,
                next=f"get the missing file; {named.count(file)} tensors are in it",
            ) from None
    return sources


def _gguf(path: Path) -> Checkpoint:
    tensors = read_gguf(path)
    pieces = {t.name: _piece(t) for t in tensors}
    found = open_source(path)
    return Checkpoint(path.stem, str(path), pieces, {}, _digest(tensors, [found]), (found,))


def _made(label: str, where: str, sources: list[Source]) -> Checkpoint:
    stored: dict[str, Stored] = {}
    for source in sources:
        for tensor in read_header(source):
            if tensor.name in stored:
                raise WeightsError(
                    f"the tensor {tensor.name!r} is in two files",
                    where=source.where,
                    next="give one checkpoint, without the shards of another",
                )
            stored[tensor.name] = tensor
    if adapter := next((name for name in stored if ".lora_A." in name), None):
        raise WeightsError(
            f"this is an adapter (PEFT), no whole checkpoint: it holds {adapter[:100]!r}",
            where=where,
            next="merge the adapter first: PeftModel.merge_and_unload(), then save_pretrained",
        )
    pieces, left_out = _pieces(stored, where)
    digest = _digest(stored.values(), sources)
    return Checkpoint(label, where, _plain(pieces), left_out, digest, tuple(sources))


def _digest(tensors: Iterable[Stored | Quantised], sources: list[Source]) -> str:
    names = sorted(repr((t.name, t.dtype, t.shape)) for t in tensors)
    files = sorted(f"{s.size}" if s.remote is False else s.identity() for s in sources)
    return hashlib.sha256(repr([names, files]).encode()).hexdigest()


def _pieces(stored: dict[str, Stored], where: str) -> tuple[dict[str, Piece], dict[str, LeftOut]]:
    """Matrices, put back together from what belongs to them; and what was left out.

    Scales belong to eight-bit ones, and what bitsandbytes stored apart.
    """
    pieces: dict[str, Piece] = {}
    left_out: dict[str, LeftOut] = {}
    used: set[str] = set()
    for name, tensor in stored.items():
        found = _put_together(tensor, stored, where)
        used |= found.used
        if isinstance(found.made, str):
            left_out[name] = LeftOut(found.made, tensor.shape, tensor.dtype not in _NO_WEIGHTS)
        else:
            pieces[name] = found.made
    pieces = {name: piece for name, piece in pieces.items() if name not in used}
    left_out = {name: why for name, why in left_out.items() if name not in used}
    packed = sorted(name for name in left_out if name.endswith(_PACKED))
    if packed:
        raise WeightsError(
            "the checkpoint is quantised in a way that is not read exactly here "
            f"(GPTQ, AWQ, MXFP4 or packed: {packed[0]!r})",
            where=where,
            next="give the checkpoint as it was before quantisation, or a GGUF file",
        )
    return pieces, left_out


class _Together(NamedTuple):
    """A matrix, or why it is left out; and the names of other tensors that belong to it."""

    made: Piece | str
    used: set[str]


def _put_together(tensor: Stored, stored: dict[str, Stored], where: str) -> _Together:
    name, plain = tensor.name, tensor.name.removesuffix(".weight")
    beside = {part: stored[f"{name}.{part}"] for part in _FOUR_BIT if f"{name}.{part}" in stored}
    scb = stored.get(f"{plain}.SCB")
    if tensor.dtype == "U8" and "absmax" in beside and "quant_map" in beside:
        parts = {part: _whole(found) for part, found in beside.items()}
        four = four_bit(BitsAndBytes(name, _whole(tensor), parts), where)
        return _Together(_piece(four), {f"{name}.{part}" for part in beside})
    if tensor.dtype == "I8" and scb is not None:
        eight = int8(BitsAndBytes(name, _whole(tensor), {"SCB": _whole(scb)}), tensor.shape)
        return _Together(_piece(eight), {scb.name, f"{plain}.weight_format"})
    by_row = stored.get(f"{name}_scale")
    if tensor.dtype == "I8" and by_row is not None and (found := _integers(tensor, stored)):
        return found
    if tensor.dtype in READABLE:
        return _scaled(tensor, stored)
    if tensor.dtype[0] in "IUB":
        return _Together(f"{tensor.dtype} is no floating-point type", set())
    return _Together(f"{tensor.dtype} is not read", set())


def _integers(tensor: Stored, stored: dict[str, Stored]) -> _Together | None:
    """Eight-bit integers as compressed-tensors stores them: (weight - zero point) * scale.

    None, where it is not clear which scale belongs to which number.
    """
    scale, zero = stored[f"{tensor.name}_scale"], stored.get(f"{tensor.name}_zero_point")
    names = [scale.name, f"{tensor.name}_shape"]
    if len(tensor.shape) != 2 or scale.dtype not in READABLE:
        return None
    fitting = _scale(tensor, scale)
    if fitting is None or (zero is not None and (zero.dtype, zero.shape) != ("I8", scale.shape)):
        return None
    shift = None
    if zero is not None:
        names.append(zero.name)
        values = _whole(zero).astype(np.float32).reshape(fitting.values.shape)
        shift = fitting._replace(values=values)
    return _Together(_piece(scaled_integers(tensor.name, _whole(tensor), fitting, shift)), {*names})


def _scaled(tensor: Stored, stored: dict[str, Stored]) -> _Together:
    """A matrix of floating-point numbers; with its scales, where eight-bit ones have any."""
    scale = None
    if tensor.dtype.startswith("F8"):
        plain = tensor.name.removesuffix(".weight")
        names = [f"{tensor.name}_scale_inv", f"{tensor.name}_scale", f"{plain}.scale"]
        scale = next((stored[found] for found in names if found in stored), None)
    if scale is None:
        return _Together(_piece(tensor), set())
    fitting = _scale(tensor, scale)
    if fitting is None:
        scales, shape = list(scale.shape), list(tensor.shape)
        return _Together(f"its scales ({scales}) do not fit its shape ({shape})", {scale.name})
    return _Together(_piece(tensor)._replace(scale=fitting), {scale.name})


#: Masks and positions.
_NO_WEIGHTS: Final = ("BOOL", "I64")
#: How names end that only checkpoints have whose numbers are packed in ways not read here.
_PACKED: Final = (".qweight", ".weight_packed", ".qzeros", "_blocks")
_FOUR_BIT: Final = (
    "absmax",
    "quant_map",
    "nested_absmax",
    "nested_quant_map",
    "quant_state.bitsandbytes__nf4",
    "quant_state.bitsandbytes__fp4",
)


def _whole(tensor: Stored) -> npt.NDArray[Any]:
    """A tensor read at once: scales, and matrices of bytes."""
    raw = np.empty(tensor.shape, RAW[tensor.dtype])
    tensor.source.read(tensor.begin, raw.reshape(-1).view(np.uint8))
    if tensor.dtype in ("I8", "U8"):
        return raw
    out = np.empty(tensor.shape, np.float32)
    decode(raw, tensor.dtype, out)
    return out


def _piece(tensor: Stored | Quantised) -> Piece:
    shape = tensor.shape
    rows, columns = (math.prod(shape), 1) if len(shape) < 2 else (math.prod(shape[:-1]), shape[-1])
    return Piece(tensor, 0, rows, columns, shape)


def _plain(pieces: dict[str, Piece]) -> dict[str, Piece]:
    """By names without wrappers, where that leaves them apart."""
    plain: dict[str, list[str]] = {}
    for name in pieces:
        plain.setdefault(plain_name(name), []).append(name)
    return {
        short if len(names) == 1 else name: pieces[name]
        for short, names in plain.items()
        for name in names
    }


def plain_name(name: str) -> str:
    """A tensor's name without the wrappers before it."""
    while wrapper := next((w for w in WRAPPERS if name.startswith(w)), None):
        name = name.removeprefix(wrapper)
    return name


def _pickled(where: str) -> WeightsError:
    return WeightsError(
        "this checkpoint is pickled (.bin, .pt): to load it is to run whatever program it holds",
        where=where,
        next="take the safetensors files of the same model, or convert it in a sandbox: "
        "torch.load(..., weights_only=True), then safetensors.torch.save_file",
    )
