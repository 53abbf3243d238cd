"""Samples a second of a whole run against an instant server, as ratios to peers in the same run.

A whole run is start-up, preflight and journal. The server is benchmarks/instant_server.c,
compiled here and pinned to one core; what is measured is pinned to another. Its own ceiling is
measured by wrk (a C load generator; installed with the system's packages, else left out).

usage: python benchmarks/orchestrator.py [--latency] [--million] [--embedded]
                                         [--peers FOLDER] [--only]

--latency   5,000 and 50,000 samples at 500 ms and 256 in flight, as a share of the ideal
--million   memory and time of a million samples, and the time to resume it
--embedded  tokens a second of a run against the engine called directly with the same prompts
--peers     FOLDER holds virtual environments: peer-inspectai (inspect-ai),
            peer-lmevalapi (lm-eval[api])
"""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import re
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

HERE = Path(__file__).parent
BODY = (
    '{"model":"m","messages":[{"role":"user","content":"Who are you?"}],'
    '"max_tokens":64,"temperature":1.0}'
)
#: 15 questions, one arm.
CAMPAIGN = """campaign: c
targets: [{{{target}}}]
arms: [absent]
probes: [identity]
languages: [en]
samples: {samples}
sampling: {{max_tokens: 64}}
"""
CORES = sorted(os.sched_getaffinity(0))
MINE, SERVERS = CORES[0], CORES[-1]


@contextmanager
def server(folder: Path, latency_ms: float = 0) -> Iterator[int]:
    """The instant server on a free port."""
    binary = folder / "instant_server"
    if not binary.exists():
        subprocess.run(
            ["cc", "-O2", "-D_GNU_SOURCE", "-o", binary, HERE / "instant_server.c"], check=True
        )
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    running = subprocess.Popen(["taskset", "-c", str(SERVERS), binary, str(port), str(latency_ms)])
    time.sleep(0.3)
    try:
        yield port
    finally:
        running.kill()
        running.wait()


def campaign(folder: Path, port: int, samples: int, *, n: int, concurrency: int) -> None:
    """A campaign of at least so many samples."""
    target = (
        "name: t, role: suspect, engine: endpoint, "
        f"base_url: 'http://127.0.0.1:{port}/v1', model: instant, api_key_env: null, "
        f"concurrency: {concurrency}, samples_per_request: {n}"
    )
    text = CAMPAIGN.format(target=target, samples=math.ceil(samples / 15))
    (folder / "c.yaml").write_text(text)
    shutil.rmtree(folder / "results", ignore_errors=True)


def run(folder: Path, *arguments: str, core: int | None = MINE) -> tuple[float, float]:
    """Wall seconds and peak memory (MB) of a truename command; `run` if none is given."""
    began = time.perf_counter()
    pin = [] if core is None else ["taskset", "-c", str(core)]
    running = subprocess.Popen(
        [*pin, sys.executable, "-m", "harness.cli", *(arguments or ("run", "c.yaml", "--no-live"))],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": str(HERE.parent)},
    )
    _, status, used = os.wait4(running.pid, 0)
    assert status == 0, "the run failed"
    return time.perf_counter() - began, used.ru_maxrss / 1000


def wrk(port: int) -> float | None:
    """The server's ceiling, requests a second."""
    if not shutil.which("wrk"):
        return None
    url = f"http://127.0.0.1:{port}/v1/chat/completions"
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(
            f"wrk.method='POST'; wrk.body='{BODY}'; wrk.headers['Content-Type']='application/json'"
        )
        script.flush()
        pinned = ["taskset", "-c", str(MINE)]
        load = ["wrk", "-t1", "-c64", "-d3", "-s", script.name, url]
        said = subprocess.run([*pinned, *load], check=True, capture_output=True, text=True).stdout
    found = re.search(r"Requests/sec: +([\d.]+)", said)
    return float(found.group(1)) if found else None


async def openai_loop(port: int, requests: int, concurrency: int = 64) -> float:
    """What one writes first: the openai client and gather."""
    import openai

    client = openai.AsyncOpenAI(base_url=f"http://127.0.0.1:{port}/v1", api_key="x", max_retries=0)
    left = iter(range(requests))

    async def worker() -> None:
        for _ in left:
            await client.chat.completions.create(
                model="m", messages=[{"role": "user", "content": "Who are you?"}], max_tokens=64
            )

    began = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(concurrency)))
    rate = requests / (time.perf_counter() - began)
    await client.close()
    return rate


