# Easel from a bare checkout: `make demo` or `make test`. Needs Python >= 3.11 with its venv module, nothing else.
#
#   make demo                 chat page with the bot in a simulated Discord (PORT=8642)
#   make test                 lint, types, import contracts and all tests
#   make chaos                easel chaos: kills, stops and ends bot and engine while people ask for pictures (JOBS=200 KILLS=20 SEED=1 STORMS=1)
#   make simulation           seeded lives of the dispatcher (SEEDS=20000)
#   make load / make soak     people who ask at a steady rate (RATE=20 for MINUTES=5; soak: 2 a second for an hour)
#   make screenshots          docs/pictures/use: the chat page, photographed command by command (needs Chromium; minutes)
#   make venv                 only set up .venv
#   make lint / make format / make clean
#   make lock                 requirements.lock is made anew from constraints.txt, with hashes (asks PyPI)
#   make catalogues           translations are brought up to date with the sentences in the code, and what they lack is listed
#
#   PYTHON=python3.12         which Python makes .venv
#   TORCH_INDEX=https://download.pytorch.org/whl/cpu
#                             where torch comes from: this one is the small CPU build for machines without an NVIDIA card
#   PIP_FLAGS=…  PYTEST_FLAGS=…  passed on

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help demo test chaos simulation load soak screenshots venv lint rules format lock catalogues clean

PORT ?= 8642
JOBS ?= 200
KILLS ?= 20
SEED ?= 1
STORMS ?= 1
SEEDS ?= 20000
RATE ?= 20
MINUTES ?= 5
PYTHON ?=
TORCH_INDEX ?=
PIP_FLAGS ?=
PYTEST_FLAGS ?=
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.easel-installed
# pip 22 and newer understand everything here; the environment's own settings (proxies, mirrors) stay in force.
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq $(PIP_FLAGS)
TYPES = sh -c '$(BIN)/pyright --warnings >$(VENV)/pyright.log 2>&1 || { cat $(VENV)/pyright.log; exit 1; }'

help:
	@sed -n '2,/^$$/s/^# \{0,1\}//p' Makefile

demo: $(STAMP)
	@$(BIN)/easel demo --port $(PORT)

# Types take most of a minute of one core, which the tests leave free now and then while they wait.
test: rules
	@echo "Tests, and types beside them …"
# With bytecode, whatever the environment says: all the processes would compile the same files again and again.
	@(nice -n 10 $(TYPES)) & types=$$!; \
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 2 --dist loadgroup $(PYTEST_FLAGS); failed=$$?; \
	wait $$types || failed=1; exit $$failed

chaos: $(STAMP)
	@$(BIN)/easel chaos --jobs $(JOBS) --kills $(KILLS) --seed $(SEED) --storms $(STORMS)

simulation: $(STAMP)
	@$(BIN)/python -m workshop.rehearsal.simulation --seeds $(SEEDS)

load: $(STAMP)
	@$(BIN)/python -m workshop.rehearsal.load --rate $(RATE) --minutes $(MINUTES)

soak: $(STAMP)
	@$(BIN)/python -m workshop.rehearsal.load --rate 2 --minutes 60

screenshots: $(STAMP)
	@$(BIN)/python -m workshop.screenshots docs/pictures/use

lint: rules
	@echo "Types …"
	@$(TYPES)

rules: $(STAMP)
	@echo "Lint, import contracts …"
	@$(BIN)/ruff check --quiet bot engine workshop tests
	@$(BIN)/ruff format --quiet --check bot engine workshop tests || { echo "Run: make format" >&2; exit 1; }
	@$(BIN)/lint-imports --no-cache >$(VENV)/lint-imports.log 2>&1 || { cat $(VENV)/lint-imports.log; exit 1; }

format: $(STAMP)
	@$(BIN)/ruff check --quiet --fix-only bot engine workshop tests
	@$(BIN)/ruff format --quiet bot engine workshop tests

lock: $(STAMP)
	@$(PIP) install -c constraints.txt uv
	@.ci/lock $(BIN)/uv

catalogues: $(STAMP)
	@$(BIN)/pybabel --quiet extract 2>$(VENV)/catalogues.log || { cat $(VENV)/catalogues.log >&2; exit 1; }
	@set -e; for catalogue in bot/texts/locales/*/LC_MESSAGES/easel.po; do \
	    if [ -e "$$catalogue" ]; then $(BIN)/pybabel --quiet update; break; fi; \
	done
	@$(BIN)/python -m pytest -q --no-header --tb=line tests/bot/texts/test_catalogues.py

venv: $(STAMP)
	@echo "Easel is set up in $(VENV): try $(BIN)/easel --help, or make demo."

# A second run installs nothing, because nothing is newer than the stamp.
$(STAMP): pyproject.toml constraints.txt
	@set -e; \
	if [ ! -x $(BIN)/python ] || ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	    python=$$(PYTHON='$(PYTHON)' sh .ci/find-python); \
	    echo "Making $(VENV) with $$python …"; \
	    rm -rf $(VENV); \
	    "$$python" -m venv $(VENV) || { echo "Easel could not make $(VENV) with $$python: see the lines above." >&2; exit 1; }; \
	fi
# Without its dependencies: such an index holds torch, but not our versions of everything torch needs.
	@if [ -n "$(TORCH_INDEX)" ]; then \
	    echo "Installing torch from $(TORCH_INDEX) …"; \
	    $(PIP) install --no-deps -c constraints.txt --index-url "$(TORCH_INDEX)" torch \
	        || { echo "Easel could not install torch from $(TORCH_INDEX): see pip's lines above." >&2; exit 1; }; \
	fi
	@echo "Installing Easel's packages into $(VENV): some minutes the first time …"
	@$(PIP) install -c constraints.txt -e '.[dev,demo]' \
	    || { echo "Easel could not install its packages: see pip's lines above, then run make again." >&2; exit 1; }
# Without its dependencies: it asks for torchvision, whose build on PyPI does not load beside a CPU build of torch.
	@$(PIP) install --no-deps -c constraints.txt spandrel \
	    || { echo "Easel could not install spandrel: see pip's lines above, then run make again." >&2; exit 1; }
	@touch $@

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis .import_linter_cache easel.egg-info build dist
	find bot engine workshop tests -name __pycache__ -type d -prune -exec rm -rf {} +
