# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A search by training heads: candidates are trained and measured, and the answer is checked."""
