# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The command line: what ``nasiam`` and the scripts of ``tools/`` share, a file a command."""
