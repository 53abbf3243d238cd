"""The merge check: how near it comes to reading at all, its memory, and how its cost grows.

Then its null by experiment, and what it would say of the founding case.

usage: python benchmarks/weights.py [GIGABYTES]
A synthetic model of that size (default 2) is written three times, in a temporary folder.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import ml_dtypes
import numpy as np

from harness.weights.fit import Fit, Held, Rounding, Sums, Worker, first_guess, solved

ROWS, COLUMNS, SHARDS = 4096, 4096, 4
#: Qwen3.5-397B, as published: bytes of a checkpoint in bf16.
CHECKPOINT = 2 * 397e9
#: Bytes of one of the synthetic matrices.
MATRIX = 2 * ROWS * COLUMNS
CHECK = r"""
import re, sys, time
from harness.weights.check import Settings, check
began = time.perf_counter()
found = check(sys.argv[1], sys.argv[2:], Settings())
took = time.perf_counter() - began
peak = re.search(r'VmHWM:\s+(\d+)', open('/proc/self/status').read())[1]
print(found.bytes_read, took, peak, found.verdict.method)
"""


def bf16(values: np.ndarray) -> np.ndarray:
    return values.astype(ml_dtypes.bfloat16).view(np.uint16)


def stored(values: np.ndarray) -> np.ndarray:
    """Numbers as bf16 keeps them."""
    return values.astype(ml_dtypes.bfloat16).astype(np.float32)


def written(folder: Path, tensors: int) -> None:
    """A base, a donor and their blend at 0.6, sharded.

    The numbers of a few tensors are drawn; the others are shifts of them.
    """
    rng = np.random.default_rng(0)
    base = stored(rng.normal(0, 0.02, (ROWS + tensors, COLUMNS)).astype(np.float32))
    donor = stored(base + rng.normal(0, 0.002, base.shape).astype(np.float32))
    made = {"base": bf16(base), "donor": bf16(donor), "suspect": bf16(0.6 * donor + 0.4 * base)}
    for name, numbers in made.items():
        (folder / name).mkdir()
        where = {}
        for shard in range(SHARDS):
            file = f"model-{shard + 1:05}-of-{SHARDS:05}.safetensors"
            tensors_in = range(shard, tensors, SHARDS)
            write_shard(folder / name / file, numbers, tensors_in)
            where |= {tensor_name(n): file for n in tensors_in}
        index = folder / name / "model.safetensors.index.json"
        index.write_text(json.dumps({"weight_map": where}))


def tensor_name(number: int) -> str:
    return f"model.layers.{number}.mlp.up_proj.weight"


def write_shard(path: Path, numbers: np.ndarray, tensors: range) -> None:
    header = {
        tensor_name(n): {
            "dtype": "BF16",
            "shape": [ROWS, COLUMNS],
            "data_offsets": [i * MATRIX, (i + 1) * MATRIX],
        }
        for i, n in enumerate(tensors)
    }
    said = json.dumps(header).encode()
    with path.open("wb") as out:
        out.write(struct.pack("<Q", len(said)) + said)
        for n in tensors:
            out.write(numbers[n : n + ROWS].tobytes())
        out.flush()
        os.fsync(out.fileno())


def forgotten(folder: Path) -> None:
    """Put the files out of the page cache."""
    for path in folder.rglob("*.safetensors"):
        with path.open("rb") as file:
            os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def read_all(folder: Path) -> float:
    """GB/s of only reading every file, in blocks as large as the check's, with two threads."""
    files = [os.open(path, os.O_RDONLY) for path in sorted(folder.rglob("*.safetensors"))]
    blocks = [(f, at) for f in files for at in range(0, os.fstat(f).st_size, 16_000_000)]
    buffers = [np.empty(16_000_000, np.uint8) for _ in range(2)]

    def work(number: int) -> int:
        return sum(os.preadv(f, [memoryview(buffers[number])], at) for f, at in blocks[number::2])

    began = time.perf_counter()
    with ThreadPoolExecutor(2) as pool:
        total = sum(pool.map(work, range(2)))
    took = time.perf_counter() - began
    for f in files:
        os.close(f)
    return total / took / 1e9


