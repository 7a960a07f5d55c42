# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""How fast the library is, beside its peers: same images, model, batch and precision, in turn."""
