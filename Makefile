# make demo   set up, then drive a humanoid for a few seconds: a video and a report under outputs/demo
# make test   set up, then run the whole test suite
# make lint   ruff and mypy alone (they are among the tests)
#
# Set-up needs Python 3.11 or 3.12 with venv, and Debian's libraries for rendering (installed here where that is allowed).
# On a machine without a GPU, point PIP_EXTRA_INDEX_URL or PIP_FIND_LINKS at PyTorch's CPU builds to save gigabytes.

SHELL := /bin/bash
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO := outputs/demo

# Torch on a CPU runs one thread per process: two on contended cores are many times slower.
export OMP_NUM_THREADS ?= 1

.PHONY: demo test lint setup clean

setup: $(STAMP)

$(STAMP): pyproject.toml constraints.txt .ci/find-python
	@test -x $(BIN)/python || { python=$$(.ci/find-python) && echo "setup: $(VENV) with $$python" && $$python -m venv $(VENV); }
	@echo "setup: installing (minutes the first time)"
	@$(BIN)/python -m pip install --quiet --editable '.[humanoid,metaworld,fetch,aloha,openpi,groot-zmq,import,train,finetune,fast,dev]' --constraint constraints.txt
	@$(BIN)/python -m dualsys.app.rendering_setup
	@touch $@

demo: $(STAMP)
	@mkdir -p $(DEMO)
	$(BIN)/dualsys run humanoid/touch --mode processes --seconds 20 \
		--video $(DEMO)/touch.mp4 --log $(DEMO)/touch.jsonl --json $(DEMO)/touch.json
	@echo "video, log and figures: $(DEMO)/touch.mp4, touch.jsonl, touch.json"
	@$(BIN)/python -c 'import json, sys; sys.exit(0 if json.load(open("$(DEMO)/touch.json"))["successes"] else "demo: no episode succeeded")'

# Three workers on two cores: one of them runs what goes by the clock, which waits more than it works.
test: $(STAMP)
	$(BIN)/python -m pytest -n 3 --dist loadgroup $(PYTEST_ARGS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/mypy

clean:
	rm -rf $(VENV) build dist outputs *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
