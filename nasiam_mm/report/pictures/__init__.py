# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Pictures of a search: the genotype, and alpha over time."""
