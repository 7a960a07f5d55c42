# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Candidate operations: what a choice may choose between."""

import nasiam_mm.ops.cell
import nasiam_mm.ops.conv
import nasiam_mm.ops.head  # noqa: F401  registers them
