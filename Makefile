# Easel from a bare checkout: `make demo` or `make test`. Needs Python >= 3.11 with its venv module, nothing else.
#
#   make demo                 chat page with the bot in a simulated Discord (PORT=8642)
#   make test                 lint, types, import contracts and all tests
#   make check                lint, types and tests of what differs from main, in under a minute
#   make chaos                easel chaos: kills, stops and ends bot and engine while people ask for pictures (JOBS=200 KILLS=20 SEED=1 STORMS=1)
#   make simulation           seeded lives of the dispatcher (SEEDS=20000)
#   make load / make soak     people who ask at a steady rate (RATE=20 for MINUTES=5; soak: 2 a second for an hour)
#   make screenshots          docs/pictures/use: the chat page, photographed command by command (needs Chromium; minutes)
#   make venv                 only set up .venv
#   make lint / make format / make clean
#   make docs                 the documentation as a site, in site/: open site/index.html
#   make dist                 dist/: wheel and sdist, checked
#   make lock                 requirements.lock is made anew from constraints.txt, with hashes (asks PyPI)
#   make catalogues           translations are brought up to date with the sentences in the code, and what they lack is listed
#
#   PYTHON=python3.12         which Python makes .venv
#   TORCH_INDEX=https://download.pytorch.org/whl/cpu
#                             where torch comes from: this one is the small CPU build, which Linux without an NVIDIA card gets by itself
#   PIP_FLAGS=…  PYTEST_FLAGS=…  passed on

SHELL := /bin/sh
.DEFAULT_GOAL := help
.PHONY: help demo test check chaos simulation load soak screenshots venv lint rules format docs dist lock catalogues clean

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
SOURCES := bot engine workshop easel.py tests .ci
STAMP := $(VENV)/.easel-installed
DEMO_STAMP := $(VENV)/.easel-demo
comma := ,
# pip 22 and newer understand everything here; the environment's own settings (proxies, mirrors) stay in force.
PIP := $(BIN)/python -m pip --disable-pip-version-check -qq $(PIP_FLAGS)
TYPES = sh -c '$(BIN)/pyright --warnings >$(VENV)/pyright.log 2>&1 || { cat $(VENV)/pyright.log; exit 1; }'

help:
	@sed -n '2,/^$$/s/^# \{0,1\}//p' Makefile

demo: $(DEMO_STAMP)
	@$(BIN)/easel demo --port $(PORT)

# Types take most of a minute of one core, which the tests leave free now and then while they wait.
test: rules
	@echo "Tests, and types beside them …"
# With bytecode, whatever the environment says: all the processes would compile the same files again and again.
	@(nice -n 10 $(TYPES)) & types=$$!; \
	PYTHONDONTWRITEBYTECODE= $(BIN)/python -m pytest -n 2 --dist loadgroup $(PYTEST_FLAGS); failed=$$?; \
	wait $$types || failed=1; exit $$failed

check: $(STAMP)
	@$(BIN)/python -m workshop.check

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
	@$(BIN)/ruff check --quiet $(SOURCES)
	@$(BIN)/ruff format --quiet --check $(SOURCES) || { echo "Run: make format" >&2; exit 1; }
	@$(BIN)/lint-imports --no-cache >$(VENV)/lint-imports.log 2>&1 || { cat $(VENV)/lint-imports.log; exit 1; }

format: $(STAMP)
	@$(BIN)/ruff check --quiet --fix-only $(SOURCES)
	@$(BIN)/ruff format --quiet $(SOURCES)

# Wheel and sdist, the same bytes from the same commit.
dist: $(STAMP)
	@$(BIN)/python .ci/dist.py

docs: $(STAMP)
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --clean
	@echo "The documentation is in site/: open site/index.html."

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

# A second run installs nothing, because nothing is newer than the stamp. What developers need holds what the demo needs.
$(STAMP) $(DEMO_STAMP): pyproject.toml constraints.txt
	@set -e; \
	if [ ! -x $(BIN)/python ] || ! $(BIN)/python -m pip --version >/dev/null 2>&1; then \
	    python=$$(PYTHON='$(PYTHON)' sh .ci/find-python); \
	    echo "Making $(VENV) with $$python …"; \
	    rm -rf $(VENV); \
	    "$$python" -m venv $(VENV) || { echo "Easel could not make $(VENV) with $$python: see the lines above." >&2; exit 1; }; \
	fi
	@TORCH_INDEX='$(TORCH_INDEX)' PIP_FLAGS='$(PIP_FLAGS)' $(BIN)/python .ci/install.py $(if $(filter $@,$(STAMP)),dev$(comma)demo,demo)
	@touch $(DEMO_STAMP) $@

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .hypothesis .import_linter_cache *.egg-info build dist site
	find bot engine workshop tests -name __pycache__ -type d -prune -exec rm -rf {} +
