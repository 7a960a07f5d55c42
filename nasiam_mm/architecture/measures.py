# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""How decided a search is: entropy and margin of its mixing weights."""

from typing import Any

import numpy as np


def _filled(weights: Any) -> np.ndarray:
    return np.nan_to_num(np.asarray(weights, dtype=np.float64), nan=0.0)


def alpha_entropy(weights: Any) -> np.ndarray:
    """Entropy of mixing weights (..., L, K) by layer, (..., L), in nats; 0 log 0 and NaN are 0."""
    weights = _filled(weights)
    logarithm = np.log(weights, out=np.zeros_like(weights), where=weights > 0)
    return np.abs((weights * logarithm).sum(axis=-1))


def margin(weights: Any) -> np.ndarray:
    """Lead of the top weight of (..., L, K) over the second, (..., L); all of it where K is 1."""
    ordered = np.sort(_filled(weights), axis=-1)
    second = ordered[..., -2] if ordered.shape[-1] > 1 else 0.0
    return ordered[..., -1] - second
