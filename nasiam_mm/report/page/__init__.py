# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""One page of HTML that tells what a run, a study or several of them found."""
