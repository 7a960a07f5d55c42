# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The rows of a bank that are most similar to each query: float32 finds them, float64 decides.

Cosines are taken in float64 and rounded to 2**-24: their last bits depend on how the matrices are
cut; after rounding equal rows are equally similar, wherever they stand. To compute all of them so
would take twice as long as float32, whose error is bounded: what it cannot tell apart is computed
again. Shapes: q queries, M bank rows, D feature width, k neighbours, S >= k rows on a shortlist.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from nasiam_mm.evaluation.checks import ENTRIES, check_features

# Entries that are gathered or widened at a time, so that they do not leave the processor's cache.
_CACHED = 2**17
_GROUP = 32  # columns
_STEP = 1024  # rows of the bank that a CPU multiplies at a time: their cosines stay in its cache
_SMALL = 32  # shortlists: of a bank no longer the largest are taken at once, as cheap as in steps
_LEAST = 1e-12  # length that F.normalize divides by


def _length(k: int) -> int:
    """Rows that a shortlist for the k nearest has: few more share float32's error with the last."""
    return k + max(16, k // 8)


class Shortlist(NamedTuple):
    """The rows nearest to each query, the nearest first, equal ones in the order of the bank."""

    index: Tensor  # (q, S), int64
    cosine: Tensor  # (q, S), float32, rounded
    is_whole: Tensor  # (q,): no other row is as similar as the k-th


class Bank:
    """Rows to look among, (M, D), taken ``block`` at a time."""

    def __init__(self, rows: Tensor, block: int) -> None:
        self.rows, self.block = rows, block

    def __len__(self) -> int:
        return len(self.rows)

    @cached_property
    def lengths(self) -> Tensor:
        """Lengths of the rows, (M,), float64."""
        count = min(len(self), max(1, min(ENTRIES, _CACHED) // self.rows.size(1)))
        # Room made once: what lives on between pieces that are freed would scatter the memory.
        wide = self.rows.new_empty(count, self.rows.size(1), dtype=torch.float64)
        found = wide.new_empty(len(self))
        for rows, place in zip(self.rows.split(count), found.split(count), strict=True):
            widened = wide[: len(rows)].copy_(rows)
            torch.linalg.vector_norm(widened, dim=1, out=place)
        return found.clamp_min_(_LEAST)

    def cosines(self, query: Tensor) -> Iterator[tuple[int, Tensor]]:
        """Yield the first row of each block and its cosines with the queries, (q, m), rounded."""
        query = F.normalize(query.double())
        for start in range(0, len(self), self.block):
            yield start, rounded(query @ F.normalize(self._block(start).double()).T)

    def _block(self, start: int) -> Tensor:
        return self.rows[start : start + self.block]

    def shortlist(self, query: Tensor, k: int) -> Shortlist:
        """Find the k most similar rows of each query, and those that float32 confuses with them."""
        query = F.normalize(query.double())
        size = min(len(self), _length(k))
        coarse, index = self._coarse(query.float(), size)
        # In float32, summed in any order: D roundings of 2**-24 of the product, half as many of a
        # length, some of the vectors, and that of the exact cosine to a multiple of 2**-24.
        error = (1.5 * query.size(1) + 16) * 2**-24
        is_whole = coarse[:, k - 1] - coarse[:, -1] > 2 * error
        is_whole |= size == len(self)
        index = index.sort(1).values
        cosine = self._exact(query, index)
        # A stable sort keeps the order of the bank among equals.
        cosine, order = cosine.sort(dim=1, descending=True, stable=True)
        return Shortlist(index.gather(1, order), cosine, is_whole)

    def _exact(self, query: Tensor, index: Tensor) -> Tensor:
        """Return the cosines of unit queries, (q, D), float64, with rows of each, (q, S)."""
        entries, width = min(ENTRIES, _CACHED), query.size(1)
        columns = max(1, min(index.size(1), entries // width))
        count = max(1, entries // (width * columns))
        # Written to again and again: fresh memory costs more than what is done with it.
        near = self.rows.new_empty(count * columns, width)
        wide = near.new_empty(near.shape, dtype=torch.float64)
        products = wide.new_empty(index.shape)
        for start in range(0, len(index), count):
            units = query[start : start + count, :, None]
            for first in range(0, index.size(1), columns):
                places = (slice(start, start + count), slice(first, first + columns))
                rows = index[places]
                found, widened = near[: rows.numel()], wide[: rows.numel()]
                torch.index_select(self.rows, 0, rows.flatten(), out=found)
                widened.copy_(found)
                products[places] = torch.bmm(widened.view(*rows.shape, width), units)[..., 0]
        return rounded(products / self.lengths[index])

    def _coarse(self, query: Tensor, size: int) -> tuple[Tensor, Tensor]:
        """Return the largest cosines in float32, (q, S), the largest first, and their rows."""
        best = query.new_empty(len(query), 0)
        index = torch.empty_like(best, dtype=torch.long)
        # A step has the shortlist's rows where it can, so that the first finds what is least.
        least = len(self) if len(self) <= _SMALL * size else _STEP
        step = min(self.block, max(least, size)) if query.is_cpu else self.block
        values, places, due = [best], [index], 0
        with _full_precision():
            for start in range(0, len(self), step):
                rows = self.rows[start : start + step]
                rows = rows if rows.dtype == torch.float64 else rows.float()
                unit = F.normalize(rows).float()
                # Not named here, so that it is freed where it has been looked through.
                near, place = _above(query @ unit.T, best[:, size - 1 :], size)
                values.append(near)
                places.append(place.add_(start))
                done = start + len(rows)
                if done < min(due, len(self)):
                    continue
                best, index = torch.cat(values, 1), torch.cat(places, 1)
                best, order = best.topk(min(size, best.size(1)))
                index = index.gather(1, order)
                values, places = [best], [index]
                # What is least rises slowly once many are seen; what is above it is bounded.
                due = done + min(done, self.block) if best.size(1) == size else 0
        return best, index


def _above(cosine: Tensor, least: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Return the entries of each row of (q, m) above ``least``, (q, 1), and their columns.

    Where ``least`` is empty the ``size`` largest; else as many columns as the fullest row needs,
    -inf where a row has fewer.
    """
    if not least.size(1):
        return cosine.topk(min(size, cosine.size(1)), sorted=False)
    # A group is looked into where its largest is above: most have none.
    length = _GROUP if cosine.size(1) % _GROUP == 0 else 1
    groups = cosine.unflatten(1, (-1, length))
    row, group = (groups.amax(2) > least).nonzero(as_tuple=True)
    values = groups[row, group]
    hit, within = (values > least[row]).nonzero(as_tuple=True)
    row, column, value = row[hit], group[hit] * length + within, values[hit, within]
    count = len(cosine)
    del cosine, groups, values
    counts = row.bincount(minlength=count)
    place = torch.arange(len(row), device=row.device) - (counts.cumsum(0) - counts)[row]
    near = value.new_full((count, int(counts.max())), float('-inf'))
    columns = torch.zeros_like(near, dtype=torch.long)
    near[row, place], columns[row, place] = value, column
    return near, columns


def rounded(cosine: Tensor) -> Tensor:
    """Round float64 in place to multiples of 2**-24, which float32 holds exactly."""
    return cosine.mul_(2**24).round_().float().mul_(2**-24)


@contextmanager
def _full_precision() -> Iterator[None]:
    """Let no product be computed in TF32 or bfloat16, as a run may have it."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision('highest')
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def nearest_neighbours(query: Tensor, bank: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Find the k rows of the bank most similar to each query by cosine, the most similar first.

    Takes features of the queries, (Q, D), and of the bank, (M, D), L2-normalised here. Returns
    the indices, (Q, k), equally similar ones in the order of the bank, and the cosines, (Q, k),
    float64; ValueError for what does not fit.
    """
    chunk_size, block = check_sizes(query, bank, [k], 1024, 16384, k)
    rows = Bank(bank, block)
    found = [_first(chunk, rows, k) for chunk in query.split(chunk_size)]
    return torch.cat([index for index, _ in found]), torch.cat([c.double() for _, c in found])


def _first(query: Tensor, bank: Bank, k: int) -> tuple[Tensor, Tensor]:
    """Return the indices of the k most similar rows, (q, k), and their cosines."""
    near = bank.shortlist(query, k)
    index, cosine = near.index[:, :k].clone(), near.cosine[:, :k].clone()
    if not near.is_whole.all():
        some = ~near.is_whole
        best = cosine[some][:, :0]
        rows = index[some][:, :0]
        for start, more in bank.cosines(query[some]):
            place = torch.arange(start, start + more.size(1), device=more.device)
            order = torch.cat([best, more], 1).sort(dim=1, descending=True, stable=True)
            best, order = (part[:, :k] for part in order)
            rows = torch.cat([rows, place.expand(len(more), -1)], 1).gather(1, order)
        index[some], cosine[some] = rows, best
    return index, cosine


def check_sizes(
    query: Tensor, bank: Tensor, ks: Sequence[int], chunk_size: int, bank_block: int, held: int
) -> tuple[int, int]:
    """Refuse what does not fit; return the queries and the bank rows to compare at a time.

    ``held`` is the number of entries that each query needs besides.
    """
    check_features('query features', query)
    check_features('bank features', bank)
    width, expected = query.size(1), bank.size(1)
    if width != expected:
        raise ValueError(f'kNN: query has width {width} and bank {expected}; use one model')
    for k in ks:
        if not 1 <= k <= len(bank):
            raise ValueError(f'kNN: k = {k} does not fit a bank of {len(bank)} rows')
    for name, value in (('chunk_size', chunk_size), ('bank_block', bank_block)):
        if value < 1:
            raise ValueError(f'kNN: {name} must be at least 1, got {value}')
    held = max(held, _length(max(ks)))
    chunk_size = max(1, min(chunk_size, ENTRIES // max(width, held)))
    return chunk_size, max(1, min(bank_block, ENTRIES // max(width, chunk_size)))
