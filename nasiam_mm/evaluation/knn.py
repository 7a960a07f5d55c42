# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Weighted nearest-neighbour classification of features (Wu et al., 2018).

Shapes: Q queries, M bank rows, D feature width, C classes, k neighbours.
"""

import math
from collections.abc import Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from nasiam_mm.evaluation.checks import check_features, check_labels, top_accuracy

# Bank rows brought to float64 at a time: bounds the memory, not the result.
_BANK_BLOCK = 65536
# Pairs of a query and a bank row compared at a time: bounds the memory likewise.
_PAIRS = 2**27


def knn_scores(
    query: Tensor,
    bank: Tensor,
    bank_labels: Tensor,
    num_classes: int,
    ks: Sequence[int],
    temperatures: Sequence[float],
    chunk_size: int = 1024,
) -> Iterator[tuple[slice, dict[tuple[int, float], Tensor]]]:
    """Score the classes of each query by a weighted vote of its k nearest neighbours.

    ``score(c) = sum over the k neighbours i with label c of exp(cos(query, bank_i) / T)``
    ("Unsupervised Feature Learning via Non-Parametric Instance Discrimination", Wu et al., CVPR
    2018, section 3.4). Cosines are computed in float64 and rounded to 2**-24, and rows exactly as
    similar as the k-th neighbour share the places left to them equally, so that neither
    ``chunk_size`` nor the order of the bank changes a score.

    Takes features on one device, L2-normalised here, of the queries, (Q, D), and of labelled
    images, (M, D), and the class indices of these, (M,). Small temperatures, T > 0, trust the
    nearest most; ``chunk_size`` queries at most are compared with the bank at a time.

    Yields:
        The rows of a chunk of queries and its scores, (q, C), float64, by ``(k, temperature)``;
        ValueError for what is not usable.
    """
    chunk_size = _check_sizes(query, bank, ks, chunk_size)
    for temperature in temperatures:
        # exp(1 / T), the largest weight, must be a float64.
        if not 1 / 700 < temperature < math.inf:
            raise ValueError(f'kNN: temperature = {temperature} is not usable; give 0.002 or more')
    bank_labels = check_labels('bank_labels', bank_labels, bank, num_classes)
    for start in range(0, len(query), chunk_size):
        rows = slice(start, start + chunk_size)
        similarity = _cosine(query[rows], bank)  # (q, M)
        nearest, index = similarity.topk(max(ks), dim=1)  # (q, k), most similar first
        labels = bank_labels[index]  # (q, k)
        scores = {}
        for k in ks:
            edge = nearest[:, k - 1 : k]  # (q, 1)
            at_edge = nearest[:, :k] == edge
            places = edge.new_zeros(len(edge), num_classes, dtype=torch.float64)
            places.scatter_add_(1, labels[:, :k], at_edge.double())
            _share_places(places, similarity == edge, at_edge.sum(1), bank_labels)
            for temperature in temperatures:
                votes = torch.exp(nearest[:, :k].double() / temperature) * ~at_edge
                score = places * torch.exp(edge.double() / temperature)
                scores[k, temperature] = score.scatter_add_(1, labels[:, :k], votes)
        yield rows, scores


def knn_accuracy(
    query: Tensor,
    query_labels: Tensor,
    bank: Tensor,
    bank_labels: Tensor,
    num_classes: int,
    k: int = 200,
    temperature: float = 0.1,
    chunk_size: int = 1024,
) -> dict[str, float]:
    """Measure how often the vote of :func:`knn_scores` names the right class.

    A class without a vote is never counted as named, and of classes with equal scores the lower
    index comes first. Returns ``top1`` and, for more than five classes, ``top5``, in percent.
    """
    query_labels = check_labels('query_labels', query_labels, query, num_classes)
    chunks = knn_scores(query, bank, bank_labels, num_classes, [k], [temperature], chunk_size)
    ranks = [_rank_of_label(scores[k, temperature], query_labels[rows]) for rows, scores in chunks]
    return top_accuracy(torch.cat(ranks), num_classes)


def knn_sweep(
    query: Tensor,
    query_labels: Tensor,
    bank: Tensor,
    bank_labels: Tensor,
    num_classes: int,
    ks: Sequence[int],
    temperatures: Sequence[float],
    chunk_size: int = 1024,
) -> dict[tuple[int, float], float]:
    """Measure top-1 in percent by ``(k, temperature)``, comparing query and bank once.

    Each figure equals that of :func:`knn_accuracy`.
    """
    query_labels = check_labels('query_labels', query_labels, query, num_classes)
    chunks = knn_scores(query, bank, bank_labels, num_classes, ks, temperatures, chunk_size)
    ranks: dict = {(k, temperature): [] for k in ks for temperature in temperatures}
    for rows, scores in chunks:
        for key, found in ranks.items():
            found.append(_rank_of_label(scores[key], query_labels[rows]))
    return {key: top_accuracy(torch.cat(found), 1)['top1'] for key, found in ranks.items()}


def nearest_neighbours(query: Tensor, bank: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Find the k rows of the bank most similar to each query by cosine, the most similar first.

    Returns their indices, (Q, k), equally similar ones in the order of the bank, and their
    cosines, (Q, k), float64; all else as in :func:`knn_scores`.
    """
    indices, cosines = [], []
    for chunk in query.split(_check_sizes(query, bank, [k], 1024)):
        # A stable sort keeps the order of the bank among equals; topk does not.
        cosine, index = _cosine(chunk, bank).sort(dim=1, descending=True, stable=True)
        indices.append(index[:, :k])
        cosines.append(cosine[:, :k].double())
    return torch.cat(indices), torch.cat(cosines)