async def pyreqwest_loop(port: int, requests: int, concurrency: int = 64) -> float:
    """The transport alone: no parsing, no journal."""
    from pyreqwest.client import ClientBuilder

    client = ClientBuilder().default_headers({"content-type": "application/json"}).build()
    left, url = iter(range(requests)), f"http://127.0.0.1:{port}/v1/chat/completions"

    async def worker() -> None:
        for _ in left:
            response = await client.post(url).body_bytes(BODY.encode()).build().send()
            await response.bytes()

    began = time.perf_counter()
    await asyncio.gather(*(worker() for _ in range(concurrency)))
    rate = requests / (time.perf_counter() - began)
    await client.close()
    return rate


def speed(folder: Path, peers: Path | None) -> None:
    """Samples a second on one core.

    Start-up and preflight are left out by the difference of two runs.
    """
    with server(folder) as port:
        ceiling = wrk(port)
        if ceiling:
            print(f"server's ceiling (wrk, C): {ceiling:,.0f} requests/s")
        else:
            print("server's ceiling: wrk is not installed")
        os.sched_setaffinity(0, {MINE})
        import uvloop

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            bare = runner.run(pyreqwest_loop(port, 40_000))
        print(f"pyreqwest alone, no parsing, no journal: {bare:,.0f} requests/s")
        openai = asyncio.run(openai_loop(port, 2_000))
        print(f"openai client loop: {openai:,.0f} requests/s")
        os.sched_setaffinity(0, set(CORES))
        for n, few, many in ((1, 3_000, 60_000), (16, 48_000, 960_000)):
            campaign(folder, port, few, n=n, concurrency=64)
            short, _ = run(folder)
            campaign(folder, port, many, n=n, concurrency=64)
            long, memory = run(folder)
            rate, whole = (many - few) / (long - short), many / long
            of_ceiling = f"; {rate / n / ceiling:.3f} of the ceiling in requests" if ceiling else ""
            print(
                f"truename run, n={n}: {rate:,.0f} samples/s ({whole:,.0f} with start-up), "
                f"{memory:.0f} MB{of_ceiling}, {rate / openai:.0f} x the openai client loop, "
                f"{rate / n / bare:.2f} of pyreqwest alone in requests"
            )
        if peers:
            for name, made in peer_commands(peers, port, folder).items():
                theirs = marginal(made)
                print(f"{name}: {theirs:,.0f} samples/s")


def marginal(made: dict[int, list[str]]) -> float:
    """Extra requests by extra wall time of two runs."""
    took = {}
    settings = {"OPENAI_API_KEY": "x", "INSPECT_DISPLAY": "none", "HF_HUB_OFFLINE": "1"}
    environment = {**os.environ, **settings}
    for requests, command in made.items():
        pinned = ["taskset", "-c", str(MINE), *command]
        began = time.perf_counter()
        subprocess.run(pinned, check=True, capture_output=True, env=environment)
        took[requests] = time.perf_counter() - began
    few, many = sorted(took)
    return (many - few) / (took[many] - took[few])


def peer_commands(peers: Path, port: int, folder: Path) -> dict[str, dict[int, list[str]]]:
    """Commands of other tools for two numbers of prompts.

    The numbers are far enough apart for their start-up not to matter.
    """
    found = {}
    for name, environment, many in (
        ("inspect-ai", "peer-inspectai", 2_000),
        ("lm-evaluation-harness", "peer-lmevalapi", 8_000),
    ):
        python = peers / environment / "bin" / "python"
        if not python.exists():
            print(f"{name}: no environment at {python.parent.parent}, left out")
            continue
        start = [str(python), str(HERE / "peers.py"), name, str(port)]
        found[name] = {requests: [*start, str(requests), str(folder)] for requests in (200, many)}
    return found


