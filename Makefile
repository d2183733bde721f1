# `make demo` and `make test` need Python 3.11 or newer, make and a package index; the rest they install into .venv.
PYTHON ?= python3
BIN := .venv/bin
LOCK := tools/requirements.txt
LOWEST := build/lowest

.PHONY: venv demo test pytest test-lowest lint docs benchmark soak experiments lock audit clean

venv: .venv/.ready

.venv/.ready: setup.py $(LOCK)
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet torch==2.13.0  # by itself: its hash is that of the build for this machine
	$(BIN)/pip install --quiet --no-deps --require-hashes --requirement $(LOCK)
	$(BIN)/pip install --quiet --no-deps --no-build-isolation --editable .
	touch $@

demo: venv
	$(BIN)/vidseg demo --output demo_output --json demo_output/demo.json

test: lint pytest

# Nodes are tested by themselves: they count milliseconds. pyproject.toml holds the floor of the coverage; sysmon is the core that
# costs least, from Python 3.12 on. A worker that dies ends the run: pytest-xdist loses the tests of its files otherwise, or waits.
pytest: export COVERAGE_CORE = sysmon
pytest: venv
	$(BIN)/python -m pytest --numprocesses 2 --dist loadfile --max-worker-restart 0 --ignore test/ros --cov --cov-report= --cov-fail-under=0
	$(BIN)/python -m pytest test/ros --cov --cov-append

# what needs no ROS, no engine and no training, with the oldest NumPy and OpenCV that setup.py allows; up to Python 3.12
test-lowest:
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/pip install --quiet torch==2.13.0
	$(LOWEST)/bin/pip install --quiet --editable '.[test]' numpy==1.26.4 opencv-python-headless==4.6.0.66
	$(LOWEST)/bin/python -m pytest test/networks test/metrics test/losses test/flow test/data test/io test/simulation test/test_stream.py

lint: venv
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

# docs/results.md and its pictures; CONTRIBUTING.md says what else measures for documents
docs: venv  # needs VIDSEG_DATA for CamVid
	$(BIN)/python -m tools.figures

# the speed of engines and node in docs/results.md: ten minutes on a machine that does nothing else
benchmark: venv  # needs VIDSEG_DATA for CamVid
	$(BIN)/python -m tools.speed

# docs/reliability.md: fuzz, frames by the hundred thousand through the node, and faults; two hours (VIDSEG_SOAK, VIDSEG_HOUR: frames)
soak: venv
	$(BIN)/python -m tools.reliability

# the comparisons of the papers in docs/results.md: many hours on two cores, resumable; on a GPU: python -m tools.experiments --device cuda
experiments: venv  # needs VIDSEG_DATA for CamVid, and the official weights beside it
	$(BIN)/python -m tools.experiments

# pin all that setup.py names, for every Python and machine, but for torch and what only torch needs; needs uv
lock:
	mkdir -p build && echo "torch; python_version < '3'" > build/override.txt
	uv pip compile setup.py --quiet --universal --python-version 3.10 --all-extras --override build/override.txt \
		--generate-hashes --custom-compile-command 'make lock' --output-file $(LOCK)

# ask the database of PyPI for known vulnerabilities of all that stands in .venv; needs uv and the internet
audit: venv
	uv tool run pip-audit --path $$($(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')

clean:
	rm -rf .venv demo_output build install log
