# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What acts during a run."""
