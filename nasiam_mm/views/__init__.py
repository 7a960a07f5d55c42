# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Random parameters of views, from per-sample seeds; no image is touched here."""
