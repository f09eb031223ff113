# make demo         segment a real volume with the embedded model, into a real MRML scene
# make test         style, floors and tests: on all cores at once, but for those that measure time or memory
# make screenshots  draw the panel in each of its states, and its result, as PNG
# make bench        speed and memory against stock MONAI, what clicks are worth, and where the time goes (PNG)
# Each sets up what it needs (a virtual environment in .venv, and, as root on Debian, system packages).

PYTHON ?= python3
BIN := .venv/bin
READY := .venv/.ready

.PHONY: demo test screenshots bench clean

demo: $(READY)
	$(BIN)/python Testing/demo/demo.py --output demo-output

test: $(READY)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports
	OMP_NUM_THREADS=1 $(BIN)/pytest -m "not alone" --numprocesses auto --maxprocesses 8 --dist worksteal
	$(BIN)/pytest -m alone

screenshots: $(READY)
	$(BIN)/python Testing/screenshots --output screenshots

bench: $(READY)
	$(BIN)/python Testing/benchmarks --picture where-time-goes.png

$(READY): pyproject.toml .constraints.txt Testing/system_packages.sh
	sh Testing/system_packages.sh $(PYTHON)
	$(PYTHON) -m venv .venv
	@echo "Installing Python packages into .venv (2 GB, once) ..."
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --constraint .constraints.txt --editable '.[develop]' \
		>.venv/install.log 2>&1 || { cat .venv/install.log; exit 1; }
	touch $@

clean:
	rm -rf .venv demo-output screenshots where-time-goes.png
