"""A measure of your own: how much of the variance of the features lies in a few directions."""

import torch

from nasiam_mm.probes.measures import MEASURES, Found, Measure


@MEASURES.register_module()
class Concentration(Measure):
    """Share of the variance of the query's features in the first few directions; 1 collapsed.

    No forward pass; the singular values of an (N, D) matrix.

    Args:
        directions: How many.
    """

    name = 'concentration'

    def __init__(self, directions: int = 5) -> None:
        self.directions = directions

    def value(self, found: Found) -> float:
        """Return the share, from 0 to 1."""
        features = found.query.features.double()
        variances = torch.linalg.svdvals(features - features.mean(0)).square()
        total = variances.sum()
        return (variances[: self.directions].sum() / total).item() if total > 0 else 1.0

    def score(self, value: float) -> float:
        """Return minus the share: of a score more is better."""
        return -value
