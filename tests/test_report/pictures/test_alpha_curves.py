# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Entropy and margin in closed form, the history's file, and what the plot shows."""

import copy
import json
import math
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from nasiam_mm.architecture.alpha import Architecture
from nasiam_mm.architecture.choice import op_choices
from nasiam_mm.ops.candidates import SPACES, layer_shapes
from nasiam_mm.report.pictures.alpha_curves import (
    alpha_figure,
    load_alpha_history,
    plot_alpha,
    save_alpha_history,
)
from nasiam_mm.report.pictures.figure import op_colors
from nasiam_mm.search.recorder import alpha_entropy, margin
from tests.test_report.pictures.pictures import collisions, visible_texts

TOOL = Path(__file__).parents[3] / 'tools/analysis_tools/plot_alpha.py'
NAN = math.nan


def search(space='S', epochs=5, scale=2.0):
    """History of a made-up search of SimSiam's heads, as the genotype hook records it."""
    torch.manual_seed(0)
    shapes = {
        'projector': layer_shapes(8, [8] * 6),
        'predictor': layer_shapes(16, [8] * 3 + [16], True),
    }
    choices = {name: op_choices(name, SPACES[space], rows) for name, rows in shapes.items()}
    architecture = Architecture(choices)
    history, candidates = {}, {}
    for name, layers in choices.items():
        alpha, absent = architecture.alpha(name), ~architecture.present(name)
        drift = scale * torch.randn_like(alpha)
        rows = []
        for t in range(epochs):
            alpha.copy_(drift * t / max(epochs - 1, 1))
            rows.append(architecture.weights(name).masked_fill(absent, NAN))
        history[name] = torch.stack(rows)
        candidates[name] = [
            [option if here else None for option, here in zip(c.options, c.present, strict=True)]
            for c in layers
        ]
    return history, candidates, list(range(epochs))


def test_entropy_in_closed_form():
    weights = torch.tensor(
        [[0.25] * 4, [1, 0, 0, 0], [0.5, 0.5, 0, 0], [0.5, 0.25, 0.25, 0], [0.5, NAN, 0.5, NAN]]
    )
    ln2 = math.log(2)
    assert alpha_entropy(weights) == pytest.approx([2 * ln2, 0, ln2, 1.5 * ln2, ln2])
    assert not np.signbit(alpha_entropy(weights)).any()
    assert alpha_entropy(weights.numpy()[None]).shape == (1, 5)


def test_entropy_equals_that_of_torch():
    weights = torch.randn(6, 7, dtype=torch.double).softmax(1)
    expected = torch.distributions.Categorical(weights).entropy()
    assert alpha_entropy(weights) == pytest.approx(expected.numpy())


def test_margin():
    weights = torch.tensor(
        [[0.25] * 4, [0.1, 0.6, 0.3, 0.0], [NAN, 0.7, NAN, 0.3], [NAN, 1, NAN, NAN]]
    )
    assert margin(weights) == pytest.approx([0, 0.3, 0.4, 1.0])
    assert margin(torch.ones(2, 1)).tolist() == [1, 1]


def test_file_round_trip(tmp_path):
    history, candidates, epochs = search('S+')
    path = tmp_path / 'new' / 'alpha.json'
    save_alpha_history(history, candidates, epochs, path)
    read, names, times = load_alpha_history(path)
    assert names == candidates and times == epochs and list(read) == list(history)
    for name, array in read.items():
        assert np.array_equal(array, history[name].double().numpy(), equal_nan=True)
    assert [file.name for file in path.parent.iterdir()] == ['alpha.json']


def test_form_of_the_file(tmp_path):
    path = tmp_path / 'alpha.json'
    names = [['linear', None]]
    save_alpha_history({'projector': [[[1.0, NAN]]]}, {'projector': names}, [3], path)
    assert json.loads(path.read_text()) == {
        'epochs': [3],
        'cells': {'projector': {'candidates': names, 'softmax': [[[1.0, None]]]}},
    }


