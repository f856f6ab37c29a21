# Every target runs from the virtual environment .venv, which the first one creates. On a Debian without ensurepip it is
# created without pip, and the system's pip installs into it.
VENV ?= .venv
PY   ?= python3
BIN   = $(VENV)/bin
# What `make test` installs. CI adds the oracles (torch, autograd): EXTRAS=test,oracle
EXTRAS ?= test

pip     = if [ -x $(BIN)/pip ]; then $(BIN)/python -m pip $(1); else $(PY) -m pip --python $(BIN)/python $(1); fi
install = $(call pip,install -q -e '.[$(1)]')
# HIPS autograd's own tests also run on minigrad. They come from its sdist and are not part of this repository.
AUTOGRAD = autograd-1.9.1

$(VENV)/bin/python:
	$(PY) -m venv $(VENV) 2>/dev/null || { rm -rf $(VENV); $(PY) -m venv --without-pip $(VENV); }

$(VENV)/.stamp-%: setup.cfg pyproject.toml | $(VENV)/bin/python
	$(call install,$*)
	touch $@

demo: $(VENV)/.stamp-examples            ## verify BPTT, train for about two minutes, sample, compare with baselines
	$(BIN)/python examples/char_rnn.py --demo

# With its compiled modules kept: the workers and hundreds of child processes would compile every module again.
test: $(VENV)/.stamp-$(EXTRAS)           ## run the test suite
	env -u PYTHONDONTWRITEBYTECODE $(BIN)/python -m pytest -q -n 2 --dist worksteal -m "not soak"

autograd-sdist: $(VENV)/.stamp-$(EXTRAS) ## download autograd's own tests for `make test`; without a network they are skipped
	@test -d $(VENV)/$(AUTOGRAD)/tests || { \
	  { $(call pip,download -q --no-deps --no-binary autograd -d $(VENV)/sdists $(subst -,==,$(AUTOGRAD))); } && \
	  tar -xzf $(VENV)/sdists/$(AUTOGRAD).tar.gz -C $(VENV); } || \
	  echo "autograd's sdist could not be downloaded; its own tests will be skipped"

autograd-tests: autograd-sdist           ## run them on minigrad, print a table; fails if under 95 % of those on real numbers pass
	$(BIN)/python tests/support/autograds_tests.py $(VENV)/$(AUTOGRAD)/tests

soak: $(VENV)/.stamp-$(EXTRAS)           ## run the long randomised tests
	$(BIN)/python -m pytest -q -n 2 -m soak

lint: $(VENV)/.stamp-$(EXTRAS)           ## check style, types and import layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports --no-cache

# The tests of minigrad, without those of minigrad_rnn
ENGINE = engine ops transforms debug nn support test_*.py

coverage: $(VENV)/.stamp-$(EXTRAS) $(VENV)/.stamp-coverage  ## show which lines of minigrad its own tests reach
	$(BIN)/python -m pytest -q -n 2 -m "not soak" --cov=minigrad --cov-report=term-missing:skip-covered \
	  $(wildcard $(ENGINE:%=tests/%))

mutants: $(VENV)/.stamp-$(EXTRAS) $(VENV)/.stamp-mutation   ## run mutation testing (takes hours; see docs/tested.md)
	env PATH="$(abspath $(BIN)):$$PATH" mutmut run --simple-output --no-progress; $(BIN)/mutmut results

verify: $(VENV)/.stamp-examples          ## compare graph, fused, native, reference BPTT and finite differences in one table
	$(BIN)/python -m minigrad_rnn verify

examples: $(VENV)/.stamp-examples $(VENV)/.stamp-speech  ## run the lessons, and train every example
	$(BIN)/python examples/bptt_by_hand.py
	$(BIN)/python examples/engine_in_sixty_lines.py
	$(BIN)/python examples/gradient_by_time_step.py
	$(BIN)/python examples/memory_tasks.py
	$(BIN)/python examples/translate.py --task dates
	$(BIN)/python examples/translate.py --task software
	for data in code shakespeare latex encyclopaedia; do \
	  $(BIN)/python examples/char_rnn.py --data $$data --chunks 1500 --out runs/char_rnn_$$data || exit 1; done
	$(BIN)/python examples/sequence_shapes.py
	$(BIN)/python examples/speech.py
	$(BIN)/python examples/invest.py
	$(BIN)/python examples/tag.py
	$(BIN)/python examples/classify_text.py
	$(BIN)/python examples/classify_text.py --task reviews

bench: $(VENV)/.stamp-$(EXTRAS)          ## time minigrad and PyTorch (and JAX, autograd, MyGrad where installed)
	env -u OPENBLAS_CORETYPE -u OPENBLAS_L2_SIZE $(BIN)/python -m benchmarks

docs: $(VENV)/.stamp-docs                ## build the documentation site into build/docs; a warning is an error
	$(BIN)/python -m sphinx -b html -n -W --keep-going -q -d build/doctrees docs build/docs

# On a GPU, with the python at hand (PY) and what is installed there: such machines often reach no package index. Each step
# has a time limit and shows how it ended, and only a failed smoke test stops the others. tests/on_a_gpu.sh alone does all
# that matters in twelve minutes.
test-gpu:                                ## on a GPU: run the CuPy tests, the sanitizer on small sizes, doctor and verify
	OUT=build/test_gpu BUDGET=3600 PATIENCE=4 PY="$(PY)" tests/on_a_gpu.sh test

bench-gpu:                               ## on a GPU: time the kernels, cuDNN and the op-by-op graph, write benchmarks/gpu.md
	OUT=build/bench_gpu BUDGET=3600 PY="$(PY)" tests/on_a_gpu.sh bench

clean:
	rm -rf $(VENV) build dist *.egg-info .mypy_cache .ruff_cache .pytest_cache .hypothesis runs
	cd docs && rm -rf reference source

.PHONY: demo docs test autograd-sdist autograd-tests soak lint verify examples bench test-gpu bench-gpu coverage mutants clean
