"""The merge check: how near it comes to reading at all, its memory, and how its cost grows; then what it would say of the founding case.

python benchmarks/weights.py [GIGABYTES]     a synthetic model of that size (default 2), three times, in a temporary folder
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
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import ml_dtypes
import numpy as np

from harness.weights.fit import Fit, Held, Rounding, Sums, Worker, first_guess, solved

ROWS, COLUMNS, SHARDS = 4096, 4096, 4
#: Qwen3.5-397B, as published: bytes of a checkpoint in bf16.
CHECKPOINT = 2 * 397e9
CHECK = "import re, sys, time\nfrom harness.weights.check import Settings, check\nbegan = time.perf_counter()\nfound = check(sys.argv[1], sys.argv[2:], Settings())\ntook = time.perf_counter() - began\nprint(found.bytes_read, took, re.search(r'VmHWM:\\s+(\\d+)', open('/proc/self/status').read())[1], found.verdict.method)"


def bf16(values: np.ndarray) -> np.ndarray:
    return values.astype(ml_dtypes.bfloat16).view(np.uint16)


def written(folder: Path, tensors: int) -> None:
    """A base, a donor and their blend at 0.6, sharded. The numbers of a few tensors are drawn; the others are shifts of them."""
    rng = np.random.default_rng(0)
    base = rng.normal(0, 0.02, (ROWS + tensors, COLUMNS)).astype(np.float32)
    base = base.astype(ml_dtypes.bfloat16).astype(np.float32)
    donor = (
        (base + rng.normal(0, 0.002, base.shape).astype(np.float32))
        .astype(ml_dtypes.bfloat16)
        .astype(np.float32)
    )
    stored = {"base": bf16(base), "donor": bf16(donor), "suspect": bf16(0.6 * donor + 0.4 * base)}
    for name, numbers in stored.items():
        (folder / name).mkdir()
        where = {}
        for shard in range(SHARDS):
            file = f"model-{shard + 1:05}-of-{SHARDS:05}.safetensors"
            mine = range(shard, tensors, SHARDS)
            size = 2 * ROWS * COLUMNS
            header = json.dumps(
                {
                    f"model.layers.{n}.mlp.up_proj.weight": {
                        "dtype": "BF16",
                        "shape": [ROWS, COLUMNS],
                        "data_offsets": [i * size, (i + 1) * size],
                    }
                    for i, n in enumerate(mine)
                }
            ).encode()
            with (folder / name / file).open("wb") as out:
                out.write(struct.pack("<Q", len(header)) + header)
                for n in mine:
                    out.write(numbers[n : n + ROWS].tobytes())
                out.flush()
                os.fsync(out.fileno())
            where |= {f"model.layers.{n}.mlp.up_proj.weight": file for n in mine}
        (folder / name / "model.safetensors.index.json").write_text(
            json.dumps({"weight_map": where})
        )


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


def checked(folder: Path) -> tuple[float, float, float, str]:
    """GB/s, seconds and peak MB of a whole check in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", CHECK, *(str(folder / n) for n in ("suspect", "donor", "base"))],
        capture_output=True,
        text=True,
        check=True,
    )
    read, took, peak, *method = done.stdout.split()
    return int(read) / float(took) / 1e9, float(took), int(peak) / 1000, " ".join(method)


def speed(gigabytes: float) -> None:
    tensors = max(SHARDS, round(gigabytes * 1e9 / (2 * ROWS * COLUMNS)))
    print(
        f"{tensors} matrices of {ROWS} x {COLUMNS} in bf16, {tensors * 2 * ROWS * COLUMNS / 1e9:.2f} GB a checkpoint, three checkpoints, {os.cpu_count()} cores"
    )
    times = {}
    for share in (0.25, 0.5, 1):
        folder = Path(tempfile.mkdtemp())
        try:
            part = max(SHARDS, round(tensors * share))
            written(folder, part)
            checked(folder)  # once, so that Python's own files are in the cache
            for state in (
                ("from the disk", "from the page cache") if share == 1 else ("from the page cache",)
            ):
                rates = []
                for _ in range(3):
                    if state == "from the disk":
                        forgotten(folder)
                    limit = read_all(folder)
                    if state == "from the disk":
                        forgotten(folder)
                    rates.append((*checked(folder), limit))
                rate, took, peak, method, limit = sorted(rates, key=lambda r: r[0] / r[4])[1]
                times[part] = took
                if share == 1:
                    print(
                        f"{state}: only reading {limit:.2f} GB/s, the check {rate:.2f} GB/s, {rate / limit:.2f} of it; peak {peak:.0f} MB, {peak / 1000:.2f} of the setting; found: {method} (median of 3)"
                    )
        finally:
            shutil.rmtree(folder)
    print(
        "seconds by size, from the page cache: "
        + ", ".join(
            f"{n * 2 * ROWS * COLUMNS * 3 / 1e9:.1f} GB {t:.2f} s ({1e3 * t / (n * 2 * ROWS * COLUMNS * 3 / 1e9):.0f} ms a GB)"
            for n, t in times.items()
        )
    )