class Timed(NamedTuple):
    """A whole check in a process of its own; ``limit`` is the GB/s of only reading the files."""

    rate: float
    seconds: float
    peak_mb: float
    method: str
    limit: float


def checked(folder: Path, limit: float = math.nan) -> Timed:
    places = [str(folder / name) for name in ("suspect", "donor", "base")]
    command = [sys.executable, "-c", CHECK, *places]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    read, took, peak, *method = done.stdout.split()
    seconds = float(took)
    return Timed(int(read) / seconds / 1e9, seconds, int(peak) / 1000, " ".join(method), limit)


def timed(folder: Path, from_disk: bool) -> Timed:
    """The median of three checks, by its ratio to only reading."""
    runs = []
    for _ in range(3):
        if from_disk:
            forgotten(folder)
        limit = read_all(folder)
        if from_disk:
            forgotten(folder)
        runs.append(checked(folder, limit))
    return sorted(runs, key=lambda run: run.rate / run.limit)[1]


def told(state: str, run: Timed) -> None:
    print(
        f"{state}: only reading {run.limit:.2f} GB/s, the check {run.rate:.2f} GB/s, "
        f"{run.rate / run.limit:.2f} of it; peak {run.peak_mb:.0f} MB, "
        f"{run.peak_mb / 1000:.2f} of the setting; found: {run.method} (median of 3)"
    )


def speed(gigabytes: float) -> None:
    tensors = max(SHARDS, round(gigabytes * 1e9 / MATRIX))
    print(
        f"{tensors} matrices of {ROWS} x {COLUMNS} in bf16, {tensors * MATRIX / 1e9:.2f} GB "
        f"a checkpoint, three checkpoints, {os.cpu_count()} cores"
    )
    times = {}
    for share in (0.25, 0.5, 1):
        folder = Path(tempfile.mkdtemp())
        try:
            part = max(SHARDS, round(tensors * share))
            written(folder, part)
            checked(folder)  # once, so that Python's own files are in the cache
            if share == 1:
                told("from the disk", timed(folder, from_disk=True))
            cached = timed(folder, from_disk=False)
            if share == 1:
                told("from the page cache", cached)
            times[3 * part * MATRIX / 1e9] = cached.seconds
        finally:
            shutil.rmtree(folder)
    by_size = ", ".join(
        f"{size:.1f} GB {took:.2f} s ({1e3 * took / size:.0f} ms a GB)"
        for size, took in times.items()
    )
    print(f"seconds by size, from the page cache: {by_size}")


def fitted(s: np.ndarray, d: np.ndarray, b: np.ndarray) -> Fit:
    guess = first_guess(s[:16], [d[:16]], b[:16])
    sums = Sums(1, s.shape[1])
    Worker(1, np.float32).add(sums, [Held(s), Held(d), Held(b)], *s.shape, guess, 8)
    return solved(sums, guess, s.size, Rounding([d[:16]], b[:16], 8))


def mean(fits: Sequence[Fit], of: Callable[[Fit], float]) -> float:
    return float(np.mean([of(fit) for fit in fits]))


def fine_tuned(base: np.ndarray, spread: float, rng: np.random.Generator) -> np.ndarray:
    return stored(base + rng.normal(0, spread, base.shape).astype(np.float32))


def published_spread(base: np.ndarray, rng: np.random.Generator) -> float:
    """How far the donor lies from its base, so that rounding alone gives the published cosine."""
    chosen, least = 0.0, math.inf
    for scale in np.geomspace(0.0002, 0.004, 14):
        donor = fine_tuned(base, scale, rng)
        cosine = fitted(stored(base + 0.571 * (donor - base)), donor, base).cosine
        if abs(cosine - 0.993) < least:
            chosen, least = scale, abs(cosine - 0.993)
    return chosen


