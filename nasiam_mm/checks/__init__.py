# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What can be known before training is checked before training (contract C14)."""
