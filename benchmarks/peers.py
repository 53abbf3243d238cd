"""What another tool does with N prompts against the instant server; run by orchestrator.py in that tool's own environment.

usage: python peers.py inspect-ai|lm-evaluation-harness PORT REQUESTS FOLDER
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

CONCURRENCY = 64


def inspect_ai(url: str, requests: int, folder: Path) -> None:
    from inspect_ai import Task, eval
    from inspect_ai.dataset import MemoryDataset, Sample
    from inspect_ai.model import get_model
    from inspect_ai.solver import generate

    os.environ["LOCAL_BASE_URL"], os.environ["LOCAL_API_KEY"] = url, "x"
    task = Task(
        dataset=MemoryDataset([Sample(input=f"Who are you? {i}") for i in range(requests)]),
        solver=generate(),
    )
    logs = eval(
        task,
        model=get_model("openai-api/local/m", base_url=url, api_key="x"),
        max_connections=CONCURRENCY,
        max_samples=CONCURRENCY,
        log_dir=str(folder / "logs"),
        display="none",
        score=False,
    )
    assert all(log.status == "success" and len(log.samples or []) == requests for log in logs), [
        (log.status, log.error) for log in logs
    ]


def lm_evaluation_harness(url: str, requests: int, folder: Path) -> None:
    tasks = folder / "tasks"
    tasks.mkdir(exist_ok=True)
    (tasks / f"data-{requests}.jsonl").write_text(
        "".join(json.dumps({"q": f"Who are you? {i}", "a": "x"}) + "\n" for i in range(requests))
    )
    (tasks / "who.yaml").write_text(
        f"task: who\ndataset_path: json\ndataset_kwargs: {{data_files: {{test: {tasks / f'data-{requests}.jsonl'}}}}}\ntest_split: test\noutput_type: generate_until\ndoc_to_text: '{{{{q}}}}'\ndoc_to_target: '{{{{a}}}}'\n"
        "generation_kwargs: {until: [], max_gen_toks: 64}\nmetric_list: [{metric: exact_match}]\n"
    )
    arguments = f"model=m,base_url={url}/chat/completions,num_concurrent={CONCURRENCY},max_retries=1,tokenized_requests=False,tokenizer_backend=None"
    command = [
        sys.executable,
        "-m",
        "lm_eval",
        "--model",
        "local-chat-completions",
        "--model_args",
        arguments,
        "--tasks",
        "who",
        "--include_path",
        str(tasks),
        "--apply_chat_template",
    ]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    name, port, requests, folder = sys.argv[1:]
    {"inspect-ai": inspect_ai, "lm-evaluation-harness": lm_evaluation_harness}[name](
        f"http://127.0.0.1:{port}/v1", int(requests), Path(folder)
    )
