# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A study of backbones under self-supervision: many of them, measured on many tasks."""
