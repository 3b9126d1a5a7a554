# smallyes: everything a bare machine with Python 3.11+, pip and make needs.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ARGS ?=

.PHONY: setup demo serve test check lock clean

setup: $(VENV)/.installed

$(VENV)/.installed: requirements.lock pyproject.toml
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation -e .
	touch $@

# The whole loop on a simulated shop, in a new workspace var/demo-TIME; then the service runs on until Ctrl-C.
demo: setup
	$(BIN)/smallyes demo $(ARGS)

# A workspace in var/shop, made at the first call, and the service on it.
serve: setup
	test -f var/shop/smallyes.toml || $(BIN)/smallyes init var/shop
	$(BIN)/smallyes serve --workspace var/shop $(ARGS)

test: setup check
	$(BIN)/python -m pytest $(ARGS)

check: setup
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# New pins: no URLs and no host names in the result.
lock: setup
	$(BIN)/uv pip compile pyproject.toml --group dev --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-annotate --no-header --upgrade -o requirements.lock
	$(BIN)/uv pip compile requirements-serving.in --universal --python-version 3.11 --generate-hashes \
	  --no-emit-index-url --no-annotate --no-header --upgrade -o requirements-serving.lock

clean:
	rm -rf $(VENV) .mypy_cache .ruff_cache .pytest_cache .hypothesis
