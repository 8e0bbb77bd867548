# The commands of the project. `make` alone lists them.
#
#   make test PYTHON=python3.12       another interpreter (Python 3.11 or newer)
#   make test CXX=clang++             another compiler
#   make test ARGS='-k huber'         more arguments for the command that a target runs

SHELL := bash
PYTHON ?= python3
ifeq ($(origin CXX),default)
CXX := c++
endif
JOBS ?= 2
ARGS ?=

export CXX
export PIP_CONSTRAINT := $(CURDIR)/constraints.txt
export PIP_DISABLE_PIP_VERSION_CHECK := 1

BIN := .venv/bin
SANITIZE_BIN := build/sanitize-venv/bin
WHEEL_CHECK := build/wheel-check

BUILD_REQUIRES := scikit-build-core nanobind cmake ninja
TOOLS := build ruff mypy clang-format rich

# Before a command that starts processes: none is left, however it ends. pytest sees to that itself.
WHOLE := $(BIN)/python tests/support/leftovers.py

CXX_FILES = $(shell find src -name '*.h' -o -name '*.cpp')
NEW_LOSS = $(wildcard tests/project/new_loss/kernels/losses/*.h)
# What the native module is built from. Python files are not here: the install is editable.
NATIVE := pyproject.toml CMakeLists.txt constraints.txt $(CXX_FILES)
# Those that judge a kernel: the others import frameworks, which the sanitizers' environment lacks.
KERNEL_TESTS = $(shell grep -rl 'pytest.mark.kernel' tests --include='test_*.py')

.DEFAULT_GOAL := help
.DELETE_ON_ERROR:
.PHONY: help demo test test-oldest exhaustive outside fuzz fuzz-files sanitize sanitize-fuzz bench claims peers lint \
	format mutate wheel-check new-loss clean

help:  ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "make %-14s %s\n", $$1, $$2}' Makefile

demo: .venv/.package  ## install into .venv if needed, and train on real data with MLX
	$(BIN)/lossless demo $(ARGS)

test: .venv/.installed  ## install into .venv if needed, and run the everyday test suite
	$(BIN)/pytest -n $(JOBS) $(ARGS)

# mlx alone is another: it comes before the one in .venv. The kernels were not built for it.
test-oldest: build/mlx-oldest/.installed build/mlx-too-old/.installed  ## test the formulas with the oldest supported mlx, and the error with an older one
	@PYTHONPATH=build/mlx-oldest $(BIN)/python -c 'from importlib.metadata import version; \
	    assert version("mlx") == "$(mlx_oldest)", version("mlx")'
	PYTHONPATH=build/mlx-oldest $(BIN)/pytest -n $(JOBS) -k mlx_composed \
	    -W 'ignore:lossless:RuntimeWarning' $(ARGS)
	PYTHONPATH=build/mlx-too-old $(BIN)/pytest tests/executors/mlx/too_old.py

exhaustive: .venv/.installed  ## test the kernels with every float32, float16 and bfloat16 input, and with 10^8 hard pairs (hours)
	$(BIN)/lossless verify --exhaustive --backend numpy --executor kernels $(ARGS)
	PYTHONPATH=tests $(BIN)/python -m outside --pairs 100000000

outside: .venv/.installed  ## draw hard arguments without knowledge of the kernels, and judge the results exactly (ARGS='--pairs 100000000')
	PYTHONPATH=tests $(BIN)/python -m outside $(ARGS)

fuzz: .venv/.installed  ## random losses on random arrays, then damaged files (ARGS='--calls 1000000': only losses, an hour)
	PYTHONPATH=tests $(WHOLE) $(BIN)/python -m fuzz $(ARGS)
	$(if $(ARGS),,@$(MAKE) --no-print-directory fuzz-files)

fuzz-files: .venv/.installed  ## score files with damaged bytes (ARGS='--files 100000')
	PYTHONPATH=tests $(WHOLE) $(BIN)/python -m fuzz.files $(ARGS)

# The sanitizers' runtimes must be in the process before Python starts, and libstdc++ with them,
# so that they see its exceptions. Capturing only sys.stderr lets their reports through.
preload = $(foreach lib,libasan.so libubsan.so libstdc++.so,$(shell $(CXX) -print-file-name=$(lib)))

under_sanitizers = LD_PRELOAD='$(preload)' PYTHONMALLOC=malloc \
	ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=halt_on_error=1:print_stacktrace=1

sanitize: build/sanitize-venv/.installed  ## run the kernel tests under the address and undefined-behaviour sanitizers (GCC)
	@echo "kernel tests under address and undefined-behaviour sanitizers"
	@$(under_sanitizers) $(SANITIZE_BIN)/python -m pytest -m kernel -n $(JOBS) --capture=sys \
	    -o faulthandler_timeout=600 $(KERNEL_TESTS) $(ARGS)

sanitize-fuzz: build/sanitize-bridges/.installed  ## fuzz under the sanitizers, with the bridges to MLX, XLA and PyTorch
	@echo "random losses under address and undefined-behaviour sanitizers"
	@$(WHOLE) env $(under_sanitizers) PYTHONPATH=tests build/sanitize-bridges/bin/python -m fuzz \
	    --only numpy,mlx,mlx_composed,torch,jax,jax32 $(ARGS)

bench: .venv/.installed  ## measure the kernels, the calls on NumPy, MLX, JAX and PyTorch arrays, and lossless score
	$(WHOLE) $(BIN)/python benchmarks/kernels.py $(ARGS)
	$(WHOLE) $(BIN)/python benchmarks/numpy_calls.py $(ARGS)
	$(WHOLE) $(BIN)/python benchmarks/jax_calls.py $(ARGS)
	$(WHOLE) $(BIN)/python benchmarks/mlx_calls.py $(ARGS)
	$(WHOLE) $(BIN)/python benchmarks/torch_calls.py $(ARGS)
	$(WHOLE) $(BIN)/python benchmarks/cross_entropy.py $(ARGS)
	$(WHOLE) $(BIN)/python benchmarks/score.py

claims: .venv/.installed  ## recompute the README's table of other libraries (ARGS=--quick: no timings)
	$(WHOLE) $(BIN)/python benchmarks/claims.py $(ARGS)

peers: .venv/.peers  ## install the libraries that `make claims` compares with (some hundred MB)

lint: .venv/.installed  ## check style, format and types
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	@echo "clang-format --dry-run -Werror src"
	@$(BIN)/clang-format --dry-run -Werror $(CXX_FILES) $(NEW_LOSS)
	$(BIN)/mypy --strict src/lossless benchmarks tools tests
	@echo "tools/mutate.py --list: are the declared mistakes there?"
	@$(BIN)/python tools/mutate.py --list > /dev/null

format: .venv/.tools  ## format the files as lint expects
	$(BIN)/ruff check --fix-only .
	$(BIN)/ruff format .
	@echo "clang-format -i src"
	@$(BIN)/clang-format -i $(CXX_FILES) $(NEW_LOSS)

mutate: .venv/.installed  ## check that the tests catch a wrong line in a kernel (long; ARGS='--sample 20')
	$(WHOLE) $(BIN)/python tools/mutate.py $(ARGS)

# A value and a gradient that are known by hand; run from an empty folder, without the source tree.
define SMOKE
import numpy as np, lossless
inputs, targets = np.array([0.5, -3.0], np.float32), np.array([0.0, 0.0], np.float32)
value, gradient = lossless.value_and_grad(lossless.huber_loss)(inputs, targets, reduction="sum")
assert value == 2.625 and gradient.tolist() == [0.5, -1.0], (value, gradient)
assert lossless.log_cosh_loss(inputs, inputs).tolist() == [0.0, 0.0]
print("the wheel works:", lossless.__file__)
endef
export SMOKE

wheel-check: .venv/.tools  ## build a wheel from the source distribution, and test it in an empty environment
	@rm -rf $(WHEEL_CHECK)
	$(BIN)/python -m build --quiet --outdir $(WHEEL_CHECK)
	$(PYTHON) -m venv $(WHEEL_CHECK)/venv
	$(WHEEL_CHECK)/venv/bin/pip install -qq $(WHEEL_CHECK)/*.whl
	@$(WHEEL_CHECK)/venv/bin/pip list | tail -n +3
	@mkdir $(WHEEL_CHECK)/empty
	@cd $(WHEEL_CHECK)/empty && ../venv/bin/python -I -W error -c "$$SMOKE"

# The tests that read the table of losses, and those that a table of their own could keep from a new one.
ABOUT_LOSSES := pinball or test_package or test_docstrings or test_masked_arrays or test_totals or test_plot or test_docs
# One instruction set, and as quick to compile as for mutations.
new-loss: build/new-loss/.environment  ## add a loss that MLX lacks to a copy of the project, build it, and verify it on every framework
	@rm -rf build/new-loss/project
	@$(BIN)/python tests/support/new_loss.py build/new-loss/project
	@echo "compiling the copy, for one instruction set (a minute or two)"
	build/new-loss/venv/bin/python -m pip install -qq --no-build-isolation --no-deps --force-reinstall \
	    -C build-dir=build/new-loss/cmake -C cmake.define.LOSSLESS_BASELINE_ONLY=ON \
	    -C 'cmake.define.CMAKE_CXX_FLAGS_RELEASE=-O1 -march=native' build/new-loss/project
	cd build/new-loss/project && $(CURDIR)/$(BIN)/mypy --strict src/lossless
	cd build/new-loss && venv/bin/python -m lossless verify --loss pinball
	cd build/new-loss && venv/bin/python -m lossless verify --loss pinball --quantile 0.1
	cd build/new-loss/project && ../venv/bin/python -m pytest -n $(JOBS) -k '$(ABOUT_LOSSES)' $(ARGS)

clean:  ## remove everything that make created, including .venv
	rm -rf .venv build dist .hypothesis .mypy_cache .pytest_cache .ruff_cache
	@find src tests tools benchmarks -name __pycache__ -prune -exec rm -rf {} +

# Installed: the files below say when. `touch` comes last, so that a failure is tried again.

python_is_new = $(shell $(PYTHON) -c 'import sys; print(sys.version_info >= (3, 11))' 2>&1)
require_python = $(if $(filter True,$(python_is_new)),,$(error lossless needs Python 3.11 or newer, \
and '$(PYTHON)' is $(or $(shell $(PYTHON) --version 2>&1),not found): try make PYTHON=python3.12))
require_compiler = $(if $(shell command -v $(firstword $(CXX))),,$(error lossless needs a C++ compiler, \
and '$(CXX)' was not found: install g++ or clang++, or name yours with make CXX=...))

.venv/.created:
	$(require_python)$(require_compiler)
	$(PYTHON) -m venv .venv
	@touch $@

.venv/.tools: .venv/.created constraints.txt Makefile
	$(BIN)/pip install -qq $(BUILD_REQUIRES) 'mlx[cpu]' $(TOOLS)
	@touch $@

.venv/.package: .venv/.tools $(NATIVE)
	$(require_compiler)
	@echo "installing lossless into .venv, with MLX (the first time takes a few minutes)"
	$(BIN)/pip install -qq --no-build-isolation -e '.[cli,mlx]'
	@touch $@

# Nothing is compiled again for it: pip finds the native module up to date.
.venv/.installed: pyproject.toml constraints.txt | .venv/.package
	@echo "installing what the tests need, PyTorch and JAX too (some hundred MB)"
	$(BIN)/pip install -qq --no-build-isolation -e '.[test]'
	@touch $@

.venv/.peers: constraints.txt | .venv/.installed
	@echo "installing PyTorch, JAX, Keras and optax into .venv"
	$(BIN)/pip install -qq --no-build-isolation -e '.[bench]'
	@touch $@

# An old mlx in a folder of its own; constraints.txt pins the new one.
MLX_TOO_OLD := 0.31.2
mlx_oldest = $(shell $(BIN)/python -c 'from lossless.executors.versions import OLDEST; print(OLDEST["mlx"])')
build/mlx-oldest/.installed: mlx = $(mlx_oldest)
build/mlx-too-old/.installed: mlx = $(MLX_TOO_OLD)

build/mlx-%/.installed: src/lossless/executors/versions.py | .venv/.installed
	@rm -rf $(@D)
	PIP_CONSTRAINT= $(BIN)/pip install -qq --target $(@D) \
	    "mlx$$($(BIN)/python -c 'import sys; print("" if sys.platform == "darwin" else "[cpu]")')==$(mlx)"
	@touch $@

build/sanitize-venv/.created:
	$(require_python)
	$(PYTHON) -m venv build/sanitize-venv
	$(SANITIZE_BIN)/pip install -qq $(BUILD_REQUIRES)
	@touch $@

build/sanitize-venv/.installed: build/sanitize-venv/.created $(NATIVE) $(shell find src -name '*.py')
	$(require_compiler)
	$(SANITIZE_BIN)/pip install -qq --no-build-isolation \
	    -C build-dir=build/sanitize \
	    -C cmake.define.LOSSLESS_SANITIZE=ON -C cmake.define.LOSSLESS_MLX=OFF '.[test-kernels]'
	@touch $@

# It finds the frameworks of .venv, but not the lossless there: that is in no folder, but in a file that only the
# interpreter of .venv runs when it starts.
build/sanitize-bridges/.installed: $(NATIVE) $(shell find src -name '*.py') | .venv/.installed
	$(PYTHON) -m venv build/sanitize-bridges
	@$(BIN)/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))' \
	    > $$(build/sanitize-bridges/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/frameworks.pth
	@echo "compiling lossless with the sanitizers, for one instruction set (some minutes)"
	build/sanitize-bridges/bin/python -m pip install -qq --no-build-isolation --no-deps \
	    -C build-dir=build/sanitize-bridges/cmake -C cmake.define.LOSSLESS_SANITIZE=ON \
	    -C cmake.define.LOSSLESS_BASELINE_ONLY=ON .
	@touch $@

# It finds the frameworks of .venv as build/sanitize-bridges does.
build/new-loss/.environment: | .venv/.installed
	@rm -rf build/new-loss
	$(PYTHON) -m venv build/new-loss/venv
	@$(BIN)/python -c 'import sys; print(*(path for path in sys.path if path.endswith("site-packages")), sep="\n")' \
	    > $$(build/new-loss/venv/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/frameworks.pth
	@touch $@
