# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The nearest neighbours themselves, to look at."""

import torch
from torch import Tensor

from nasiam_mm.evaluation.knn import bounded_chunk, cosine_similarity


def nearest_neighbours(
    query: Tensor, bank: Tensor, k: int, chunk_size: int = 1024
) -> tuple[Tensor, Tensor]:
    """Find the k rows of the bank most similar to each query by cosine.

    Args:
        query: Features, (Q, D); L2-normalised here.
        bank: Features, (M, D).
        k: Number of neighbours, at most M.
        chunk_size: Queries compared with the bank at a time.

    Returns:
        Indices into the bank, (Q, k), the most similar first and equally
        similar ones by index, and their cosines, (Q, k), float64.

    Raises:
        ValueError: If the shapes or k do not fit.
    """
    if query.ndim != 2 or bank.ndim != 2 or query.size(1) != bank.size(1):
        raise ValueError(
            'neighbours: query and bank must be (Q, D) and (M, D) of one width, got '
            f'{tuple(query.shape)} and {tuple(bank.shape)}'
        )
    if not 1 <= k <= len(bank):
        raise ValueError(f'neighbours: k = {k} does not fit a bank of {len(bank)} rows')
    indices, cosines = [], []
    for chunk in query.split(bounded_chunk(chunk_size, len(bank))):
        cosine = cosine_similarity(chunk, bank).double()
        # A stable sort keeps the order of the bank among equals; topk does not.
        value, index = cosine.sort(dim=1, descending=True, stable=True)
        indices.append(index[:, :k])
        cosines.append(value[:, :k])
    return torch.cat(indices), torch.cat(cosines)
