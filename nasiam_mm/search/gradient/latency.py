# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Measured costs of candidates: a table of milliseconds, made once and kept as a file."""

import os
import statistics
import time
from typing import Any

import torch
from torch import Tensor, nn

from nasiam_mm.architecture.alpha import Architecture
from nasiam_mm.files.regular import read_json
from nasiam_mm.ops.candidates import build_at, distinct_candidates
from nasiam_mm.ops.shapes import Shape


@torch.no_grad()
def op_latency(
    name: str, shape: Shape, batch: int = 16, repeats: int = 20, device: str = 'cpu'
) -> float:
    """Measure one forward pass of a registered operation, evaluating: the median, milliseconds."""
    op = build_at(name, shape).eval().to(device)
    inputs, seconds = torch.randn(batch, *shape.taken[1:], device=device), []
    for _ in range(repeats + 3):  # the first ones warm up
        _wait(device)
        began = time.perf_counter()
        op(inputs)
        _wait(device)
        seconds.append(time.perf_counter() - began)
    return 1000 * statistics.median(seconds[3:])


def _wait(device: str) -> None:
    if device.startswith('cuda'):
        torch.cuda.synchronize(device)


def latency_table(model: nn.Module, **settings: Any) -> dict[str, Any]:
    """Measure every candidate of a searched model: what ``ExpectedCost.table`` reads.

    ``settings`` are those of :func:`op_latency`. Cells of a group are summed.
    """
    costs: dict[str, dict[str, float]] = {}
    measured: dict[tuple[str, Shape], float] = {}
    for group, cells in model.searched_cells().items():
        for cell in cells:
            for n, shape in enumerate(cell.shapes):
                row = costs.setdefault(f'{group}.{n}.op', {})
                for k, label in distinct_candidates(cell.space, shape).items():
                    if (label, shape) not in measured:
                        measured[label, shape] = op_latency(label, shape, **settings)
                    option = cell.space[k]
                    row[option] = row.get(option, 0.0) + measured[label, shape]
    told = {'threads': torch.get_num_threads(), 'torch': torch.__version__, **settings}
    return {'unit': 'milliseconds', 'measured': told, 'costs': costs}


def read_table(path: str | os.PathLike, owner: Architecture) -> dict[str, Tensor]:
    """Read such a table: group -> costs of its options, (L, K), 0 for no candidate.

    Raises:
        ValueError: If it lacks a candidate of a search, or a cost is no number from 0 up.
    """
    data = read_json(path)
    costs = data.get('costs') if isinstance(data, dict) else None
    if not isinstance(costs, dict):
        raise ValueError(f"'{path}' is no table of costs; make one by op_latency.py")
    tables = {}
    for group, choices in owner.choices.items():
        tables[group] = torch.zeros(len(choices), len(choices[0].options), dtype=torch.float64)
        for n, choice in enumerate(choices):
            row = costs.get(choice.name)
            for k, option in enumerate(choice.options):
                if not choice.present[k]:
                    continue
                value: Any = row.get(option) if isinstance(row, dict) else None
                if type(value) not in (int, float) or not 0 <= value < float('inf'):
                    what = f"'{path}' has no cost of {option} at {choice.name}, got {value!r:.40}"
                    raise ValueError(f'{what}; measure the space of this recipe')
                tables[group][n, k] = value
    return tables
