# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What a command shows on the terminal: short lines or a bar; all else is in the log file."""
