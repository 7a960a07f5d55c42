# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Regularizers of alpha alone: how decided its weights are."""

import torch
from torch import Tensor, nn

from nasiam_mm.architecture.relaxation import Sigmoid
from nasiam_mm.search.gradient.regularizers import REGULARIZERS, AlphaStep, Regularizer


@REGULARIZERS.register_module()
class ZeroOne(Regularizer):
    """Push the gates of a sigmoid to 0 or 1 (L_0-1 of `FairDARTS`_, eq. 6; weight 10 there).

    ``-mean((sigmoid(alpha) - 1/2)^2)`` over the N candidates of all layers. Its gradient to one
    is ``-2 (s - 1/2) s (1 - s) / N``: none at the start, where every gate is 1/2. Gates alone are
    pushed; for a relaxation whose candidates compete take ``Entropy``.

    .. _FairDARTS: https://arxiv.org/abs/1911.12126
    """

    def __init__(self, weight: float = 10.0) -> None:
        super().__init__(weight)

    def check(self, model: nn.Module) -> None:
        """Raise ValueError unless the weights are gates."""
        relaxation = model.architecture.relaxation
        if not isinstance(relaxation, Sigmoid):
            what = f'the regularizer ZeroOne is for gates, not for {type(relaxation).__name__}'
            raise ValueError(f"{what}; take Entropy, or set model.relaxation=dict(type='Sigmoid')")

    def value(self, step: AlphaStep) -> Tensor:
        """Return the term, ()."""
        owner = step.architecture
        gates = torch.cat([owner.alpha(h)[owner.present(h)] for h in owner.choices]).sigmoid()
        return -(gates - 0.5).square().mean()


@REGULARIZERS.register_module()
class Entropy(Regularizer):
    """Mean over the layers of the entropy of their weights, in nats: a weight sharpens them.

    The weights are those of no draw in particular, and where they do not sum to 1 (gates) each
    one's share of their sum. To a softmax the gradient is ``-p_k (log p_k + H) / L``: none at the
    start, where all are alike.
    """

    def value(self, step: AlphaStep) -> Tensor:
        """Return the term, ()."""
        total, layers = 0.0, 0
        for head in step.architecture.choices:
            weights = step.architecture.weights(head, drawn=False)
            share = weights / weights.sum(1, keepdim=True)
            # Where a share is 0, for ever or by rounding, it adds nothing and gets no gradient.
            share = torch.where(share > 0, share, 1.0)
            total, layers = total - (share * share.log()).sum(), layers + len(weights)
        return total / layers
