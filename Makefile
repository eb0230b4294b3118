# Posthouse: `make run` starts a whole mail system on loopback, `make test` checks the house.
# Needed beforehand: Python 3.11 or later with venv, git, make.

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
MAKEFLAGS += --no-builtin-rules

VENV := .venv
PY   := $(VENV)/bin/python
PIP  := $(PY) -m pip --disable-pip-version-check --quiet

# One folder or file of tests instead of all: make test T=tests/wire
T :=
# Further arguments for pytest: make test T=tests/wire PYTEST="-x -n 0"
PYTEST := -n auto --dist worksteal

# How many seconds of chaos: make chaos CHAOS=600
CHAOS := 180
# Further arguments for the fuzzer: make fuzz FUZZ="--seconds 600 --only imap"
FUZZ :=

.PHONY: help install run test lint interop fuzz chaos lock clean

help:
	@echo "make run      start a whole mail system on loopback"
	@echo "make test     lint, types, the law of imports, tests    (T=tests/wire for a part)"
	@echo "make install  only the set-up: .venv/bin/posthouse"
	@echo "make interop  real clients and servers against Posthouse (Debian packages)"
ifneq ($(wildcard bench/__main__.py),)
	@echo "make bench    side by side with Postfix and Dovecot      (BENCH=--quick for a glance)"
endif
	@echo "make fuzz     random octets against every parser, a minute (FUZZ=\"--seconds 600 --only imap\")"
	@echo "make chaos    kill -9, failing syncs, full disks, jumping clocks, under load (CHAOS=600 seconds)"
	@echo "make lock     pin the newest versions that pyproject.toml admits"
	@echo "make clean    remove what was built"

# --- set-up ------------------------------------------------------------------------------------------

# The newest suitable interpreter, or the one named: make PYTHON=/usr/bin/python3.12
PYTHON :=

$(PY):
	@found=; old=; \
	for p in $(if $(PYTHON),$(PYTHON),python3.13 python3.12 python3.11 python3); do \
	  "$$p" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1 || continue; \
	  "$$p" -c 'import ensurepip, venv' >/dev/null 2>&1 && { found=$$p; break; }; \
	  old=$$("$$p" -c 'import sys; print("python%d.%d" % sys.version_info[:2])'); \
	done; \
	if [ -z "$$found" ] && [ -n "$$old" ]; then \
	  echo "Posthouse: $$old has no venv module: apt install $$old-venv" >&2; exit 1; \
	elif [ -z "$$found" ]; then \
	  echo "Posthouse: Python 3.11 or later is needed: apt install python3 python3-venv" >&2; exit 1; \
	fi; \
	echo "Making $(VENV) with $$("$$found" --version)"; \
	rm -rf $(VENV) && "$$found" -m venv $(VENV)

# The stamps say which lock file the environment was last filled from.
$(VENV)/.installed: $(PY) pyproject.toml requirements/run.txt requirements/build.txt
	@echo "Installing Posthouse and what it stands on"
	@$(PIP) install --require-hashes -r requirements/run.txt -r requirements/build.txt
	@$(PIP) install --no-deps --no-build-isolation --editable .
	@touch $@

$(VENV)/.developed: $(VENV)/.installed requirements/dev.txt
	@echo "Installing the tools for development"
	@$(PIP) install --require-hashes -r requirements/dev.txt
	@touch $@

install: $(VENV)/.installed

# --- use ---------------------------------------------------------------------------------------------

run: install
	@exec $(VENV)/bin/posthouse demo

# --- checks ------------------------------------------------------------------------------------------

test: lint
	$(PY) -m pytest $(PYTEST) $(T)

lint: $(VENV)/.developed
	$(VENV)/bin/ruff check
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports

interop: $(VENV)/.developed
	$(PY) -m pytest $(if $(T),$(T),tests/interop)

fuzz: $(VENV)/.developed
	$(PY) -m fuzz $(FUZZ)

chaos: $(VENV)/.developed
	CHAOS_SECONDS=$(CHAOS) $(PY) -m pytest -s $(if $(T),$(T),tests/chaos)

ifneq ($(wildcard bench/__main__.py),)
.PHONY: bench
bench: $(VENV)/.developed
	-$(PY) -m pip install --quiet --require-hashes -r requirements/bench.txt
	$(PY) -m bench $(BENCH)
endif

# --- upkeep ------------------------------------------------------------------------------------------

# The pins are made on the oldest Python that is supported, whose needs are a superset of the later
# ones', and without the machine's own pip settings: the hashes are those of every published file.
PIN = env -u PIP_INDEX_URL -u PIP_EXTRA_INDEX_URL -u PIP_FIND_LINKS PIP_CONFIG_FILE=/dev/null \
      build/pins/bin/pip-compile --quiet --no-config --upgrade --generate-hashes --no-reuse-hashes \
      --strip-extras --allow-unsafe --no-header --annotation-style=line --no-emit-index-url \
      --no-emit-find-links --no-emit-trusted-host --no-emit-options

lock:
	python3.11 -m venv --clear build/pins && build/pins/bin/python -m pip install --quiet pip-tools
	$(PIN) --output-file requirements/run.txt pyproject.toml
	$(PIN) --constraint requirements/run.txt --output-file requirements/build.txt requirements/build.in
	$(PIN) --constraint requirements/run.txt --constraint requirements/build.txt --extra dev \
	  --output-file requirements/dev.txt pyproject.toml

clean:
	rm -rf $(VENV) build dist .mypy_cache .pytest_cache .ruff_cache .import_linter_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