def fitted(s: np.ndarray, d: np.ndarray, b: np.ndarray) -> Fit:
    guess = first_guess(s[:16], [d[:16]], b[:16])
    sums = Sums(1, s.shape[1])
    Worker(1, np.float32).add(sums, [Held(s), Held(d), Held(b)], *s.shape, guess, 8)
    return solved(sums, guess, s.size, Rounding([d[:16]], b[:16], 8))


def founding_case() -> None:
    """Expert matrices of the published size (1,024 x 4,096, bf16): what the published ratio and cosine of fit say about rounding."""
    rng = np.random.default_rng(1)
    stored = lambda v: v.astype(ml_dtypes.bfloat16).astype(np.float32)  # noqa: E731
    print(
        "\nrouted experts at 0.571, simulated (1,024 x 4,096, bf16, 16 matrices; the base's numbers of spread 0.02):"
    )
    b = [stored(rng.normal(0, 0.02, (1024, 4096)).astype(np.float32)) for _ in range(16)]
    chosen, least = 0.0, math.inf
    for scale in np.geomspace(
        0.0002, 0.004, 14
    ):  # how far the donor lies from its base, so that rounding alone gives the published cosine
        d = stored(b[0] + rng.normal(0, scale, b[0].shape).astype(np.float32))
        cosine = fitted(stored(b[0] + 0.571 * (d - b[0])), d, b[0]).cosine
        if abs(cosine - 0.993) < least:
            chosen, least = scale, abs(cosine - 0.993)
    for name, ratio, noise in (
        ("an exact merge at 0.571", 0.571, 0.0),
        ("one at 0.6 exactly", 0.6, 0.0),
        ("one whose ratio varies by 0.0016", 0.571, 0.0016),
    ):
        fits = []
        for one in b:
            d = stored(one + rng.normal(0, chosen, one.shape).astype(np.float32))
            fits.append(fitted(stored(one + (ratio + noise * rng.normal()) * (d - one)), d, one))
        a = np.array([f.a[0] for f in fits])
        print(
            f"  {name}: ratio {a.mean():.4f}, spread {a.std(ddof=1):.4f}, error of one matrix {np.mean([f.se[0] for f in fits]):.4f}, cosine {np.mean([f.cosine for f in fits]):.4f}, "
            f"residual {np.mean([f.in_rounding for f in fits]):.2f} times the rounding, z {np.mean(a / [f.se[0] for f in fits]):.0f}"
        )
    null = []
    for one in b:
        s, d = (stored(one + rng.normal(0, chosen, one.shape).astype(np.float32)) for _ in range(2))
        null.append(fitted(s, d, one))
    print(
        f"  two independent fine-tunes: ratio {np.mean([f.a[0] for f in null]):+.4f}, spread {np.std([f.a[0] for f in null]):.4f}, error of one matrix {np.mean([f.se[0] for f in null]):.4f}"
    )
    print("\non paper: 397B parameters in bf16, three checkpoints over HTTP at 100 MB/s:")
    shared = float(np.mean([f.correction_se[0] for f in fits]))  # more rows do not lessen it
    sampled = float(
        np.mean([math.sqrt(max(0.0, f.se[0] ** 2 - f.correction_se[0] ** 2)) for f in fits])
    )
    for sample in (1.0, 0.1, 0.01):
        read = 3 * CHECKPOINT * sample
        print(
            f"  sample {sample:4}: {read / 1e9:8,.0f} GB, {read / 1e8 / 3600:6.2f} h; 95 % interval of one expert matrix +- {1.96 * math.hypot(sampled / math.sqrt(sample), shared):.4f}, by sampling alone +- {1.96 * sampled / math.sqrt(sample):.5f}"
        )


def null() -> None:
    """The null by experiment: fine-tunes that share directions with their base's activations, and tensors with their rows permuted."""
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
        "\nthe null: share of |z| above 1.96 (wanted 5 % or less) and above 3, spread of z; 400 pairs each"
    )
    for name, values in far.items():
        z = np.abs(values)
        print(
            f"  {name:28} {100 * (z > 1.96).mean():5.1f} %  {100 * (z > 3).mean():5.2f} %  {np.std(values):.2f}"
        )


if __name__ == "__main__":
    speed(float(sys.argv[1]) if len(sys.argv) > 1 else 2.0)
    null()
    founding_case()
