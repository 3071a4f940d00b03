# Needs Python 3.11 or newer with pip, make and git; everything else is installed into .venv.
# Another interpreter: make PYTHON=python3.12 ...

PYTHON ?= python3
WORKERS ?= 2
# How much of what `make chaos` does: kills, restarts of the server, races, runs on wrong clocks, simulated worlds.
KILLS ?= 1000
RESTARTS ?= 15
RACES ?= 1000
SKEWED ?= 200
SEEDS ?= 20000

BIN := .venv/bin
# A Ray cluster starts a dozen processes: beside other tests its own would have to wait for them.
ALONE := tests/runtime/test_ray.py
# Newer than pyproject.toml and constraints.txt when the environment is up to date: for using phasegate, and for working on
# it, which needs much more (a PostgreSQL server and Ray among it).
READY := .venv/.ready
TOOLS := .venv/.tools

export PIP_DISABLE_PIP_VERSION_CHECK := 1

.DEFAULT_GOAL := help
.PHONY: help setup demo demo-documents demo-discovery demo-build crew test format format-check lint types layers tests crash chaos chaos-build docs bench clean

help: ## Print this list
	@echo "phasegate - the commands of this repository"
	@echo
	@awk -F ':.*## ' '/^[a-z][a-z-]*:.*## / { printf "  make %-14s %s\n", $$1, $$2 }' Makefile

setup: $(TOOLS) ## Create .venv and install phasegate with its development tools

demo: $(READY) ## Take the example companies through the outreach flow
	@$(BIN)/python -m phasegate.apps.outreach demo

demo-documents: $(READY) ## Make the example's documents from recorded answers, accepting each
	@mkdir -p demo && rm -f demo/documents.db*
	@BIN=$(BIN) sh examples/documents.sh

demo-discovery: $(READY) ## Turn the example export into assets, approving each step; then the same file again
	@mkdir -p demo && rm -f demo/discovery.db*
	@BIN=$(BIN) sh examples/discovery.sh

demo-build: $(READY) ## Change a small package by recorded answers: what fails its tests is put back and done better
	@mkdir -p demo && rm -rf demo/build demo/build.db*
	@BIN=$(BIN) sh examples/build.sh

# CrewAI needs older releases of libraries than phasegate's other extras: it cannot live in the same environment.
crew: ## Test agents with a real CrewAI crew, in an environment of its own
	@$(PYTHON) -m venv .venv-crew
	@.venv-crew/bin/pip install --quiet -e ".[crewai]" pytest pytest-timeout hypothesis "psycopg[binary]"
	@.venv-crew/bin/python -m pytest tests/apps/discovery/test_crew_agents.py

test: format-check lint types layers tests ## Run every check below and all tests

format: $(TOOLS) ## Format the code in place
	@$(BIN)/ruff format .

format-check: $(TOOLS) ## Check that the code is formatted
	@$(BIN)/ruff format --check .

lint: $(TOOLS) ## Look for defects and departures from the house style
	@$(BIN)/ruff check .

types: $(TOOLS) ## Check the types, strictly
	@$(BIN)/mypy

layers: $(TOOLS) ## Check that imports go one way
	@$(BIN)/lint-imports --no-logo

tests: $(TOOLS) ## Run the tests (WORKERS=2 at a time; ARGS="-k gate" picks some)
	@$(BIN)/python -m pytest -n $(WORKERS) --dist loadfile --no-loadscope-reorder $(if $(ARGS),$(ARGS),--ignore $(ALONE))
	@$(if $(ARGS),:,$(BIN)/python -m pytest $(ALONE))

crash: $(TOOLS) ## Kill a process at every single statement of the reference flow (some minutes)
	@PHASEGATE_KILL_POINTS=all $(BIN)/python -m pytest -s tests/crash/test_every_statement.py $(ARGS)

chaos: $(TOOLS) ## Prove at length that nothing is lost or done twice (KILLS=1000 SEEDS=20000; an hour or more)
	@PHASEGATE_KILL_POINTS=all PHASEGATE_KILLS=$(KILLS) PHASEGATE_RESTARTS=$(RESTARTS) PHASEGATE_RACES=$(RACES) \
		PHASEGATE_SKEWED=$(SKEWED) PHASEGATE_SEEDS=$(SEEDS) $(BIN)/python -m pytest -s tests/crash $(ARGS)

chaos-build: $(TOOLS) ## Attack and kill builds at length: paths, answers, and the apply at every step (some minutes)
	@$(BIN)/python -m tests.chaos_build.path_attacks 20000
	@$(BIN)/python -m tests.chaos_build.answers 20000
	@$(BIN)/python -m tests.chaos_build.applying 1000

docs: $(TOOLS) ## Draw docs/states.md from the transition tables
	@$(BIN)/python -m phasegate.core.diagram > docs/states.md.new || { rm -f docs/states.md.new; exit 1; }
	@mv docs/states.md.new docs/states.md

bench: $(TOOLS) ## Measure speed beside the raw limit of the database
	@$(BIN)/python -m bench

clean: ## Remove the environment, the caches and the demo's files
	@rm -rf .venv .venv-crew build dist demo .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
	@find . -name __pycache__ -type d -prune -exec rm -rf {} +

# The environment is kept as long as its interpreter and its pip work, so that a new pin costs one pip run. Some systems
# ship Python with pip but without the module that puts pip into a new environment: their pip then does it.
$(READY): pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || { \
		echo "phasegate needs Python 3.11 or newer; '$(PYTHON)' is $$($(PYTHON) --version 2>&1 | head -n 1)" >&2; \
		echo "name another interpreter: make PYTHON=python3.11 $(MAKECMDGOALS)" >&2; \
		exit 1; }
	@$(BIN)/python -c 'import sys, pip; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
		|| $(PYTHON) -m venv --clear .venv 2>/dev/null \
		|| { $(PYTHON) -m venv --clear --without-pip .venv \
			&& $(PYTHON) -m pip --python $(BIN)/python install -q pip; }
	@echo "installing phasegate into .venv"
	@$(BIN)/python -m pip install -q -e . -c constraints.txt
	@touch $@

$(TOOLS): $(READY)
	@echo "installing the development tools into .venv"
	@$(BIN)/python -m pip install -q -e ".[dev]" -c constraints.txt
	@touch $@
