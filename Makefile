# Each target sets up what it needs: a fresh machine wants python3 (3.11 to 3.14) with venv and pip.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help setup demo test lint format clean
help:
	@echo "make demo   train on the embedded digits, score unseen voices, transcribe three files"
	@echo "make test   run the tests"
	@echo "make lint   check style, types and imports"
	@echo "make setup  create .venv and install speechgru and its tools into it"
	@echo "make format rewrite the sources in the house style"
	@echo "make clean  remove .venv and what demo wrote"

setup: .venv/.ready

# Stale when pyproject.toml is newer; also when .venv's interpreter is gone.
.venv/.ready: pyproject.toml Makefile
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 14) else f"speechgru needs Python 3.11 to 3.14; {sys.executable} is {v[0]}.{v[1]}. Try: make PYTHON=python3.12")'
	@$(BIN)/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: setup
	@rm -rf runs/demo
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh recipes/digits/run.sh runs/demo

test: setup
	$(BIN)/python -m pytest

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: setup
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean:
	rm -rf .venv runs/demo
