# make demo: train, export, verify and time MobileNeXt and MobileNetV2, then write a report.
# make test: the tests; make test-all: the slow ones too.  Each makes .venv by itself, with the versions of
# constraints.txt.

PYTHON ?= python3
VENV := .venv
RUN := $(VENV)/bin/python

.PHONY: demo web test test-all lint format install extras environments constraints clean

demo: install
	$(RUN) -m pipelines.run --out=runs/demo
	@echo "Look at runs/demo/report/report.md and the plots beside it."
	@echo "See both networks run in a browser, also on a phone:"
	@echo "  make web && $(RUN) -m pipelines.serve --run=runs/demo/mnext,runs/demo/mobilenet_v2"

# LiteRT.js, which runs .tflite files on the page of pipelines.serve; needs npm.
web: web/node_modules/.package-lock.json

web/node_modules/.package-lock.json: web/package.json web/package-lock.json
	npm ci --prefix web --ignore-scripts --no-audit --no-fund
	touch $@

# Files of tests side by side, so that what a file prepares is prepared once.
test: install
	$(RUN) -m pytest -n auto --maxprocesses=4 --dist loadfile $(PYTEST_FLAGS)

test-all: PYTEST_FLAGS += --slow
test-all: test

lint: install
	$(VENV)/bin/ruff check .
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/mypy

format: install
	$(VENV)/bin/ruff check --fix .
	$(VENV)/bin/ruff format .

# What some tests skip without: PyTorch, which reads and writes its own checkpoints, MediaPipe, which runs our files, and
# Playwright, which drives Chromium.
extras: install
	$(RUN) -m pip install --quiet --disable-pip-version-check -c constraints.txt torch==2.13.0 mediapipe==1.2.2 playwright==1.65.2

# And tools that are not Python packages: adb with its device daemon, what builds the Android app, ARM64 under qemu,
# a software Vulkan for the GPU accelerator.
environments: environment-adb environment-android environment-arm64 environment-vulkan

environment-%:
	sh environments/$*.sh .environments/$*

install: $(VENV)/.installed

# Removed and made again as a whole: a half-installed .venv would look complete.
$(VENV)/.installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "mnext_tf needs Python 3.11 or later; set PYTHON=python3.x")'
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $@

# Pin what a fresh installation of the ranges in pyproject.toml gives today.
constraints:
	rm -rf $(VENV)
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check -e '.[test]'
	$(RUN) -m pip freeze --exclude-editable > constraints.txt
	touch $(VENV)/.installed

clean:
	rm -rf $(VENV) build *.egg-info .pytest_cache .ruff_cache
