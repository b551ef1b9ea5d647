# Every target makes .venv and installs into it first, once; `make help` lists the targets.
# Other Python: make dev PYTHON=python3.12. Smaller torch without CUDA:
#   PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make dev

PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/installed.stamp

# torch and faiss each bring an OpenMP; more threads than cores make both slower.
export OMP_NUM_THREADS ?= 2
export TOKENIZERS_PARALLELISM ?= false

.DEFAULT_GOAL := help
.PHONY: help dev demo test check docs bench-retrieval bench-eval bench-serving bench-tuning bench-guards reproduce

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-15s %s\n", $$1, $$2}' Makefile

dev: $(STAMP) ## make .venv with everything that demo, tests and checks need

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install -c constraints.txt -e '.[offline,chat,dev]'
	touch $@

demo: $(STAMP) ## the whole journey on the sample company, offline, on a CPU
	$(BIN)/groundtone demo
	@echo && echo "Open the dashboard:  $(BIN)/groundtone dashboard"

test: $(STAMP) ## all tests, offline
	HF_HUB_OFFLINE=1 $(BIN)/python -m pytest

check: $(STAMP) ## lint, format, types, layers
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: $(STAMP) ## write docs/cli.md from the commands themselves
	$(BIN)/python -m groundtone.cli.docs docs/cli.md

bench-retrieval: $(STAMP) ## side by side with LangChain, txtai, Haystack, LlamaIndex; writes docs/retrieval_benchmark.md
	$(BIN)/python -m benchmarks.retrieval

bench-eval: $(STAMP) ## an evaluation against a plain loop, claims a minute, RAGAS and DeepEval, detectors, blame; writes docs/evaluation_benchmark.md
	$(BIN)/python -m benchmarks.evaluation --natural

bench-tuning: $(STAMP) ## tuning side by side with TRL, lever by lever; seconds to a voice; prints its figures
	$(BIN)/python -m benchmarks.tuning
	$(BIN)/python -m benchmarks.tuning --model 576x6x49152 --rows 48
	$(BIN)/python -m benchmarks.time_to_quality

bench-guards: $(STAMP) ## what the guards of tuning prevent, three seeds with and without; goes on where it stopped
	$(BIN)/python -m benchmarks.guards

reproduce: $(STAMP) ## make reproduce MODEL=<hub id or folder>: from pairs to a verdict and its passport on one GPU
	$(BIN)/groundtone reproduce $(or $(MODEL),starter)

bench-serving: $(STAMP) ## throughput, first token, 10,000 requests, overhead and 1,000 attacks on the server; writes the table of docs/serving.md
	$(BIN)/python -m benchmarks.serving
