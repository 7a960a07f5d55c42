# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What acts during a run."""

from . import checkpoint_hook, collapse_hook, frozen_hook, resume_hook, speed_hooks, stateful_hook  # noqa: F401
