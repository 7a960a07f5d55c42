# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A table of heads, each trained with several seeds, and what is answered from its rows."""
