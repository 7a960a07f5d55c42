# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The parts of the page: each takes what is known of a run and returns HTML."""
