# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Mixing weights over a search: their file, and a picture.

A history is the mixing weights by cell, (T, L, K) for T epochs, L layers and K operations of the
space, NaN where an operation is no candidate of a layer. Those of a softmax sum to 1, gates do not.
"""

import json
import math
import os
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from nasiam_mm.files.atomic import write_text
from nasiam_mm.files.regular import read_json
from nasiam_mm.report.pictures.figure import check_picture_path, op_colors, save_figure

_MOST_CHARACTERS = 200  # of a name; to lay out long ones takes for ever

# By cell: the names of the operations by layer and place in the space, L x K, None where absent.
Candidates = Mapping[str, Sequence[Sequence[str | None]]]
History = Mapping[str, Any]


def save_alpha_history(
    history: History, candidates: Candidates, epochs: Sequence[int], path: str | os.PathLike
) -> None:
    """Write the history of T increasing epochs as JSON, whole or not at all.

    The form is ``{"epochs": [0, ...], "cells": {"projector": {"candidates": [["linear_bn_relu",
    null, ...], ...], "softmax": [[[0.5, null, ...], ...], ...]}}}`` with null for an absentee.

    Raises:
        ValueError: If the arguments do not fit each other.
    """
    cells = {
        cell: {
            'candidates': [list(row) for row in candidates[cell]],
            'softmax': np.where(np.isnan(array), None, array).tolist(),  # type: ignore
        }
        for cell, array in _checked(history, candidates, epochs).items()
    }
    text = json.dumps({'epochs': [int(e) for e in epochs], 'cells': cells}, allow_nan=False)
    write_text(text + '\n', path)


def load_alpha_history(
    path: str | os.PathLike,
) -> tuple[dict[str, np.ndarray], dict[str, list[list[str | None]]], list[int]]:
    """Read history, candidates and epochs from a file of :func:`save_alpha_history`.

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it cannot be read or does not have that form.
    """
    try:
        data = read_json(path)
        if not isinstance(data, dict) or set(data) != {'epochs', 'cells'}:
            raise ValueError('needs epochs and cells')
        epochs, cells = data['epochs'], data['cells']
        if not _is_nested(epochs, 1, int):
            raise ValueError('epochs must be a list of integers')
        if not isinstance(cells, dict):
            raise ValueError('cells must be an object')
        for name, cell in cells.items():
            if not isinstance(cell, dict) or set(cell) != {'candidates', 'softmax'}:
                raise ValueError(f'cells.{name} needs candidates and softmax')
            if not _is_nested(cell['candidates'], 2, (str, type(None))):
                raise ValueError(f'cells.{name}.candidates must be lists of names or null')
            names = [name, *(n for row in cell['candidates'] for n in row if n is not None)]
            if not all(names):
                raise ValueError('a name is empty')
            if max(map(len, names)) > _MOST_CHARACTERS:
                raise ValueError(f'a name has more than {_MOST_CHARACTERS} characters')
            if not _is_nested(cell['softmax'], 3, (int, float, type(None))):
                raise ValueError(
                    f'cells.{name}.softmax must be lists of lists of numbers or null, by epoch'
                )
        candidates = {name: cell['candidates'] for name, cell in cells.items()}
        # numpy takes null for NaN.
        history = {name: np.array(cell['softmax'], float) for name, cell in cells.items()}
        return _checked(history, candidates, epochs), candidates, epochs
    except FileNotFoundError:
        raise FileNotFoundError(
            f"alpha history '{path}' does not exist; a search writes it to its work directory"
        ) from None
    except (OSError, ValueError, OverflowError) as error:
        raise ValueError(f"alpha history '{path}': {error}") from None


def _is_nested(value: Any, depth: int, kinds: type | tuple) -> bool:
    """Tell whether a value of JSON is lists of lists of values of some kinds."""
    if depth == 0:
        return isinstance(value, kinds) and not isinstance(value, bool)
    return isinstance(value, list) and all(_is_nested(item, depth - 1, kinds) for item in value)


def _checked(
    history: History, candidates: Candidates, epochs: Sequence[int]
) -> dict[str, np.ndarray]:
    """Return the history as arrays (T, L, K) of float64; ValueError if something does not fit."""
    if not history or set(history) != set(candidates):
        raise ValueError(
            f'history has the cells {sorted(history)}, candidates {sorted(candidates)}; '
            'both must name the same, at least one'
        )
    if not len(epochs) or any(b <= a for a, b in pairwise((-1, *epochs, 2**53))):
        raise ValueError(f'epochs must increase from 0, at least one, got {list(epochs)!s:.60}')
    arrays = {}
    for cell, values in history.items():
        names = candidates[cell]
        if len({len(row) for row in names}) != 1:
            raise ValueError(f'cells.{cell}.candidates must be layers of equal length')
        array, where = np.asarray(values, dtype=np.float64), f'cells.{cell}.softmax'
        expected = (len(epochs), len(names), len(names[0]))
        if array.shape != expected:
            raise ValueError(
                f'{where} has shape {array.shape}, but {expected[0]} epochs of {expected[1]} '
                f'layers and {expected[2]} operations need {expected}'
            )
        for (t, n, k), value in np.ndenumerate(array):
            place = f'{where}[{t}][{n}][{k}]'
            if names[n][k] is not None and not 0 <= value <= 1:
                raise ValueError(f'{place} must be from 0 to 1, got {value}')
            if names[n][k] is None and not math.isnan(value):
                raise ValueError(f'{place} is {value}, but that layer lacks the operation')
        arrays[cell] = array
    return arrays


def plot_alpha(
    history: History, candidates: Candidates, epochs: Sequence[int], path: str | os.PathLike
) -> None:
    """Plot the mixing weights of every layer over the epochs of a search, to .png or .svg.

    One panel a layer, one colour an operation, all on one scale from 0; the dotted line is the
    uniform weight at which a search begins. Gates, which do not sum to 1, have none. What ends
    above all others is thick, with a dot at its end; where several do, none is.

    Raises:
        ValueError: If the arguments do not fit each other, or the suffix is another.
    """
    check_picture_path(path)
    save_figure(alpha_figure(history, candidates, epochs), path)


def alpha_figure(history: History, candidates: Candidates, epochs: Sequence[int]) -> Figure:
    """Draw what :func:`plot_alpha` writes."""
    arrays = _checked(history, candidates, epochs)
    sums_to_1 = all(np.allclose(np.nansum(a, -1), 1, atol=1e-3) for a in arrays.values())
    colors = op_colors(name for rows in candidates.values() for row in rows for name in row if name)
    columns = max(array.shape[1] for array in arrays.values())
    width = max(1.75 * columns, 4.4) + 0.8
    figure = Figure(figsize=(width, 1.75 * len(arrays) + 1.4), layout='constrained')
    axes = figure.subplots(len(arrays), columns, sharex=True, sharey=True, squeeze=False)
    axes[0, 0].set_ylim(0, min(1.02, 1.15 * max(np.nanmax(array) for array in arrays.values())))
    has_winner = False
    alone = 'o' if len(epochs) == 1 else None  # a single epoch has no line to draw
    for (cell, array), row in zip(arrays.items(), axes, strict=True):
        for n, axis in enumerate(row):
            if n >= array.shape[1]:
                axis.set_axis_off()
                continue
            names = candidates[cell][n]
            won = _winner(array[-1, n])
            for k, name in enumerate(names):
                if name is not None:
                    width_of = 3.0 if k == won else 1.2
                    style = dict(color=colors[name], lw=width_of, marker=alone, ms=4)
                    axis.plot(epochs, array[:, n, k], **style)
                    if k == won:
                        axis.scatter(epochs[-1], array[-1, n, k], s=30, color=colors[name])
                        has_winner = True
            if sums_to_1:
                axis.axhline(1 / sum(map(bool, names)), color='0.35', lw=0.9, ls=':')
            axis.set_title(f'{cell} {n}', fontsize=9)
            axis.tick_params(labelsize=7)
            axis.spines[['top', 'right']].set_visible(False)
            axis.grid(axis='y', color='0.92', lw=0.6)
            axis.set_axisbelow(True)  # a grid line would cross the dots
            axis.xaxis.set_major_locator(MaxNLocator(nbins=4, integer=True))
        row[0].set_ylabel('weight', fontsize=8)
    figure.suptitle('Mixing weights by epoch', fontsize=10)
    for axis in axes[-1]:
        axis.set_xlabel('epoch', fontsize=8)
    handles = [Line2D([], [], color=color, lw=2, label=name) for name, color in colors.items()]
    if sums_to_1:
        handles.append(Line2D([], [], color='0.35', lw=0.9, ls=':', label='uniform, 1 / K'))
    if has_winner:
        label = 'thick: highest at the end'
        handles.append(Line2D([], [], color='0.35', lw=3, marker='o', ms=5, label=label))
    columns = max(min(len(handles), int(width / 1.75)), 1)
    figure.legend(
        handles=handles, loc='outside lower center', ncols=columns, fontsize=8, frameon=False
    )
    return figure


def _winner(weights: np.ndarray) -> int | None:
    """Return the place of the highest of weights, (K,), None where several are as high."""
    there = np.nan_to_num(weights, nan=-1.0)
    best = int(there.argmax())
    others = np.delete(there, best)
    return best if not len(others) or there[best] - others.max() > 1e-6 else None