def latency(folder: Path) -> None:
    with server(folder, 500) as port:
        for samples in (5_010, 50_010):
            campaign(folder, port, samples, n=1, concurrency=256)
            took, memory = run(folder)
            ideal = math.ceil(samples / 256) * 0.5
            print(
                f"500 ms, 256 in flight, {samples:,} samples: {took:.2f} s, "
                f"ideal {ideal:.1f} s: {ideal / took:.1%}, {memory:.0f} MB"
            )


def million(folder: Path) -> None:
    with server(folder) as port:
        for samples, n in ((10_005, 1), (1_000_005, 1)):
            campaign(folder, port, samples, n=n, concurrency=64)
            took, memory = run(folder)
            print(f"{samples:,} samples, n={n}: {took:.1f} s, {memory:.0f} MB")
        took, memory = run(folder)
        print(f"resuming it with nothing owed: {took:.2f} s, {memory:.0f} MB")
        took, memory = run(folder, "tally", "c")
        print(f"scoring and tallying it: {took:.1f} s, {memory:.0f} MB")


def embedded(folder: Path) -> None:
    """Tokens a second, extra tokens by extra wall time, of a run and of the engine asked directly.

    Both get the same prompts, seeds and parameters.
    """
    from harness.journal.database import open_engine, sqlite_url
    from harness.journal.journal import Journal
    from harness.lab.build import build

    target = "name: t, role: suspect, engine: embedded, model: 'lab:donor'"
    model, took, rows, ratios = build("donor", "gguf"), {}, {}, []
    for _ in range(3):
        for samples in (10, 110):
            text = CAMPAIGN.format(target=target, samples=samples)
            (folder / "c.yaml").write_text(text)
            shutil.rmtree(folder / "results", ignore_errors=True)
            took[samples], _ = run(folder, core=None)
            engine = open_engine(sqlite_url(folder / "results/c/journal.sqlite"))
            rows[samples] = list(Journal(engine, "c").rows())
        few, many = directly(model, rows[10]), directly(model, rows[110])
        tokens = {n: sum(row["completion_tokens"] for row in held) for n, held in rows.items()}
        ours = (tokens[110] - tokens[10]) / (took[110] - took[10])
        alone = (many.tokens - few.tokens) / (many.seconds - few.seconds)
        ratios.append(ours / alone)
        print(f"embedded: {ours:,.0f} tokens/s, the engine itself {alone:,.0f}: {ours / alone:.1%}")
    print(f"  median {sorted(ratios)[1]:.1%}")


class Generated(NamedTuple):
    """What an engine did, and how long it took."""

    tokens: int
    seconds: float


def directly(model: Path, rows: list[dict[str, Any]]) -> Generated:
    """Two copies of the engine, asked by a thread each for the samples of some rows."""
    import msgspec

    bodies = [
        {"prompt": row["rendered_prompt"], "seed": row["seed"], **msgspec.json.decode(row["sent"])}
        for row in rows
    ]
    work, lock, generated = iter(bodies), threading.Lock(), list[int]()
    engines = [started(model) for _ in range(2)]

    def ask(engine: Any) -> None:
        while True:
            with lock:
                body = next(work, None)
            if body is None:
                return
            generated.append(engine.handle_completions(body)["usage"]["completion_tokens"])

    began = time.perf_counter()
    threads = [threading.Thread(target=ask, args=(engine,)) for engine in engines]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return Generated(sum(generated), time.perf_counter() - began)


def started(model: Path) -> Any:
    """An engine of one thread and one slot, without any cache."""
    import xllamacpp

    parameters = xllamacpp.CommonParams()
    parameters.model.path = str(model)
    parameters.n_ctx, parameters.n_parallel, parameters.verbosity = 2048, 1, -1
    parameters.warmup, parameters.cache_prompt, parameters.cache_ram_mib = False, False, 0
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1
    return xllamacpp.Server(parameters)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for flag in ("latency", "million", "embedded"):
        parser.add_argument(f"--{flag}", action="store_true")
    parser.add_argument("--peers", type=Path)
    parser.add_argument("--only", action="store_true", help="leave the speed of samples out")
    asked = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (4096, most))
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        if not asked.only:
            speed(folder, asked.peers)
        if asked.latency:
            latency(folder)
        if asked.million:
            million(folder)
        if asked.embedded:
            embedded(folder)


if __name__ == "__main__":
    main()
