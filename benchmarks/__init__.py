# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What is measured with nasiam_mm: the papers' tables, speed beside peers, runs offline."""
