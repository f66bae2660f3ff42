# Each target installs what it needs. Required: python3 (3.11 to 3.14) with venv and pip.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: help setup demo test lint format clean
help:
	@echo "make demo    train on the embedded digits, evaluate, transcribe four files"
	@echo "make test    run all tests, one worker per CPU"
	@echo "make lint    check style, types and imports"
	@echo "make format  fix style and formatting of the sources"
	@echo "make setup   create .venv and install speechgru and its tools into it"
	@echo "make clean   remove .venv and the demo run"

setup: .venv/.ready

# Repeated when pyproject.toml is newer. The venv is made anew if its interpreter does not start.
.venv/.ready: pyproject.toml Makefile
	@$(PYTHON) -c 'import sys; v = sys.version_info[:2]; sys.exit(0 if (3, 11) <= v <= (3, 14) else f"speechgru needs Python 3.11 to 3.14; {sys.executable} is {v[0]}.{v[1]}. Try: make PYTHON=python3.12")'
	@$(BIN)/python -c '' 2>/dev/null || $(PYTHON) -m venv --clear .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --editable '.[dev]'
	@touch $@

demo: setup
	@rm -rf runs/demo
	@PATH="$(CURDIR)/$(BIN):$$PATH" sh recipes/digits/run.sh runs/demo

test: setup
	$(BIN)/python -m pytest -n auto

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
