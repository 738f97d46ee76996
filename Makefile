# One entry point. `make demo` and `make test` install what they need on a fresh machine with Python 3.11.
PYTHON ?= python3.11
BIN    := .venv/bin
WORKERS ?= 2
export MLFLOW_DISABLE_TELEMETRY = true
export MLFLOW_SKIP_PIP_REQUIREMENTS_CHECK = true

.PHONY: demo polymnist test fmt lint types layers dependencies privacy fuzz doctest wheel quality clean benchmark-selection benchmark-switches benchmark-throughput benchmark-training benchmark-participant_table benchmark-cine_reading benchmark-sweep benchmark-policy-choice

.venv/installed: pyproject.toml constraints.txt
	command -v $(PYTHON) >/dev/null && $(PYTHON) -m venv .venv || python3 -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --upgrade "pip>=25.1"
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint constraints.txt --editable ".[figures,onnx,pipeline,polymnist]" --group test --group quality
	touch $@

include demo.mk

test: .venv/installed
	$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile

fmt: .venv/installed
	$(BIN)/ruff check --fix --quiet . ; $(BIN)/ruff format --quiet .

lint: .venv/installed
	$(BIN)/ruff check . && $(BIN)/ruff format --check .

types: .venv/installed
	$(BIN)/mypy

layers: .venv/installed
	$(BIN)/lint-imports

doctest: .venv/installed
	$(BIN)/python -W ignore -m pytest -n $(WORKERS) -q --xdoctest --xdoctest-global-exec "from pathlib import Path" -p no:cacheprovider dymo_med

dependencies: .venv/installed
	$(BIN)/deptry .

wheel: .venv/installed
	$(BIN)/python ci/check_wheel.py

# The paper's comparison on public data; MNIST names the folder of its files, POLYMNIST_FORM=short runs every step once.
MNIST          ?= ../shared/data/mnist
POLYMNIST_FORM ?= config
polymnist: .venv/installed
	$(BIN)/snakemake --snakefile pipelines/polymnist/Snakefile --configfile pipelines/polymnist/$(POLYMNIST_FORM).yaml --config mnist=$(MNIST) --cores $(WORKERS) --quiet rules

# Figures of docs/performance.md; no part of the tests.
benchmark-selection benchmark-switches benchmark-throughput benchmark-training benchmark-participant_table benchmark-cine_reading benchmark-sweep: benchmark-%: .venv/installed
	OMP_NUM_THREADS=$(WORKERS) $(BIN)/python -W ignore -m benchmarks.$*

# Trains three times on a simulated cohort: an hour on two cores.
benchmark-policy-choice: .venv/installed
	OMP_NUM_THREADS=$(WORKERS) $(BIN)/python -W ignore -m benchmarks.policy_choice

# Nothing that must not be shared, in the files and in the history.
privacy: .venv/installed
	$(BIN)/dymo-med privacy-scan . && $(BIN)/dymo-med privacy-scan . --git

# 2,000 damaged files; the tests read 300 of them.
fuzz: .venv/installed
	OMP_NUM_THREADS=1 $(BIN)/python -W ignore -m tests.fuzz 2000

quality: lint types layers dependencies privacy doctest wheel

clean:
	rm -rf demo .snakemake dist build .pytest_cache .mypy_cache .ruff_cache
