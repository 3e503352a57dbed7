# Every target makes the virtual environment it needs first. Windows and no make: see README.md.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin

.DEFAULT_GOAL := help
.PHONY: help demo test lint format gpu clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## /{printf "%-8s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

$(VENV)/.installed: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(not (3, 11) <= sys.version_info[:2] <= (3, 13) and "Python 3.11 to 3.13 is needed, for instance: make demo PYTHON=python3.12")'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements.txt
	touch $@

$(VENV)/.installed-dev: $(VENV)/.installed requirements-dev.txt requirements-openvino.txt
	$(BIN)/pip install --quiet --disable-pip-version-check -r requirements-dev.txt
	# Both ask for a second OpenCV package, and two of them break each other.
	$(BIN)/pip install --quiet --disable-pip-version-check --no-deps vos-benchmark==0.1.0 trackeval==1.3.0
	touch $@

demo: $(VENV)/.installed ## install, then segment the bundled video from its one labelled frame
	$(BIN)/python finetune_test.py --dataset datasets/sample --preset fast
	@echo "Look at results/overlay/cockatoo.mp4 and results/overlay/cockatoo.png"

test: $(VENV)/.installed-dev ## install, then run the tests
	$(BIN)/python -m pytest -n 2

lint: $(VENV)/.installed-dev ## check style
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

format: $(VENV)/.installed-dev ## correct style
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

gpu: $(VENV)/.installed-dev ## swap TensorFlow for its build for NVIDIA GPUs (Linux)
	$(BIN)/pip uninstall --quiet --yes tensorflow-cpu tensorflow
	$(BIN)/pip install --quiet "tensorflow[and-cuda]==2.21.0"

clean: ## remove the virtual environment and caches
	rm -rf $(VENV) .pytest_cache .ruff_cache
