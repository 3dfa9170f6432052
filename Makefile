# What a fresh machine needs: Python >= 3.11 and make. Everything else is installed into .venv by pip.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=
ONLY ?=
MEMBERS ?=
DIR ?=
EVENTS ?=

.PHONY: help run test test-long check format bench demo publish clean-venv
.DEFAULT_GOAL := help

help: ## show this list
	@sed -n 's/^\([a-z-]*\):.*## /make \1 — /p' $(MAKEFILE_LIST)

run: $(VENV)/.installed ## start everything on http://127.0.0.1:8000 (PORT=… for another port)
	@exec $(BIN)/python -m core.supervisor --with-parent

# Where the environment forbids keeping compiled Python, each of the many processes that tests start would compile everything anew.
test test-long: export PYTHONDONTWRITEBYTECODE =

test: $(VENV)/.installed-dev $(VENV)/.browser $(VENV)/.sandbox ## all quick tests (ARGS=… goes to pytest)
	@$(BIN)/python -m pytest -n 2 --dist loadgroup $(ARGS)

test-long: $(VENV)/.installed-dev $(VENV)/.browser $(VENV)/.sandbox ## the tests that take longer (ARGS=… goes to pytest)
	@$(BIN)/python -m pytest -m long -n 2 --dist loadgroup $(ARGS)

check: $(VENV)/.installed-dev ## style, types and the direction of imports
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.installed-dev ## put every file into shape
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(VENV)/.installed-dev ## measure (ONLY=name for one benchmark)
	@$(BIN)/python -m benchmarks $(ONLY)

demo: $(VENV)/.installed ## load a larger demo world (MEMBERS=… EVENTS=…)
	@$(BIN)/python -m core.supervisor exec $(BIN)/flask --app app demo load $(if $(MEMBERS),--members $(MEMBERS)) $(if $(EVENTS),--events $(EVENTS))

publish: $(VENV)/.installed ## check a bundle's folder and hand it in (DIR=folder; BACKOFFICE_URL, BACKOFFICE_API_KEY; ARGS=--dry-run)
	@$(BIN)/python -m marketplace.publisher.publish_client $(if $(DIR),"$(DIR)",--help) $(ARGS)

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit("Python 3.11 or newer is needed; set PYTHON=… to one" if sys.version_info < (3, 11) else 0)'
	@echo "Making $(VENV) …" >&2
	@$(PYTHON) -m venv $(VENV)

$(VENV)/.installed: requirements.txt | $(VENV)/bin/python
	@echo "Installing what the product needs (a few minutes the first time) …" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
	@touch $@

$(VENV)/.installed-dev: requirements-dev.txt $(VENV)/.installed
	@echo "Installing what tests and checks need …" >&2
	@$(BIN)/python -m pip install --quiet --disable-pip-version-check --requirement requirements-dev.txt
	@touch $@

# A browser and Chinese letters. Debian's own as root; Playwright's download otherwise.
$(VENV)/.browser: | $(VENV)/.installed-dev
	@if command -v chromium >/dev/null 2>&1 || command -v google-chrome >/dev/null 2>&1; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
	  echo "Installing Chromium …" >&2; \
	  apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium fonts-noto-cjk >/dev/null; \
	else echo "Installing Chromium …" >&2; $(BIN)/playwright install chromium; fi
	@touch $@

# Bubblewrap, where it can be had; without it the sandbox's tests say that they are skipped and why.
$(VENV)/.sandbox: | $(VENV)/.installed-dev
	@if command -v bwrap >/dev/null 2>&1; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
	  echo "Installing bubblewrap …" >&2; \
	  { apt-get install -y -qq --no-install-recommends bubblewrap || { apt-get update -qq && apt-get install -y -qq --no-install-recommends bubblewrap; }; } >/dev/null 2>&1 \
	  || echo "bubblewrap cannot be installed: the sandbox's tests will be skipped"; \
	else echo "bubblewrap is not installed: the sandbox's tests will be skipped"; fi
	@touch $@

clean-venv: ## forget the installed packages
	rm -rf $(VENV)
