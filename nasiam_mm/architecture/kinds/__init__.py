# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Kinds of choices, an entry each: what an option may be, where it stands, what it does."""

import nasiam_mm.architecture.kinds.backbone
import nasiam_mm.architecture.kinds.coupled
import nasiam_mm.architecture.kinds.head  # noqa: F401  registers them
