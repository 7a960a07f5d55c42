# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Architecture parameters over a search: numbers, their file, and a picture.

Shapes: T epochs, L layers, K operations of the space. A history is the softmax
of alpha by cell, (T, L, K), NaN where an operation is no candidate of a layer.
"""

import json
import math
import os
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from nasiam_mm.architecture.measures import alpha_entropy
from nasiam_mm.files.atomic import atomic_path
from nasiam_mm.report.pictures.figure import (
    check_picture_path,
    op_colors,
    save_figure,
)

Candidates = Mapping[str, Sequence[Sequence[str | None]]]
History = Mapping[str, Any]


def _checked(
    history: History, candidates: Candidates, epochs: Sequence[int]
) -> dict[str, np.ndarray]:
    """Return the history as arrays (T, L, K) of float64.

    Raises:
        ValueError: If cells, shapes, absent candidates or values do not fit.
    """
    if not history or set(history) != set(candidates):
        raise ValueError(
            f'history has the cells {sorted(history)}, candidates {sorted(candidates)}; '
            'both must name the same, at least one'
        )
    if not len(epochs) or any(b <= a for a, b in pairwise(epochs)):
        raise ValueError(f'epochs must increase, at least one, got {list(epochs)!s:.60}')
    arrays = {}
    for cell, values in history.items():
        names = candidates[cell]
        widths = {len(row) for row in names}
        if len(widths) != 1:
            raise ValueError(f'cells.{cell}.candidates must be layers of equal length')
        array = np.asarray(values, dtype=np.float64)
        expected = (len(epochs), len(names), widths.pop())
        if array.shape != expected:
            raise ValueError(
                f'cells.{cell}.softmax has shape {array.shape}, but {expected[0]} epochs of '
                f'{expected[1]} layers and {expected[2]} operations need {expected}'
            )
        present = np.array([[name is not None for name in row] for row in names])
        for (t, n, k), value in np.ndenumerate(array):
            place = f'cells.{cell}.softmax[{t}][{n}][{k}]'
            if present[n, k] and not 0 <= value <= 1:
                raise ValueError(f'{place} must be from 0 to 1, got {value}')
            if not present[n, k] and not math.isnan(value):
                raise ValueError(f'{place} is {value}, but that layer lacks the operation')
        for (t, n), total in np.ndenumerate(np.nansum(array, axis=2)):
            if abs(total - 1) > 1e-3:
                raise ValueError(f'cells.{cell}.softmax[{t}][{n}] sums to {total:.6g}, not to 1')
        arrays[cell] = array
    return arrays


def save_alpha_history(
    history: History, candidates: Candidates, epochs: Sequence[int], path: str | os.PathLike
) -> None:
    """Write a history as JSON, whole or not at all.

    The form is ``{"epochs": [0, ...], "cells": {"projector": {"candidates":
    [["linear_bn_relu", null, ...], ...], "softmax": [[[0.5, null, ...], ...],
    ...]}}}`` with null where an operation is no candidate of a layer.

    Args:
        history: Cell -> softmax of alpha, (T, L, K), NaN where absent.
        candidates: Cell -> names by layer and position in the space, L x K.
        epochs: T increasing epochs.
        path: File to write.

    Raises:
        ValueError: If the arguments do not fit each other.
    """
    cells = {
        cell: {
            'candidates': [list(row) for row in candidates[cell]],
            'softmax': [
                [[None if math.isnan(x) else x for x in row] for row in layers]
                for layers in array.tolist()
            ],
        }
        for cell, array in _checked(history, candidates, epochs).items()
    }
    text = json.dumps({'epochs': [int(e) for e in epochs], 'cells': cells}, allow_nan=False)
    with atomic_path(path) as temporary:
        temporary.write_text(text + '\n', encoding='utf-8')


def load_alpha_history(
    path: str | os.PathLike,
) -> tuple[dict[str, np.ndarray], dict[str, list[list[str | None]]], list[int]]:
    """Read and validate a file written by :func:`save_alpha_history`.

    Returns:
        tuple: History, candidates and epochs, as in :func:`save_alpha_history`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read or does not have that form.
    """

    def need(good: bool, what: str) -> None:
        if not good:
            raise ValueError(what)

    def matrix(value: Any, kinds: tuple[type, ...]) -> bool:
        return isinstance(value, list) and all(
            isinstance(row, list)
            and all(isinstance(x, kinds) and not isinstance(x, bool) for x in row)
            for row in value
        )

    try:
        data = json.loads(Path(path).read_text(encoding='utf-8'))
        need(isinstance(data, dict) and set(data) == {'epochs', 'cells'}, 'needs epochs and cells')
        epochs, cells = data['epochs'], data['cells']
        need(matrix([epochs], (int,)), 'epochs must be a list of integers')
        need(isinstance(cells, dict), 'cells must be an object')
        for name, cell in cells.items():
            need(
                isinstance(cell, dict) and set(cell) == {'candidates', 'softmax'},
                f'cells.{name} needs candidates and softmax',
            )
            need(
                matrix(cell['candidates'], (str, type(None))),
                f'cells.{name}.candidates must be lists of names or null',
            )
            need(
                isinstance(cell['softmax'], list)
                and all(matrix(rows, (int, float, type(None))) for rows in cell['softmax']),
                f'cells.{name}.softmax must be lists of lists of numbers or null',
            )
        candidates = {name: cell['candidates'] for name, cell in cells.items()}
        softmax = {
            name: [
                [[math.nan if x is None else x for x in row] for row in rows]
                for rows in cell['softmax']
            ]
            for name, cell in cells.items()
        }
        return _checked(softmax, candidates, epochs), candidates, epochs
    except FileNotFoundError:
        raise FileNotFoundError(
            f"alpha history '{path}' does not exist; a search writes it to its work directory"
        ) from None
    except (OSError, ValueError, OverflowError, RecursionError) as error:
        raise ValueError(f"alpha history '{path}': {error}") from None


def alpha_figure(history: History, candidates: Candidates, epochs: Sequence[int]) -> Figure:
    """Draw what :func:`plot_alpha` writes."""
    arrays = _checked(history, candidates, epochs)
    names = [name for rows in candidates.values() for row in rows for name in row if name]
    colors = op_colors(names)
    columns = max(array.shape[1] for array in arrays.values())
    figure = Figure(
        figsize=(max(1.75 * columns, 4.4) + 1.1, 1.75 * len(arrays) + 1.15), layout='constrained'
    )
    axes = figure.subplots(len(arrays), columns, sharex=True, squeeze=False)
    windows = _windows(arrays)
    for r, (cell, array) in enumerate(arrays.items()):
        for n in range(columns):
            axis = axes[r, n]
            if n >= array.shape[1]:
                axis.set_axis_off()
                continue
            _panel(axis, array[:, n], candidates[cell][n], epochs, colors)
            _entropy(axis, array[:, n], epochs, last=n == columns - 1)
            axis.set_title(f'{cell} {n}', fontsize=9)
            axis.set_ylim(windows[cell][n])
            lowest = all(n >= below.shape[1] for below in list(arrays.values())[r + 1 :])
            same = n > 0 and windows[cell][n] == windows[cell][n - 1]
            axis.tick_params(labelbottom=lowest, labelleft=not same)
        axes[r, 0].set_ylabel('softmax of alpha', fontsize=8)
    figure.supxlabel('epoch', fontsize=9)
    handles = [Line2D([], [], color=color, lw=2, label=name) for name, color in colors.items()]
    handles.append(
        Line2D([], [], color='0.35', lw=0.9, ls='--', label='entropy / ln K (right axis)')
    )
    figure.legend(
        handles=handles,
        loc='outside upper center',
        ncols=max(min(len(handles), int(figure.get_figwidth() / 1.75)), 1),
        fontsize=8,
        frameon=False,
    )
    return figure


def _windows(arrays: Mapping[str, np.ndarray]) -> dict[str, list[tuple[float, float]]]:
    """Choose the y limits of each panel; all span the same, so that slopes compare."""
    uniform = {cell: 1 / (~np.isnan(array[0])).sum(axis=1) for cell, array in arrays.items()}
    moved = max(np.nanmax(np.abs(a - uniform[cell][:, None])) for cell, a in arrays.items())
    if moved > 0.15:
        return {cell: [(-0.02, 1.02)] * a.shape[1] for cell, a in arrays.items()}
    # Weights that barely moved still show how they moved.
    half = max(1.1 * float(moved), 0.005)
    return {cell: [(u - half, u + half) for u in us.tolist()] for cell, us in uniform.items()}


def _panel(
    axis: Axes,
    weights: np.ndarray,
    names: Sequence[str | None],
    epochs: Sequence[int],
    colors: Mapping[str, str],
) -> None:
    for k, name in enumerate(names):
        if name is not None:
            # A single epoch has no line to draw.
            marker = 'o' if len(epochs) == 1 else None
            axis.plot(epochs, weights[:, k], color=colors[name], lw=1.6, marker=marker, ms=4)
    axis.tick_params(labelsize=7)
    axis.spines[['top', 'right']].set_visible(False)
    axis.grid(axis='y', color='0.92', lw=0.6)
    if len(epochs) == 1:
        axis.set_xticks(list(epochs))
    else:
        axis.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))


def _entropy(axis: Axes, weights: np.ndarray, epochs: Sequence[int], last: bool) -> None:
    twin = axis.twinx()
    count = int((~np.isnan(weights[0])).sum())
    if count > 1:
        entropy = alpha_entropy(weights) / math.log(count)
        marker = '_' if len(epochs) == 1 else None
        twin.plot(epochs, entropy, color='0.35', lw=0.9, ls='--', marker=marker)
    twin.set_ylim(-0.02, 1.02)
    twin.spines[['top', 'left']].set_visible(False)
    twin.tick_params(labelsize=7, labelright=last, right=last)
    twin.spines['right'].set_visible(last)


def plot_alpha(
    history: History, candidates: Candidates, epochs: Sequence[int], path: str | os.PathLike
) -> None:
    """Plot the mixing weights of every layer over the epochs of a search.

    One panel a layer, one colour an operation; the thin dashed line is the
    entropy as a fraction of ln K, K counting the candidates of that layer.

    Args:
        history: Cell -> softmax of alpha, (T, L, K), NaN where absent.
        candidates: Cell -> names by layer and position in the space, L x K,
            None where absent.
        epochs: T increasing epochs.
        path: Picture to write, .png or .svg.

    Raises:
        ValueError: If the arguments do not fit each other, or the suffix is
            neither .png nor .svg.
    """
    check_picture_path(path)
    save_figure(alpha_figure(history, candidates, epochs), path)
