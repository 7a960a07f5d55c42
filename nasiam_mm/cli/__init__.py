# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What the package and its tools share; imports nothing else of the package."""
