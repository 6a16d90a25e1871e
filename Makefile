# The only commands a newcomer needs: `make demo` mines blocks here, `make test` passes the tests.
PYTHON ?= python3
BIN := .venv/bin
INSTALLED := .venv/.installed

.PHONY: setup demo test check bench bench-gpu soak

setup: $(INSTALLED)

$(INSTALLED): pyproject.toml
	@$(PYTHON) -c 'import sys; sys.exit(None if sys.version_info >= (3, 11) else "PoNAS needs Python 3.11 or newer; this is " + sys.version.split()[0] + ". Try: make PYTHON=python3.12")'
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --upgrade pip
	$(BIN)/pip install -e '.[dev]'
	touch $@

# Six processes on free loopback ports mine three blocks. More: `.venv/bin/ponas demo --help`.
demo: setup
	$(BIN)/ponas demo

test: setup
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not soak"

check: setup
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(BIN)/mypy
	PYTHONPATH=.:protos $(BIN)/lint-imports
	$(BIN)/buf lint protos
	$(BIN)/python tools/protos.py --check

# Measured figures with hardware and versions, into docs/benchmarks/.
bench: setup
	$(BIN)/python tools/bench.py

# On a machine with an NVIDIA GPU, a python3 with PyTorch and scikit-learn and nothing installed
# from here: checks the engine, then measures it, in under 10 minutes. DRY=--dry-run tries it.
bench-gpu:
	PYTHONPATH=. $(PYTHON) tools/bench_gpu.py $(DRY)

# Long runs: many seeds of the simulated network.
soak: setup
	$(BIN)/python -m pytest -n 2 -m soak
