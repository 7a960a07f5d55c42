# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""How decided a search is: entropy and margin of its mixing weights."""

from typing import Any

import numpy as np


def alpha_entropy(weights: Any) -> np.ndarray:
    """Entropy of the mixing weights of each layer, in nats; 0 log 0 is 0.

    Args:
        weights: Tensor or array (..., L, K); NaN counts as weight 0.

    Returns:
        np.ndarray: (..., L), from 0 (one operation) to ln K (uniform).
    """
    weights = np.nan_to_num(np.asarray(weights, dtype=np.float64), nan=0.0)
    logarithm = np.log(weights, out=np.zeros_like(weights), where=weights > 0)
    return np.abs((weights * logarithm).sum(axis=-1))


def margin(weights: Any) -> np.ndarray:
    """Lead of the top operation of each layer over the second.

    Args:
        weights: Tensor or array (..., L, K); NaN counts as weight 0.

    Returns:
        np.ndarray: (..., L); the whole weight where K is 1.
    """
    weights = np.nan_to_num(np.asarray(weights, dtype=np.float64), nan=0.0)
    ordered = np.sort(weights, axis=-1)
    second = ordered[..., -2] if weights.shape[-1] > 1 else 0.0
    return ordered[..., -1] - second
