# make demo   an NVMe controller, driven from Python   (DEVICE=uri, WRITE=1 RANGE=lba:blocks)
# make test   every tier of tests, with its time       (TIERS="unit drivers" for some)
# make bench  ratios against peers, measured in the same run
# make docs   the documentation as HTML
# make screenshots  what commands show, as pictures
# make check  format, lint, types, layers
# Each one sets up what it needs.

PYTHON ?= python3
DEVICE ?= sim:nvme?size=128M
export PYTHON
RUN = .venv/bin

.PHONY: demo test check bench docs screenshots clean

demo:
	@.ci/setup test
	@$(RUN)/pymmio nvme demo '$(DEVICE)' $(if $(WRITE),--write) $(if $(RANGE),--range $(RANGE))

test:
	@.ci/setup test,dev,docs
	@$(RUN)/python -m tests.run $(TIERS)

check:
	@.ci/setup test,dev
	@$(RUN)/python -m tests.run check

bench:
	@.ci/setup test,bench
	@$(RUN)/python -m benchmarks $(BENCH)

docs:
	@.ci/setup docs
	@$(RUN)/sphinx-build -q -W --keep-going -b html docs docs/_build/html
	@echo docs/_build/html/index.html

screenshots:
	@.ci/setup docs
	@$(RUN)/python docs/screenshots.py

clean:
	rm -rf .venv build dist docs/_build *.egg-info
