# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""``python -m nasiam_mm COMMAND``: the command ``nasiam``."""

from nasiam_mm.cli.main import main

main()
