# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A backend of mmengine's visualizer that hands what is logged to the console."""

from collections.abc import Mapping
from typing import Any

from mmengine.visualization import BaseVisBackend

from nasiam_mm.console.screen import Console

_STAGES = ('train/', 'val/')  # before a name where the log processor keeps them


class ConsoleBackend(BaseVisBackend):
    """Notes scalars, whichever hook logs them; draws and writes nothing."""

    def __init__(self, console: Console) -> None:
        super().__init__(save_dir='')
        self.console = console

    def _init_env(self) -> None:
        pass

    @property
    def experiment(self) -> Console:
        """The console."""
        return self.console

    def add_scalar(self, name: str, value: Any, step: int = 0, **kwargs: Any) -> None:
        """Note a scalar."""
        self.add_scalars({name: value}, step)

    def add_scalars(
        self, scalar_dict: Mapping[str, Any], step: int = 0, *args: Any, **_: Any
    ) -> None:
        """Note scalars; what else a validation tells is passed over."""
        found = {}
        for name, value in scalar_dict.items():
            for stage in _STAGES:
                name = name.removeprefix(stage)
            try:
                found[name] = float(value)
            except (TypeError, ValueError):
                continue
        self.console.log(found)
