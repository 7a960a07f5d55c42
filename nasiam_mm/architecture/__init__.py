# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What is decided: choices, genotypes, and reading them; torch only, no models."""

import nasiam_mm.architecture.sampling  # noqa: F401  registers them
