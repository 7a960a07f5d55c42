# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Safe reading of checkpoints from the moment that mmengine can read one (contract C11)."""

import sys
from importlib.machinery import ModuleSpec, PathFinder
from typing import Any

_READING = 'mmengine.runner.checkpoint'


def guard_reading() -> None:
    """Let mmengine read checkpoints by our reader, from its own import on if that is to come."""
    if _READING in sys.modules:
        _install(sys.modules[_READING])
    elif not any(isinstance(finder, _Guard) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Guard())


def _install(theirs: Any) -> None:
    from nasiam_mm.files.checkpoint import load_for_mmengine

    # Their other schemes (s3, model zoos) end in one of these three.
    theirs.load_from_local = theirs.load_from_http = theirs._safe_torch_load = load_for_mmengine
    theirs.CheckpointLoader.register_scheme(
        prefixes=('', 'http://', 'https://'), loader=load_for_mmengine, force=True
    )


class _Guard:
    """Finds one module as Python does, and installs the reader behind it."""

    def find_spec(self, name: str, *place: Any) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, *place) if name == _READING else None
        if spec is None or spec.loader is None:
            return None
        sys.meta_path.remove(self)
        execute = spec.loader.exec_module

        def execute_and_install(module: Any) -> None:
            execute(module)
            _install(module)

        spec.loader.exec_module = execute_and_install  # type: ignore[method-assign]
        return spec