def founding_case() -> None:
    """Expert matrices of the published size (1,024 x 4,096, bf16).

    What do the published ratio and cosine of fit say about rounding?
    """
    rng = np.random.default_rng(1)
    print(
        "\nrouted experts at 0.571, simulated (1,024 x 4,096, bf16, 16 matrices; "
        "the base's numbers of spread 0.02):"
    )
    bases = [stored(rng.normal(0, 0.02, (1024, 4096)).astype(np.float32)) for _ in range(16)]
    spread = published_spread(bases[0], rng)
    for name, ratio, noise in (
        ("an exact merge at 0.571", 0.571, 0.0),
        ("one at 0.6 exactly", 0.6, 0.0),
        ("one whose ratio varies by 0.0016", 0.571, 0.0016),
    ):
        fits = []
        for base in bases:
            donor = fine_tuned(base, spread, rng)
            merged = stored(base + (ratio + noise * rng.normal()) * (donor - base))
            fits.append(fitted(merged, donor, base))
        a = np.array([f.a[0] for f in fits])
        print(
            f"  {name}: ratio {a.mean():.4f}, spread {a.std(ddof=1):.4f}, "
            f"error of one matrix {mean(fits, lambda f: f.se[0]):.4f}, "
            f"cosine {mean(fits, lambda f: f.cosine):.4f}, "
            f"residual {mean(fits, lambda f: f.in_rounding):.2f} times the rounding, "
            f"z {np.mean(a / [f.se[0] for f in fits]):.0f}"
        )
    apart = []
    for base in bases:
        one, other = (fine_tuned(base, spread, rng) for _ in range(2))
        apart.append(fitted(one, other, base))
    print(
        f"  two independent fine-tunes: ratio {mean(apart, lambda f: f.a[0]):+.4f}, "
        f"spread {np.std([f.a[0] for f in apart]):.4f}, "
        f"error of one matrix {mean(apart, lambda f: f.se[0]):.4f}"
    )
    on_paper(fits)


def on_paper(fits: Sequence[Fit]) -> None:
    """What a check of the whole case would read, and how sure it would be of such matrices."""
    print("\non paper: 397B parameters in bf16, three checkpoints over HTTP at 100 MB/s:")
    shared = mean(fits, lambda f: f.correction_se[0])  # more rows do not lessen it
    sampled = mean(fits, lambda f: math.sqrt(max(0.0, f.se[0] ** 2 - f.correction_se[0] ** 2)))
    for sample in (1.0, 0.1, 0.01):
        read = 3 * CHECKPOINT * sample
        alone = sampled / math.sqrt(sample)
        print(
            f"  sample {sample:4}: {read / 1e9:8,.0f} GB, {read / 1e8 / 3600:6.2f} h; "
            f"95 % interval of one expert matrix +- {1.96 * math.hypot(alone, shared):.4f}, "
            f"by sampling alone +- {1.96 * sampled / math.sqrt(sample):.5f}"
        )


def null() -> None:
    """The null by experiment.

    Fine-tunes that share directions with their base's activations, and tensors with their rows
    permuted.
    """
    rng = np.random.default_rng(2)
    far: dict[str, list[float]] = {
        "independent numbers": [],
        "row and column directions": [],
        "directions that both share": [],
        "rows permuted": [],
    }
    for _ in range(400):
        r, c = 96, 128
        b = rng.normal(0, 0.02, (r, c))
        shared = rng.normal(size=(3, c))
        for name, values in far.items():
            x, y = rng.normal(0, 0.002, (2, r, c))
            if name == "row and column directions":
                x, y = (
                    v + 0.002 * rng.normal(size=(r, 2)) @ rng.normal(size=(2, c)) for v in (x, y)
                )
            if name == "directions that both share":
                x, y = (v + 0.002 * rng.normal(size=(r, 3)) @ shared for v in (x, y))
            if name == "rows permuted":
                x = x + 0.002 * rng.normal(size=(r, 3)) @ shared
                y = 0.6 * x[rng.permutation(r)]
            f = fitted((b + y).astype(np.float32), (b + x).astype(np.float32), b.astype(np.float32))
            values.append(f.a[0] / f.se[0])
    print(
        "\nthe null: share of |z| above 1.96 (wanted 5 % or less) and above 3, "
        "spread of z; 400 pairs each"
    )
    for name, values in far.items():
        z = np.abs(values)
        above, far_above = 100 * (z > 1.96).mean(), 100 * (z > 3).mean()
        print(f"  {name:28} {above:5.1f} %  {far_above:5.2f} %  {np.std(values):.2f}")


if __name__ == "__main__":
    speed(float(sys.argv[1]) if len(sys.argv) > 1 else 2.0)
    null()
    founding_case()
