# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The commands of ``nasiam``, a file each: ``add_arguments(parser)`` and ``run(args)``."""
