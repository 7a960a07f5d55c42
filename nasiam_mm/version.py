# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Version of the package: the only place that states it."""

__version__ = '0.2.0'
