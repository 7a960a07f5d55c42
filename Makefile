# `make help` lists the targets. Every one may be repeated, and interrupted at any time.
#   PYTHON=/path/to/python   the interpreter to make .venv with (3.10 to 3.13)
#   PYTEST_ARGS='-k knn'     further arguments of pytest
#   JOBS=2                   processes of the tests
#   TORCH=cpu                torch without CUDA (a third of the size), from the further index of
#                            builds for the CPU that TORCH_INDEX names

VENV := .venv
BIN := $(VENV)/bin
PINS := requirements/constraints.txt
PYTHON ?=
JOBS ?= 2
TORCH ?=
export TORCH_INDEX

# $(call untold,COMMAND): what is interrupted has said so; make ends by the signal and adds nothing.
# It waits for the shell in its handler, which the shell therefore outlasts.
untold = trap : INT; $(1) || { status=$$?; \
	[ $$status -ne 130 ] || { kill -INT $$PPID; sleep 1; exit 0; }; exit $$status; }

# A stamp holds the hash of what its installation depends on: another hash, another installation.
SOURCES := Makefile setup.py nasiam_mm/version.py requirements/*.txt
HASH := $(shell (cat $(SOURCES); echo '$(TORCH)') | cksum | cut -d' ' -f1)
CORE := $(VENV)/.nasiam_mm-core-$(HASH)
FULL := $(VENV)/.nasiam_mm-full-$(HASH)
# Is there while an installation is not whole; where nobody holds the lock, it was interrupted.
BUSY := $(VENV)/.nasiam_mm.installing
# Locked through descriptor 9, which the installing processes alone have: it dies with them.
LOCK := .nasiam_mm.lock

# Another installation's packages must not be found before those of .venv.
unexport PYTHONPATH PYTHONHOME
# The tests start many processes, each of which would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.NOTPARALLEL:
.PHONY: help venv venv-full data demo test lint format docs clean

help:  ## List the targets
	@sed -nE 's/^([a-z-]+):[^#]*## (.*)/  make \1\t\2/p' Makefile | expand -t 20

venv: $(CORE)  ## Create .venv with what searching and pretraining need

venv-full: $(FULL)  ## Create .venv with detection, tests and lint as well

data: $(CORE)  ## Bring CIFAR-10 to data/cifar10
	@$(BIN)/python tools/dataset_converters/prepare_cifar10.py

demo: data  ## Search, pretrain and measure on CIFAR-10 (about 8 minutes on two cores)
	@$(call untold,$(BIN)/python tools/demo.py)

test: $(FULL)  ## Run the tests
	@OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(PYTEST_ARGS)

lint: $(FULL)  ## Check style, format, types and the direction of imports
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy && $(BIN)/lint-imports

format: $(FULL)  ## Mend style and format
	@$(BIN)/ruff check --fix . && $(BIN)/ruff format .

docs: $(FULL)  ## Build the pages into build/site; a dead link is an error
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

clean:  ## Remove .venv and caches; data and work_dirs stay
	@rm -rf $(VENV) $(LOCK) build dist *.egg-info nasiam_mm/.mim .*_cache
	@find . -name __pycache__ -type d -not -path './.git/*' -prune -exec rm -rf {} +

# A candidate is run, not looked for: a version manager's stub may be on PATH and not work.
IS_USABLE := import sys, venv, ensurepip; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 13))
define find_python
for name in $(if $(PYTHON),'$(PYTHON)',python3.11 python3.12 python3.10 python3.13 python3 python); do \
	if "$$name" -c '$(IS_USABLE)' >/dev/null 2>&1; then python=$$name; break; fi; \
done; \
if [ -z "$$python" ]; then \
	echo "error: $(if $(PYTHON),PYTHON=$(PYTHON) is not,found no) Python 3.10 to 3.13 with venv;" \
		"install one (Debian: apt-get install python3-venv)" \
		"or name it: make PYTHON=/path/to/python" >&2; \
	exit 1; \
fi
endef

# $(call install,PACKAGE,STAMPS): create .venv where needed, install, check, and only then stamp.
define install
@set -e; python=$(BIN)/python; is_new=; \
case '$(TORCH)' in \
	'') ;; \
	cpu) if [ -z "$$TORCH_INDEX" ]; then \
		echo "error: TORCH=cpu needs TORCH_INDEX=ADDRESS of an index of CPU builds;" \
			"PyTorch's page on installing it names one" >&2; \
		exit 1; \
	fi ;; \
	*) echo 'error: TORCH=$(TORCH): give cpu, or leave it out' >&2; exit 1 ;; \
esac; \
if ! $(BIN)/python -m pip --version >/dev/null 2>&1; then python=; $(find_python); is_new=1; fi; \
exec 9>>$(LOCK); \
if ! "$$python" -c 'import fcntl; fcntl.flock(9, fcntl.LOCK_EX | fcntl.LOCK_NB)' 2>/dev/null; then \
	echo "error: another make is installing into $(VENV); wait for it, then repeat" >&2; \
	exit 1; \
fi; \
if [ -e $(BUSY) ]; then \
	echo '==> an earlier installation was interrupted: starting again'; \
	rm -rf $(VENV); python=; $(find_python); is_new=1; \
fi; \
mkdir -p $(VENV); touch $(BUSY); rm -f $(VENV)/.nasiam_mm-*-*; \
if [ -n "$$is_new" ]; then \
	echo "==> creating $(VENV) with $$("$$python" --version) ($$(command -v "$$python"))"; \
	"$$python" -m venv $(VENV); \
fi; \
echo '==> installing $(1) at the versions of $(PINS) (2 to 3 minutes the first time)'; \
$(BIN)/python -m pip install --disable-pip-version-check -c $(PINS) pip; \
if [ -n '$(TORCH)' ]; then \
	$(BIN)/python -m pip install --disable-pip-version-check -c $(PINS) --upgrade \
		--extra-index-url "$$TORCH_INDEX" torch torchvision; \
fi; \
$(BIN)/python -m pip install --disable-pip-version-check -c $(PINS) --build-constraint $(PINS) -e '$(1)'; \
if ! $(BIN)/python -c 'import cv2' >/dev/null 2>&1; then \
	echo '==> this machine has no display libraries: taking the headless build of OpenCV'; \
	$(BIN)/python -m pip install --disable-pip-version-check -c $(PINS) \
		--force-reinstall --no-deps opencv-python-headless; \
fi; \
$(BIN)/python -c 'import nasiam_mm.engine'; \
rm -f $(BUSY); touch $(2); \
echo '==> $(VENV) is ready'
endef

# What the larger installation brought suffices for the core.
$(CORE):
	$(call install,.,$(CORE))

$(FULL):
	$(call install,.[all],$(CORE) $(FULL))

, := ,