VALID = {
    'epochs': [0, 1],
    'cells': {
        'projector': {
            'candidates': [['linear_bn_relu', 'identity'], ['linear', None]],
            'softmax': [[[0.5, 0.5], [1, None]], [[0.25, 0.75], [1, None]]],
        }
    },
}
CELL = ('cells', 'projector')
MALFORMED = [
    (('epochs',), [], 'epochs must increase from 0, at least one, got []'),
    (('epochs',), [0, 10**400], 'epochs must increase from 0, at least one'),
    (('epochs',), [1, 1], 'epochs must increase from 0, at least one, got [1, 1]'),
    (('epochs',), [0, True], 'epochs must be a list of integers'),
    (('epochs',), 2, 'epochs must be a list of integers'),
    (('epochs',), [0, 1, 2], 'cells.projector.softmax has shape (2, 2, 2), but 3 epochs of'),
    (('epoch',), 1, 'needs epochs and cells'),
    (('cells',), {}, 'history has the cells [], candidates []'),
    (('cells',), [], 'cells must be an object'),
    ((*CELL, 'candidates'), [['x' * 10**5]], 'a name has more than 200 characters'),
    (CELL, {}, 'cells.projector needs candidates and softmax'),
    (CELL, None, 'cells.projector needs candidates and softmax'),
    ((*CELL, 'alpha'), [], 'cells.projector needs candidates and softmax'),
    ((*CELL, 'candidates'), 'S', 'cells.projector.candidates must be lists of names or null'),
    ((*CELL, 'candidates', 0, 0), '', 'a name is empty'),
    ((*CELL, 'candidates', 0, 0), 3, 'cells.projector.candidates must be lists of names or null'),
    ((*CELL, 'candidates', 0), ['a'], 'cells.projector.candidates must be layers of equal length'),
    ((*CELL, 'candidates'), [], 'cells.projector.candidates must be layers of equal length'),
    ((*CELL, 'softmax'), 1, 'cells.projector.softmax must be lists of lists of numbers'),
    ((*CELL, 'softmax', 0, 0, 0), '1', 'cells.projector.softmax must be lists of lists of num'),
    ((*CELL, 'softmax', 0, 0, 0), True, 'cells.projector.softmax must be lists of lists of num'),
    ((*CELL, 'softmax', 0, 0), [0.5], 'inhomogeneous shape'),
    ((*CELL, 'softmax', 1, 0, 0), None, 'softmax[1][0][0] must be from 0 to 1, got nan'),
    ((*CELL, 'softmax', 1, 0, 0), -0.25, 'softmax[1][0][0] must be from 0 to 1, got -0.25'),
    ((*CELL, 'softmax', 1, 0, 0), 1.25, 'softmax[1][0][0] must be from 0 to 1, got 1.25'),
    ((*CELL, 'softmax', 0, 1, 1), 0.0, 'softmax[0][1][1] is 0.0, but that layer lacks'),
    ((*CELL, 'softmax', 1, 0, 0), 10**400, 'int too large to convert to float'),
]


@pytest.mark.parametrize(('place', 'value', 'message'), MALFORMED)
def test_malformed_history(tmp_path, place, value, message):
    data = copy.deepcopy(VALID)
    parent = data
    for step in place[:-1]:
        parent = parent[step]
    parent[place[-1]] = value
    refused(tmp_path / 'alpha.json', json.dumps(data).encode(), message)


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (b'', 'Expecting value'),
        (json.dumps(VALID).encode()[:60], 'Unterminated string'),
        (b'\xff\xfe', "codec can't decode"),
        (b'[]', 'needs epochs and cells'),
        (b'[' * 10**5, 'nested too deeply'),
    ],
)
def test_broken_history(tmp_path, content, message):
    refused(tmp_path / 'alpha.json', content, message)


def refused(path, content, message):
    path.write_bytes(content)
    with pytest.raises(ValueError) as caught:
        load_alpha_history(path)
    told = str(caught.value)
    assert told.startswith(f"alpha history '{path}': ") and '\n' not in told
    assert message in told


def test_valid_history_is_read(tmp_path):
    (tmp_path / 'alpha.json').write_text(json.dumps(VALID))
    history, _, epochs = load_alpha_history(tmp_path / 'alpha.json')
    assert epochs == [0, 1] and history['projector'][1, 0].tolist() == [0.25, 0.75]


def test_missing_history(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"alpha.json' does not exist; a search writes"):
        load_alpha_history(tmp_path / 'alpha.json')


def test_wrong_arguments_are_not_saved(tmp_path):
    history, candidates, epochs = search()
    with pytest.raises(ValueError, match='but 4 epochs of'):
        save_alpha_history(history, candidates, epochs[:4], tmp_path / 'new' / 'alpha.json')
    with pytest.raises(ValueError, match='both must name the same'):
        plot_alpha(history, {'projector': candidates['projector']}, epochs, tmp_path / 'a.png')
    with pytest.raises(ValueError, match=r'must end in .png or .svg'):
        plot_alpha(history, candidates, epochs, tmp_path / 'a.gif')
    assert not list(tmp_path.iterdir())


def panels(figure):
    """Panels by title."""
    return {axis.get_title(): axis for axis in figure.axes if axis.get_title()}


@pytest.mark.parametrize('space', SPACES)
def test_one_panel_a_layer_one_line_a_candidate(space):
    history, candidates, epochs = search(space)
    drawn = panels(alpha_figure(history, candidates, epochs))
    assert list(drawn) == [f'projector {n}' for n in range(6)] + [
        f'predictor {n}' for n in range(4)
    ]
    for cell, names in candidates.items():
        colors = op_colors(name for row in names for name in row if name)
        for n, row in enumerate(names):
            *drawn_lines, _uniform = drawn[f'{cell} {n}'].lines
            lines = {line.get_color(): line for line in drawn_lines}
            assert set(lines) == {colors[name] for name in row if name}
            for k, name in enumerate(row):
                if name:
                    line = lines[colors[name]]
                    assert line.get_xdata() == pytest.approx(epochs)
                    assert line.get_ydata() == pytest.approx(history[cell][:, n, k].numpy())