def _cosine(query: Tensor, bank: Tensor) -> Tensor:
    """Cosine similarity, (q, M), float32, in multiples of 2**-24.

    Products in float64 depend in their last bits on how the matrices are cut; after rounding
    equal rows are equally similar, wherever they stand.
    """
    query = F.normalize(query.double())
    blocks = []
    for block in bank.split(_BANK_BLOCK):
        cosine = query @ F.normalize(block.double()).T
        blocks.append(cosine.mul_(2**24).round_().float().mul_(2**-24))
    return torch.cat(blocks, dim=1)


def _share_places(places: Tensor, tied: Tensor, left: Tensor, bank_labels: Tensor) -> None:
    """Share places, (q, C), in place where more bank rows tie, (q, M), than are left, (q,)."""
    rivals = tied.sum(1)
    crowded = rivals > left
    if crowded.any():
        tied = tied[crowded].float()
        of_class = tied.new_zeros(len(tied), places.size(1)).index_add_(1, bank_labels, tied)
        places[crowded] = of_class.double() * (left / rivals.double())[crowded, None]


def _rank_of_label(scores: Tensor, labels: Tensor) -> Tensor:
    """Number of classes placed before the true one, (q,); C if that one has no vote."""
    own = scores.gather(1, labels[:, None])
    order = torch.arange(scores.size(1), device=scores.device)
    before = (scores > own) | ((scores == own) & (order < labels[:, None]))
    return before.sum(1).masked_fill(own[:, 0] <= 0, scores.size(1))


def _check_sizes(query: Tensor, bank: Tensor, ks: Sequence[int], chunk_size: int) -> int:
    """Refuse what does not fit; return ``chunk_size``, or fewer where the bank is large."""
    check_features('query features', query)
    check_features('bank features', bank)
    width, expected = query.size(1), bank.size(1)
    if width != expected:
        raise ValueError(f'kNN: query has width {width} and bank {expected}; use one model')
    for k in ks:
        if not 1 <= k <= len(bank):
            raise ValueError(f'kNN: k = {k} does not fit a bank of {len(bank)} rows')
    if chunk_size < 1:
        raise ValueError(f'kNN: chunk_size must be at least 1, got {chunk_size}')
    return max(1, min(chunk_size, _PAIRS // len(bank)))
