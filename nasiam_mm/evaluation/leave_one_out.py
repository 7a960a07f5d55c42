# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Nearest neighbours of each image among all others.

Shapes: N images, D features, C classes.
"""

import torch
from torch import Tensor
from torch.nn.functional import normalize

from nasiam_mm.evaluation.checks import check_features, check_labels


def leave_one_out_accuracy(
    query: Tensor, bank: Tensor, labels: Tensor, k: int, temperature: float = 0.1
) -> float:
    """Measure how often the k nearest of the other images vote for an image's class, in percent.

    A neighbour at cosine s has ``exp(s / temperature)`` votes (Wu et al., 2018, section 3.4); of
    classes with equal votes the lower counts. One matrix (N, N) is made.

    Args:
        query: Features by which the images are looked up, (N, D).
        bank: Features by which they are found, (N, D), row by row of the same images.
        labels: Their classes, (N,).
        k: Neighbours, from 1 to N - 1.
        temperature: Of the vote.

    Raises:
        ValueError: For a k that cannot be, or features or labels that do not fit.
    """
    check_features('bank', bank, rows=2)
    check_features('query', query, rows=len(bank))
    if not 1 <= k < len(bank):
        raise ValueError(f'k must be from 1 to {len(bank) - 1}, the other images; got {k}')
    labels = check_labels('labels', labels, bank, 1 + int(labels.max()))
    cosine = normalize(query.double(), dim=1) @ normalize(bank.double(), dim=1).T
    near, index = cosine.fill_diagonal_(float('-inf')).topk(k, dim=1)
    votes = cosine.new_zeros(len(bank), 1 + int(labels.max()))
    votes.scatter_add_(1, labels[index], torch.exp(near / temperature))
    return 100 * (votes.argmax(1) == labels).double().mean().item()
