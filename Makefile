# Hearline. Every command works from a clean clone, and first builds what it needs.

SUITABLE := import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))
PYTHON ?= $(shell for name in python3 python3.14 python3.13 python3.12 python3.11; do \
    $$name -c '$(SUITABLE)' 2>/dev/null && echo $$name && break; done)
BIN := .venv/bin
PROCESSES ?= 3

# `make bench asr vad` runs only these two; so does `make bench BENCH="asr vad"`.
ifeq (bench,$(firstword $(MAKECMDGOALS)))
BENCH ?= $(wordlist 2,$(words $(MAKECMDGOALS)),$(MAKECMDGOALS))
$(eval $(BENCH):;@:)
endif

.NOTPARALLEL:
.PHONY: help setup run demo test check bench format lock clean $(BENCH)
.PHONY: lint lint-format lint-code lint-types lint-imports lint-web

help:
	@echo 'make setup    the environment, locked dependencies, the front end, the models'
	@echo 'make run      everything on one port, with a sample call; Ctrl-C stops it (ARGS="--help" lists options)'
	@echo 'make demo     the same'
	@echo 'make test     the whole test suite (ARGS="-k embedded" picks tests; PROCESSES=0: one after the other)'
	@echo 'make check    format, lint, types, import contracts, then make test'
	@echo 'make bench    the benchmarks; make bench asr runs one of them'
	@echo 'make format   put the code into its format'
	@echo 'make lock     resolve the dependencies of pyproject.toml anew (needs uv)'
	@echo 'make clean    remove what setup has built, except .venv'

setup:
	@test -n "$(PYTHON)" || \
	    { echo 'setup: no Python 3.11 or newer with venv here (Debian, Ubuntu: apt-get install python3-venv)' >&2; exit 1; }
	@$(PYTHON) -I infra/setup.py

run: setup
	@exec $(BIN)/hearline all --demo $(ARGS)

demo: run

# A file's tests share what it has set up, so they stay in one process.
test: setup
	@$(BIN)/python -m pytest -n $(PROCESSES) --dist loadfile --no-loadscope-reorder $(ARGS)

lint: lint-format lint-code lint-types lint-imports lint-web

lint-format: setup
	$(BIN)/ruff format --check

lint-code: setup
	$(BIN)/ruff check

lint-types: setup
	$(BIN)/mypy --strict

lint-imports: setup
	$(BIN)/lint-imports --no-logo

lint-web: setup
	$(PYTHON) -I infra/setup.py npm run check

check: lint test

bench: setup
	@$(BIN)/python -m tests.bench $(BENCH) $(ARGS)

format: setup
	$(BIN)/ruff check --fix-only --quiet
	$(BIN)/ruff format
	$(PYTHON) -I infra/setup.py npm run format

lock:
	uv pip compile --quiet --universal --python-version 3.11 --fork-strategy fewest --only-binary :all: --generate-hashes \
	    --no-emit-index-url --no-header --extra test pyproject.toml -o requirements.lock

clean:
	rm -rf build dashboard/web/dist dashboard/web/node_modules .mypy_cache .pytest_cache .ruff_cache .hypothesis
