# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""One colour per operation; pictures written whole or not at all."""

import errno
import os

import pytest
from matplotlib.figure import Figure

from nasiam_mm.ops.candidates import SPACES
from nasiam_mm.report.pictures.figure import op_colors, save_figure


def test_every_operation_has_its_own_colour():
    colors = op_colors([*SPACES['S+'], 'linear', 'mine', 'yours'])
    assert len(set(colors.values())) == len(colors) == 10


def test_colours_do_not_depend_on_the_order_or_the_picture():
    names = [*SPACES['S+'], 'mine', 'yours']
    assert op_colors(names) == op_colors(names[::-1])
    assert op_colors(['identity']) == {'identity': op_colors(names)['identity']}


def luminance(color):
    """Relative luminance of '#rrggbb' (WCAG 2)."""
    channels = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
    return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))


def test_every_colour_stands_out_on_white():
    for name, color in op_colors([*SPACES['S+'], 'linear', *'abcdef']).items():
        assert 1.05 / (luminance(color) + 0.05) > 2.0, name


def figure():
    figure = Figure(figsize=(1, 1))
    figure.add_subplot().plot([0, 1])
    return figure


@pytest.mark.parametrize(('suffix', 'start'), [('.png', b'\x89PNG'), ('.svg', b'<?xml')])
def test_format_by_suffix_and_equal_bytes(tmp_path, suffix, start):
    for name in 'ab':
        save_figure(figure(), tmp_path / 'new' / f'{name}{suffix}')
    a, b = ((tmp_path / 'new' / f'{name}{suffix}').read_bytes() for name in 'ab')
    assert a == b and a.startswith(start)


@pytest.mark.parametrize('name', ['a.pdf', 'a', 'a.png.txt'])
def test_other_suffixes_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match=r"a.*' must end in .png or .svg"):
        save_figure(figure(), tmp_path / 'new' / name)
    assert not list(tmp_path.iterdir())


def test_full_disk_leaves_nothing_half_written(tmp_path, monkeypatch):
    def full(*args):
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(os, 'replace', full)
    with pytest.raises(OSError, match='No space left on device'):
        save_figure(figure(), tmp_path / 'a.png')
    assert not list(tmp_path.iterdir())
