# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Files: written whole or not at all, read without running anything."""
