"""What another tool does with N prompts against the instant server.

usage: python peers.py inspect-ai|lm-evaluation-harness PORT REQUESTS FOLDER
It is run by orchestrator.py in that tool's own environment.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

CONCURRENCY = 64
#: lm-evaluation-harness asks what a task file says.
TASK = """task: who
dataset_path: json
dataset_kwargs: {{data_files: {{test: {data}}}}}
test_split: test
output_type: generate_until
doc_to_text: '{{{{q}}}}'
doc_to_target: '{{{{a}}}}'
generation_kwargs: {{until: [], max_gen_toks: 64}}
metric_list: [{{metric: exact_match}}]
"""


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
    whole = all(log.status == "success" and len(log.samples or []) == requests for log in logs)
    assert whole, [(log.status, log.error) for log in logs]


def lm_evaluation_harness(url: str, requests: int, folder: Path) -> None:
    tasks = folder / "tasks"
    tasks.mkdir(exist_ok=True)
    data = tasks / f"data-{requests}.jsonl"
    rows = ({"q": f"Who are you? {i}", "a": "x"} for i in range(requests))
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tasks / "who.yaml").write_text(TASK.format(data=data))
    arguments = (
        f"model=m,base_url={url}/chat/completions,num_concurrent={CONCURRENCY},max_retries=1,"
        "tokenized_requests=False,tokenizer_backend=None"
    )
    program = [sys.executable, "-m", "lm_eval"]
    model = ["--model", "local-chat-completions", "--model_args", arguments]
    task = ["--tasks", "who", "--include_path", str(tasks), "--apply_chat_template"]
    subprocess.run([*program, *model, *task], check=True)


if __name__ == "__main__":
    name, port, requests, folder = sys.argv[1:]
    {"inspect-ai": inspect_ai, "lm-evaluation-harness": lm_evaluation_harness}[name](
        f"http://127.0.0.1:{port}/v1", int(requests), Path(folder)
    )
