# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Weighted nearest-neighbour classification of features (Wu et al., 2018).

Shapes: Q queries, M bank rows, D feature width, C classes, k neighbours.
"""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from nasiam_mm.evaluation.checks import check_labels, top_accuracy
from nasiam_mm.evaluation.neighbours import Bank, check_sizes


def knn_scores(
    query: Tensor,
    bank: Tensor,
    bank_labels: Tensor,
    num_classes: int,
    ks: Sequence[int],
    temperatures: Sequence[float],
    chunk_size: int = 1024,
    bank_block: int = 16384,
) -> Iterator[tuple[slice, dict[tuple[int, float], Tensor]]]:
    """Score the classes of each query by a weighted vote of its k nearest neighbours.

    ``score(c) = sum over the k neighbours i with label c of exp(cos(query, bank_i) / T)``
    ("Unsupervised Feature Learning via Non-Parametric Instance Discrimination", Wu et al., CVPR
    2018, section 3.4). Cosines are computed in float64 and rounded to 2**-24, and rows exactly as
    similar as the k-th neighbour share the places left to them equally, so that neither
    ``chunk_size``, ``bank_block`` nor the order of the bank changes a score.

    Takes features on one device, L2-normalised here, of the queries, (Q, D), and of labelled
    images, (M, D), and the class indices of these, (M,). Small temperatures, T > 0, trust the
    nearest most; ``chunk_size`` queries at most are compared with ``bank_block`` rows of the bank
    at a time, with fewer where D, C or k is large: the memory does not grow with Q and M.

    Yields:
        The rows of a chunk of queries and its scores, (q, C), float64, by ``(k, temperature)``;
        ValueError for what is not usable.
    """
    held = max(num_classes * len(ks) * (1 + len(temperatures)), *ks)
    chunk_size, bank_block = check_sizes(query, bank, ks, chunk_size, bank_block, held)
    for temperature in temperatures:
        # exp(1 / T), the largest weight, must be a float64.
        if not 1 / 700 < temperature < math.inf:
            raise ValueError(f'kNN: temperature = {temperature} is not usable; give 0.002 or more')
    bank_labels = check_labels('bank_labels', bank_labels, bank, num_classes)
    among = Bank(bank, bank_block)
    for start in range(0, len(query), chunk_size):
        rows = slice(start, start + chunk_size)
        found = _neighbours(query[rows], among, bank_labels, num_classes, ks)
        nearest, labels, ties = found
        scores = {}
        for k in ks:
            edge = nearest[:, k - 1 : k]  # (q, 1)
            at_edge = nearest[:, :k] == edge
            shares = at_edge.sum(1) / ties[k].sum(1).double()  # of a place, to each that ties
            places = ties[k].double() * shares[:, None]  # (q, C)
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
    **blocks: int,
) -> dict[str, float]:
    """Measure how often the vote of :func:`knn_scores` names the right class.

    A class without a vote is never counted as named, and of classes with equal scores the lower
    index comes first. Returns ``top1`` and, for more than five classes, ``top5``, in percent;
    ``blocks`` are ``chunk_size`` and ``bank_block``.
    """
    given = (query, query_labels, bank, bank_labels, num_classes)
    return top_accuracy(knn_ranks(*given, k, temperature, **blocks), num_classes)


def knn_ranks(
    query: Tensor,
    query_labels: Tensor,
    bank: Tensor,
    bank_labels: Tensor,
    num_classes: int,
    k: int,
    temperature: float,
    **blocks: int,
) -> Tensor:
    """Count the classes that the vote places before the right one, (Q,): 0 where it names that.

    C where that one has no vote; all else as in :func:`knn_accuracy`.
    """
    query_labels = check_labels('query_labels', query_labels, query, num_classes)
    chunks = knn_scores(query, bank, bank_labels, num_classes, [k], [temperature], **blocks)
    ranks = [_rank_of_label(scores[k, temperature], query_labels[rows]) for rows, scores in chunks]
    return torch.cat(ranks)


def knn_sweep(
    query: Tensor,
    query_labels: Tensor,
    bank: Tensor,
    bank_labels: Tensor,
    num_classes: int,
    ks: Sequence[int],
    temperatures: Sequence[float],
    **blocks: int,
) -> dict[tuple[int, float], float]:
    """Measure top-1 in percent by ``(k, temperature)``, comparing query and bank once.

    Each figure equals that of :func:`knn_accuracy`.
    """
    query_labels = check_labels('query_labels', query_labels, query, num_classes)
    chunks = knn_scores(query, bank, bank_labels, num_classes, ks, temperatures, **blocks)
    ranks: dict = {(k, temperature): [] for k in ks for temperature in temperatures}
    for rows, scores in chunks:
        for key, found in ranks.items():
            found.append(_rank_of_label(scores[key], query_labels[rows]))
    return {key: top_accuracy(torch.cat(found), 1)['top1'] for key, found in ranks.items()}


def _neighbours(
    query: Tensor, bank: Bank, bank_labels: Tensor, num_classes: int, ks: Sequence[int]
) -> tuple[Tensor, Tensor, dict[int, Tensor]]:
    """Return the largest cosines and their labels, (q, max k), the largest first.

    Further, by k, how many bank rows of each class are exactly as similar as the k-th, (q, C).
    """
    near = bank.shortlist(query, max(ks))
    labels = bank_labels[near.index]
    ties = {k: labels.new_zeros(len(query), num_classes) for k in ks}
    for k, counts in ties.items():
        _count(counts, near.cosine == near.cosine[:, k - 1 : k], labels)
    nearest, labels = near.cosine[:, : max(ks)], labels[:, : max(ks)]
    if not near.is_whole.all():
        some = ~near.is_whole
        found = _exhaustive(query[some], bank, bank_labels, num_classes, ks)
        nearest[some], labels[some] = found[:2]
        for k, counts in ties.items():
            counts[some] = found[2][k]
    return nearest, labels, ties


def _exhaustive(
    query: Tensor, bank: Bank, bank_labels: Tensor, num_classes: int, ks: Sequence[int]
) -> tuple[Tensor, Tensor, dict[int, Tensor]]:
    """Return what :func:`_neighbours` does, for queries with any number of rows equally near."""
    ties = {k: bank_labels.new_zeros(len(query), num_classes) for k in ks}
    nearest = query.new_empty(len(query), 0, dtype=torch.float32)
    labels = bank_labels.new_empty(nearest.shape)
    for start, cosine in bank.cosines(query):
        before, before_labels, new = nearest, labels, bank_labels[start : start + bank.block]
        best, index = cosine.topk(min(max(ks), cosine.size(1)))
        nearest, labels = torch.cat([before, best], 1), torch.cat([labels, new[index]], 1)
        nearest, order = nearest.topk(min(max(ks), nearest.size(1)))
        labels = labels.gather(1, order)
        for k in (k for k in ks if k <= nearest.size(1)):
            edge = nearest[:, k - 1 : k]
            # Rows seen before that are nearer than the k-th of them were are all among the held.
            rises = before[:, k - 1 : k] != edge if k <= before.size(1) else edge == edge
            counts = ties[k].masked_fill_(rises, 0)
            _count(counts, (before == edge) & rises, before_labels)
            _count(counts, cosine == edge, new.expand_as(cosine))
    return nearest, labels, ties


def _count(counts: Tensor, chosen: Tensor, labels: Tensor) -> None:
    """Add to ``counts``, (q, C), the labels, (q, m), of what is chosen, (q, m)."""
    rows, columns = chosen.nonzero(as_tuple=True)
    place = rows * counts.size(1) + labels[rows, columns]
    counts.view(-1).index_add_(0, place, torch.ones_like(place))


def _rank_of_label(scores: Tensor, labels: Tensor) -> Tensor:
    """Number of classes placed before the true one, (q,); C if that one has no vote."""
    own = scores.gather(1, labels[:, None])
    order = torch.arange(scores.size(1), device=scores.device)
    before = (scores > own) | ((scores == own) & (order < labels[:, None]))
    return before.sum(1).masked_fill(own[:, 0] <= 0, scores.size(1))
