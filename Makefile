# The project's intents; CI calls the same ones. Needs Python >= 3.11 and make, nothing else.
# Settings are environment variables: `make serve GRADBOOK_PORT=9000`, `make test ARGS="-k status -x"`.

PYTHON ?= $(shell command -v python3.11 || command -v python3 || command -v python)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
UV_VERSION := 0.13.9
LOCK := $(BIN)/uv pip compile pyproject.toml --universal --python-version 3.11 --generate-hashes \
	--no-header --no-emit-index-url --no-emit-find-links --quiet --group build
RUNTIME := .venv/.runtime-installed
DEV := .venv/.dev-installed

.DEFAULT_GOAL := help
.PHONY: help serve test check format schema bench bench-against docs lock clean

help: ## show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

serve: $(RUNTIME) ## start the server on SQLite; every option is a GRADBOOK_* variable
	@exec $(BIN)/gradbook serve

test: $(DEV) ## run every test, on SQLite and on a real PostgreSQL
	@$(BIN)/python -m pytest -n 2 $(ARGS)

check: $(DEV) ## lint, formatting, types, import direction: seconds, before each commit
	@$(BIN)/ruff check
	@$(BIN)/ruff format --check
	@$(BIN)/mypy
	@$(BIN)/python -m pytest -q tests/test_structure.py

format: $(DEV) ## let ruff mend what it can
	@$(BIN)/ruff check --fix
	@$(BIN)/ruff format

schema: $(RUNTIME) ## write schema.graphql
	@$(BIN)/gradbook schema > schema.graphql.new && mv schema.graphql.new schema.graphql

docs: $(DEV) ## write the answers that the pages of docs/operations show; read them before you commit
	@GRADBOOK_WRITE_DOCS=1 $(BIN)/python -m pytest -q tests/docs -k "page_is and sqlite"

bench: $(DEV) ## measure against plain Strawberry and a bare handler
	@$(BIN)/python -m bench $(ARGS)

bench-against: $(DEV) ## a page of records beside an earlier commit: make bench-against BASE=revision
	@$(BIN)/python -m bench.against $(BASE) $(ARGS)

lock: $(DEV) ## renew requirements/*.txt within pyproject.toml's bounds (`make lock ARGS=--upgrade`)
	@$(PIP) install uv==$(UV_VERSION)
	@$(LOCK) $(ARGS) --output-file requirements/runtime.txt
	@$(LOCK) $(ARGS) --group dev --constraints requirements/runtime.txt --no-annotate --output-file requirements/dev.txt

clean: ## remove the environment and the caches; databases stay
	rm -rf .venv .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist *.egg-info schema.graphql.new
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment is installed again only when its lock file or pyproject.toml is newer than its stamp. Everything comes
# with a hash, the build backend of the last step too, so that step must not fetch one for itself.
define install
	@[ -n "$(PYTHON)" ] && $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'Gradbook needs Python 3.11 or newer, found: "$(PYTHON)". Name another: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)' >&2; exit 1; }
	@echo 'Installing $< into .venv ...'
	@$(PYTHON) -m venv .venv
	@$(PIP) install --require-hashes --no-deps -r $<
	@$(PIP) install --no-deps --no-build-isolation -e .
endef

$(RUNTIME): requirements/runtime.txt pyproject.toml
	$(install)
	@touch $@

# The dev lock contains the runtime lock.
$(DEV): requirements/dev.txt requirements/runtime.txt pyproject.toml
	$(install)
	@touch $(RUNTIME) $@
