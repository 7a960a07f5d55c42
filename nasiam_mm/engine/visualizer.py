# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""mmengine's visualizer without a figure until something is drawn: runs here log figures alone."""

from typing import Any

import numpy as np
from mmengine.visualization import Visualizer

from nasiam_mm.registry import VISUALIZERS


class _NoFigure:
    """Stands for a figure before there is one."""

    def get_dpi(self) -> float:
        """Return matplotlib's default, which the figure that follows has too."""
        return 100.0


@VISUALIZERS.register_module()
class ScalarVisualizer(Visualizer):
    """mmengine's ``Visualizer``, which imports matplotlib with the first image that it is given.

    Where only scalars are logged, as by searching and pretraining, no process imports it.
    """

    fig_save: Any

    def _initialize_fig(self, fig_cfg: dict) -> tuple[Any, Any, Any]:
        return None, _NoFigure(), None

    def set_image(self, image: np.ndarray) -> None:
        """Set the image to draw on, (H, W, 3), RGB."""
        if isinstance(self.fig_save, _NoFigure):
            made = super()._initialize_fig(self.fig_save_cfg)
            self.fig_save_canvas, self.fig_save, self.ax_save = made
            self.dpi = self.fig_save.get_dpi()
        super().set_image(image)
