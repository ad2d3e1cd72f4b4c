# Two commands for newcomers: `make run` and `make test`. Both make .venv and install what they need.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
SOURCES := pyproject.toml CMakeLists.txt $(shell find csrc engine tools -type f -not -path '*/__pycache__/*' -not -name '*.so')
ifneq ($(wildcard ../shared/data),)
export FERENGINE_DATA ?= $(abspath ../shared/data)
endif

.PHONY: run test lint docs sanitize sbom clean

run: $(VENV)/.installed-run
	$(BIN)/ferengine run $(ARGS)

test: $(VENV)/.installed-test
	$(BIN)/python -m pytest $(ARGS)

lint: $(VENV)/.installed-dev
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy docs/examples # as the programs of users are checked
	$(BIN)/python .ci/tensorrt_types.py
	PYTHONPATH=engine:tools $(BIN)/lint-imports
	$(BIN)/actionlint
	$(BIN)/clang-format --dry-run --Werror $(shell find csrc tests/native -name '*.cpp' -o -name '*.hpp')
	bash .ci/clang-tidy $(abspath $(BIN))/python
	$(BIN)/python -m mypy.stubtest ferengine._native --allowlist tests/native/stubtest_allowlist.txt

docs: $(VENV)/.installed-docs # the site, into build/site; any warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet --strict -f docs/mkdocs.yml

sanitize: $(VENV)/.installed-dev # the C++ core under GCC's sanitizers
	bash .ci/sanitize

sbom: $(VENV)/.installed-run # what is installed, with its licences, into build/sbom
	bash .ci/sbom $(BIN)/python

$(BIN)/pip:
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "ferengine needs Python 3.11 or newer: make PYTHON=python3.11 ...")'
	$(PYTHON) -m venv $(VENV)

# the package itself, compiled once for all that follows
$(VENV)/.installed: $(SOURCES) | $(BIN)/pip
	rm -rf build/dist
	$(BIN)/pip wheel --quiet --disable-pip-version-check --no-deps --wheel-dir build/dist .
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps --force-reinstall build/dist/*.whl
	touch $@

# what it needs; what is already there is kept: a test environment also runs
$(VENV)/.installed-run: $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check ferengine
	touch $@

$(VENV)/.installed-test: $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check "ferengine[test]"
	touch $@ $(VENV)/.installed-run

$(VENV)/.installed-dev: $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check "ferengine[dev]"
	touch $@ $(VENV)/.installed-run $(VENV)/.installed-test $(VENV)/.installed-docs

$(VENV)/.installed-docs: $(VENV)/.installed
	$(BIN)/pip install --quiet --disable-pip-version-check "ferengine[docs]"
	touch $@

clean:
	rm -rf $(VENV) build dist
