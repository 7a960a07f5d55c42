# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Loop, hooks, optimizers: what acts while training. Importing this registers them."""

from nasiam_mm.imports import uncollected

with uncollected():
    from nasiam_mm.engine import hooks, optim, train_loop  # noqa: F401
    from nasiam_mm.engine.runner import NasiamRunner  # noqa: F401
    from nasiam_mm.engine.visualizer import ScalarVisualizer  # noqa: F401
