PYTHON ?= python3
PORT ?= 8000

# What a person types or pastes. `value` keeps make from expanding it; as recipes read it from the
# environment, quoted, the shell does not run it either.
override URL := $(value URL)
override PORT := $(value PORT)
export URL PORT

NOTEBOOKS ?= $(shell find book -name '*.ipynb' -not -path '*/.ipynb_checkpoints/*')

BIN := .venv/bin
PYTEST_FLAGS := -rs -n auto --maxprocesses 8 --dist loadfile --no-loadscope-reorder
UNIT_TESTS := tests --ignore tests/pages --ignore tests/repository

export JUPYTER_PATH := $(CURDIR)/book/_kernel:$(JUPYTER_PATH)
export TF_CPP_MIN_LOG_LEVEL ?= 3
export PIP_DISABLE_PIP_VERSION_CHECK := 1

.PHONY: help book serve test bench lint unit format notebooks test-jax test-torch measure chapters test-colab set-repository clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "%-14s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

book: .venv/.installed ## build the book: _build/html/index.html
	$(BIN)/jupyter-book build -W --keep-going .

serve: book ## build the book and show it on this machine's port PORT
	@$(BIN)/python tools/serve.py "$$PORT"

test: lint book ## lint, then test the package, the chapters and the built pages
	$(BIN)/pytest $(PYTEST_FLAGS) --nbval tests book

lint: .venv/.installed ## check style, and that imports only go down
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo --no-cache

unit: .venv/.installed ## test the package only
	$(BIN)/pytest $(PYTEST_FLAGS) $(UNIT_TESTS)

format: .venv/.installed ## rewrite code and notebooks in the project's style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

notebooks: .venv/.installed ## execute the chapters (or NOTEBOOKS=...) and store their outputs
	PYTHONPATH=tools $(BIN)/jupyter nbconvert --to notebook --execute --inplace \
	  --ExecutePreprocessor.record_timing=False \
	  --NotebookExporter.preprocessors=nbconvert.preprocessors.CoalesceStreamsPreprocessor \
	  --NotebookExporter.preprocessors=stored_notebook.KeepWhatLasts $(NOTEBOOKS)

test-jax: .venv-jax/.installed ## test the package on JAX, without TensorFlow
	KERAS_BACKEND=jax .venv-jax/bin/pytest $(PYTEST_FLAGS) $(UNIT_TESTS)

test-torch: .venv-torch/.installed ## test the package on PyTorch, without TensorFlow
	KERAS_BACKEND=torch .venv-torch/bin/pytest $(PYTEST_FLAGS) $(UNIT_TESTS)

bench: .venv/.installed ## time our training step against the published code's (BENCH=... for its options)
	$(BIN)/python -m benchmarks.steps $(BENCH)

measure: book ## load each page as a first visitor would: weight, seconds, figures, errors
	cd tests/pages && ../../$(BIN)/python measure.py

chapters: .venv/.installed ## print what each chapter holds and costs; seconds and weight are those of the last build
	@$(BIN)/python tools/chapters.py

test-colab: .venv-colab/.installed ## run the last commit's CHAPTERS (default: all) as Colab would, with Python 3.13
	.venv-colab/bin/pip install --quiet -r tests/colab/requirements.txt
	.venv-colab/bin/python tests/colab/run.py $(CHAPTERS)

set-repository: ## write the repository's address URL (default: unchanged) and the version everywhere
	@$(PYTHON) tools/set_repository.py "$$URL"

clean: ## delete the environments and everything built
	rm -rf .venv .venv-jax .venv-torch .venv-colab _build .pytest_cache .ruff_cache *.egg-info
	find smallvit tests book benchmarks tools '(' -name __pycache__ -o -name .ruff_cache ')' -prune -exec rm -rf {} +

# `venv --clear` empties the folder, so a link to an environment that others use stays untouched.
define make_environment
@[ ! -L $(@D) ] || { echo "$(@D) is a link, and its packages are older than constraints.txt or" \
  "pyproject.toml: install them there, or remove the link"; exit 1; }
@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13))' || \
  { echo "Python 3.11 to 3.13 is needed; name one, as in: make PYTHON=python3.12 $(MAKECMDGOALS)"; exit 1; }
@$(PYTHON) -c 'import ensurepip, venv' 2>/dev/null || \
  { echo "Python's venv module is missing; on Debian and Ubuntu: sudo apt install python3-venv"; exit 1; }
$(PYTHON) -m venv --clear $(@D)
endef

.venv/.installed: requirements.txt constraints.txt pyproject.toml
	$(make_environment)
	$(BIN)/pip install --quiet -r requirements.txt
	@touch $@

.venv-jax/.installed: constraints.txt pyproject.toml
	$(make_environment)
	.venv-jax/bin/pip install --quiet -c constraints.txt -e '.[jax]' pytest pytest-xdist
	@touch $@

# PyTorch comes first and by itself: pip then takes a build for CPUs where one is at hand.
.venv-torch/.installed: constraints.txt pyproject.toml
	$(make_environment)
	.venv-torch/bin/pip install --quiet --constraint constraints.txt torch
	.venv-torch/bin/pip install --quiet -c constraints.txt -e '.[torch]' pytest pytest-xdist
	@touch $@

.venv-colab/.installed: PYTHON = python3.13
.venv-colab/.installed: tests/colab/requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info[:2] != (3, 13))' 2>/dev/null || \
	  { echo "Colab has Python 3.13; name one, as in: make PYTHON=/path/to/python3.13 $(MAKECMDGOALS)"; exit 1; }
	$(make_environment)
	@touch $@
