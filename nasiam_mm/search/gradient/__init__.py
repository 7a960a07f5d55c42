# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Search by gradient descent on alpha."""