def test_the_dotted_line_is_the_uniform_weight():
    history, candidates, epochs = search()
    figure = alpha_figure(history, candidates, epochs)
    dotted = [line for axis in figure.axes for line in axis.lines if line.get_linestyle() == ':']
    # The last layer of the predictor has three candidates.
    expected = [1 / 4] * 9 + [1 / 3]
    assert [line.get_ydata()[0] for line in dotted] == pytest.approx(expected)


def test_what_ends_above_all_others_is_thick():
    history, candidates, epochs = search()
    drawn = panels(alpha_figure(history, candidates, epochs))
    for cell, weights in history.items():
        for n, row in enumerate(weights[-1].numpy()):
            *lines, _uniform = drawn[f'{cell} {n}'].lines
            [thick] = [line for line in lines if line.get_linewidth() == 3]
            assert thick.get_ydata()[-1] == pytest.approx(np.nanmax(row))
            [dot] = drawn[f'{cell} {n}'].collections
            assert dot.get_offsets().tolist()[0] == pytest.approx([epochs[-1], np.nanmax(row)])
    label = 'thick: highest at the end'
    assert label in [text for text, _ in visible_texts(alpha_figure(*search()))]
    # Where all end equal nothing won, and the legend names no winner.
    figure = alpha_figure(*search(scale=0))
    lines = [line for axis in panels(figure).values() for line in axis.lines]
    assert max(line.get_linewidth() for line in lines) < 3
    assert label not in [text for text, _ in visible_texts(figure)]


def test_gates_have_no_uniform_weight():
    history, candidates, epochs = search()
    figure = alpha_figure({k: v * 2 / 3 for k, v in history.items()}, candidates, epochs)
    assert not any(line.get_linestyle() == ':' for axis in figure.axes for line in axis.lines)
    assert 'uniform, 1 / K' not in [text for text, _ in visible_texts(figure)]


@pytest.mark.parametrize(
    ('space', 'epochs', 'scale'), [('S', 100, 2.0), ('S+', 100, 0.02), ("S'", 2, 0.02), ('S', 1, 0)]
)
def test_texts_neither_collide_nor_leave_the_picture(space, epochs, scale):
    assert collisions(alpha_figure(*search(space, epochs, scale))) == []


def test_all_panels_have_one_scale_from_zero_in_which_all_weights_lie():
    for scale in (2.0, 0.02):
        history, candidates, epochs = search('S+', scale=scale)
        limits = {
            axis.get_ylim() for axis in panels(alpha_figure(history, candidates, epochs)).values()
        }
        [(low, high)] = limits
        top = max(float(array.nan_to_num().max()) for array in history.values())
        assert low == 0 and top < high <= 1.2 * top


def test_legend_names_every_operation_once():
    texts = [text for text, _ in visible_texts(alpha_figure(*search('S')))]
    for name in (*SPACES['S'], 'uniform, 1 / K'):
        assert texts.count(name) == 1
    # By its option, whatever it is at these widths.
    assert texts.count('linear') == 0


def test_figures_leave_pyplot_alone(tmp_path):
    import matplotlib.pyplot as plt

    before = plt.get_fignums(), plt.get_backend()
    plot_alpha(*search(), tmp_path / 'alpha.png')
    assert (plt.get_fignums(), plt.get_backend()) == before


@pytest.mark.parametrize('suffix', ['.png', '.svg'])
def test_plot_is_reproducible(tmp_path, suffix):
    for name in 'ab':
        plot_alpha(*search(), tmp_path / f'{name}{suffix}')
    assert (tmp_path / f'a{suffix}').read_bytes() == (tmp_path / f'b{suffix}').read_bytes()


def run_tool(monkeypatch, *arguments):
    monkeypatch.setattr(sys, 'argv', [str(TOOL), *map(str, arguments)])
    runpy.run_path(str(TOOL), run_name='__main__')


@pytest.mark.usefixtures('pictures')
def test_tool(tmp_path, monkeypatch, capsys):
    path = tmp_path / 'alpha.json'
    save_alpha_history(*search(), path)
    run_tool(monkeypatch, path)
    assert (tmp_path / 'alpha.png').read_bytes().startswith(b'\x89PNG')
    with pytest.raises(SystemExit) as caught:
        run_tool(monkeypatch, tmp_path / 'no.json')
    assert caught.value.code == 2
    assert capsys.readouterr().err == (
        f"error: alpha history '{tmp_path / 'no.json'}' does not exist; "
        'a search writes it to its work directory\n'
    )
