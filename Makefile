# Each target does all of its own set-up in a virtual environment of this folder's. None needs root or a running
# service; all of them work as root too. make run ARGS='--port 9000' passes flags on to chatd, and make test ARGS='-n 0 -x
# tests/wire' some on to pytest.

PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
INSTALL = $(BIN)/python -m pip install --quiet --disable-pip-version-check --config-settings editable_mode=compat
DECLARED := setup.cfg pyproject.toml
# Much of the tests' time goes into waiting for servers, so four files are run at a time.
SIDE_BY_SIDE := -n 4 --dist loadfile --no-loadscope-reorder

.PHONY: run test lint format bench fuzz docs clean

run: $(VENV)/run-installed
	$(BIN)/twistd --nodaemon --pidfile= chatd --dev $(ARGS)

test: $(VENV)/test-installed
	$(BIN)/python -m pytest $(SIDE_BY_SIDE) --cov --cov-report=term:skip-covered $(ARGS)

lint: $(VENV)/test-installed
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/python -m chatd.edge.descriptions --check
	$(BIN)/python -m tests.audit

format: $(VENV)/test-installed
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .
	$(BIN)/python -m chatd.edge.descriptions

bench: $(VENV)/test-installed
	$(BIN)/python -m bench $(ARGS)

fuzz: $(VENV)/test-installed
	$(BIN)/python -m tests.fuzz $(ARGS)

docs: $(VENV)/docs-installed
	$(BIN)/sphinx-build --quiet --fail-on-warning --keep-going docs docs/_build/html
	@echo "open docs/_build/html/index.html"

clean:
	rm -rf $(VENV) build docs/_build *.egg-info

# The virtual environment itself, and what each target needs of the extras. "compat" puts this folder itself on the
# path, which is how Twisted finds twisted/plugins/chatd_plugin.py from anywhere.
$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/run-installed: $(DECLARED) | $(BIN)/python
	@echo "installing chatd into $(VENV) (once)"
	$(INSTALL) --editable '.[embedded]'
	@touch $@

$(VENV)/test-installed: $(DECLARED) | $(BIN)/python
	@echo "installing chatd and what its tests need into $(VENV) (once)"
	$(INSTALL) --editable '.[embedded,test]'
	@touch $@

$(VENV)/docs-installed: $(DECLARED) | $(BIN)/python
	@echo "installing chatd and what its documentation needs into $(VENV) (once)"
	$(INSTALL) --editable '.[docs]'
	@touch $@
