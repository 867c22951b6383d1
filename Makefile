# The project's intents; CI calls the same ones. Needs Python >= 3.11 and make, nothing else.
# Settings are environment variables: `make serve GRADBOOK_PORT=9000`, `make test ARGS="-k status -x"`.

PYTHON ?= $(shell command -v python3.11 || command -v python3 || command -v python)
BIN := .venv/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check --quiet
UV_VERSION := 0.13.9
LOCK := $(BIN)/uv pip compile --universal --python-version 3.11 --generate-hashes \
	--no-header --no-emit-index-url --no-emit-find-links --quiet
RUNTIME := .venv/.runtime-installed
DEV := .venv/.dev-installed

PROTOCOL := tests/protocol/node_modules/.installed
# Node.js is in .venv only where the machine's own is too old.
NODE_PATH := PATH="$(CURDIR)/$(BIN):$$PATH"

WEB := app/web/static/.build-hash
WEB_SOURCES := $(shell find web -name node_modules -prune -o -type f -print 2>/dev/null)

.DEFAULT_GOAL := help
.PHONY: help serve test fuzz test-protocol schema-diff check format schema web bench bench-peers bench-search bench-against bench-probes \
	docs lock clean picture

help: ## show what can be made
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

serve: $(RUNTIME) $(WEB) ## start the server on SQLite; every option is a GRADBOOK_* variable
	@exec $(BIN)/gradbook serve

test: $(DEV) $(WEB) ## run every test, on SQLite and on a real PostgreSQL
	@$(BIN)/python -m pytest -n 2 $(ARGS)

fuzz: $(DEV) ## ask a server anything, at random, for ten minutes: make fuzz ARGS="--minutes 60 -k operations"
	@$(BIN)/python -m tests.fuzz $(ARGS)

test-protocol: $(RUNTIME) $(PROTOCOL) ## what other people's GraphQL clients, compilers and linters say, with their npm packages
	@cd tests/protocol && $(NODE_PATH) node --test --test-concurrency=2 --test-reporter=spec $(ARGS)

schema-diff: $(RUNTIME) $(PROTOCOL) ## name breaking changes of schema.graphql: make schema-diff BASE=tag-or-commit
	@$(NODE_PATH) node tests/protocol/schema-diff.js $(BASE)

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
	@GRADBOOK_WRITE_DOCS=1 $(BIN)/python -m pytest -q tests/docs -k "page_is and sqlite or page_lists"

web: $(RUNTIME) $(WEB) ## build web/ into the package, and check its types
	@if [ -d web/node_modules ]; then $(NODE_PATH) npm --prefix web run --silent check; fi

picture: $(DEV) $(WEB) ## take docs/graphiql.png and docs/training.png anew; look at them before you commit
	@$(BIN)/python -m tests.browser.picture

bench: $(DEV) ## measure against plain Strawberry, a bare handler and other trackers
	@$(BIN)/python -m bench $(ARGS)

bench-peers: $(DEV) ## install the trackers that `make bench` compares with into .peers/ (about 1 GB)
	@$(BIN)/python -m bench.peers

bench-search: $(DEV) ## a page of what a search finds, among a million records
	@$(BIN)/python -m bench.search $(ARGS)

bench-against: $(DEV) ## a page of records beside an earlier commit: make bench-against BASE=revision
	@$(BIN)/python -m bench.against $(BASE) $(ARGS)

bench-probes: $(DEV) ## what clients who mean well get done while somebody probes the server
	@$(BIN)/python -m bench.probes $(ARGS)

lock: $(DEV) ## renew requirements/*.txt within pyproject.toml's bounds (`make lock ARGS=--upgrade`)
	@$(PIP) install uv==$(UV_VERSION)
	@$(LOCK) $(ARGS) pyproject.toml --group build --output-file requirements/runtime.txt
	@$(LOCK) $(ARGS) --group web --output-file requirements/web.txt
	@$(LOCK) $(ARGS) pyproject.toml --extra recommend --group build --group dev --constraints requirements/runtime.txt --no-annotate --output-file requirements/dev.txt

clean: ## remove the environment, what was built and the caches; databases stay
	rm -rf .venv .peers app/web/static web/node_modules tests/protocol/node_modules .hypothesis .mypy_cache .pytest_cache .ruff_cache build dist *.egg-info schema.graphql.new
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# An environment is installed again only when its lock file or pyproject.toml is newer than its stamp. Everything comes
# with a hash, the build backend of the last step too, so that step must not fetch one for itself.
define install
	@[ -n "$(PYTHON)" ] && $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo 'Gradbook needs Python 3.11 or newer, found: "$(PYTHON)". Name another: make PYTHON=/path/to/python3.11 $(MAKECMDGOALS)' >&2; exit 1; }
	@echo 'Installing $< into .venv ...'
	@$(PYTHON) -m venv .venv
	@$(PIP) install --require-hashes --no-deps -r $<
	@GRADBOOK_WEB_BUILD=skip $(PIP) install --no-deps --no-build-isolation -e .
endef

$(RUNTIME): requirements/runtime.txt pyproject.toml
	$(install)
	@touch $@

# The dev lock contains the runtime lock.
$(DEV): requirements/dev.txt requirements/runtime.txt pyproject.toml
	$(install)
	@touch $(RUNTIME) $@

define find_npm
$(BIN)/python hatch_build.py --find-npm || \
	{ echo 'No npm here: installing Node.js into .venv ...'; $(PIP) install --require-hashes --no-deps -r requirements/web.txt; }
endef

# Without npm, Node.js comes from the package index into .venv; where it does not come either, the API runs without pages.
$(WEB): $(WEB_SOURCES) | $(RUNTIME)
	@[ "$(GRADBOOK_WEB_BUILD)" = skip ] || { $(find_npm); } || true
	@$(BIN)/python hatch_build.py
	@[ ! -e $@ ] || touch $@

$(PROTOCOL): tests/protocol/package-lock.json | $(RUNTIME)
	@$(find_npm)
	@echo 'Installing the packages of tests/protocol ...'
	@cd tests/protocol && $(NODE_PATH) npm ci --ignore-scripts --no-audit --no-fund --loglevel=error
	@touch $@
