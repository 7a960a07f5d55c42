# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Kills and resumptions of a training, a detector or a table, against one left alone."""
