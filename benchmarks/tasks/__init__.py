# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Downstream tasks that need no network, and what is measured of a backbone on them."""
