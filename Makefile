# `make app` starts the studio, `make test` runs everything that runs by default.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
WORKERS ?= 3 # processes that test; one of them drives the browser and mostly waits

.PHONY: app test lint format clean audit docs space check-space

app: $(VENV)/.app
	$(BIN)/python app.py

test: $(VENV)/.test
	@$(BIN)/python tests/ensure_chromium.py
	@status=0; \
	$(BIN)/python -m pytest -n $(WORKERS) --no-loadscope-reorder || status=$$?; \
	$(BIN)/python -m pytest -m "alone and not slow" $$(grep -rl "mark.alone" tests --include="test_*.py") || status=$$?; \
	exit $$status

lint: $(VENV)/.test
	$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

format: $(VENV)/.test
	$(BIN)/ruff format . && $(BIN)/ruff check --fix .

$(VENV)/.app: requirements.txt
	@$(PYTHON) -c "import sys; sys.exit(0 if sys.version_info >= (3, 11) else \
		'APT Studio needs Python 3.11 or newer; name one, such as: make app PYTHON=python3.12')"
	@echo "Installing the packages; torch is large (with its GPU libraries several GB on Linux)."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install -q -r requirements.txt
	@touch $@

$(VENV)/.test: $(VENV)/.app tests/requirements.txt
	$(BIN)/python -m pip install -q -r tests/requirements.txt
	@touch $@

# Known vulnerabilities of what is installed; fails too where the index does not answer that question.
audit: $(VENV)/.test
	@test -x $(VENV)/audit/bin/pip-audit || ($(PYTHON) -m venv $(VENV)/audit && $(VENV)/audit/bin/pip install -q pip-audit)
	$(VENV)/audit/bin/pip-audit --strict --path $$($(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")

# The generated parts of docs/, then the site in build/site; the page serves the same files by itself.
docs: $(VENV)/.test
	$(BIN)/python -m benchmarks.docs
	@test -x $(VENV)/docs/bin/mkdocs || ($(PYTHON) -m venv $(VENV)/docs && $(VENV)/docs/bin/pip install -q "mkdocs<2")
	$(VENV)/docs/bin/mkdocs build --strict -q

space: $(VENV)/.app
	$(BIN)/python assets/deploy/space.py put "$(SPACE)"

check-space: $(VENV)/.app
	$(BIN)/python assets/deploy/space.py check "$(SPACE)"

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .hypothesis build *.egg-info
