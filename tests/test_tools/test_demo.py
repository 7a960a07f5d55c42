# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A step of the demo that fails or is interrupted is told in a line, and make adds none."""

import signal
import subprocess
import sys
from functools import partial

import pytest

from nasiam_mm.cli.reading import find_config, load_config
from nasiam_mm.console.screen import short_console
from nasiam_mm.files.shipped import framework_names
from tests.reduced import ROOT
from tools import demo


def steps_that(monkeypatch, status, *lines):
    def run(command, file, variables, look):
        file.write(''.join(f'{line}\n' for line in lines))
        file.flush()
        look()
        return status

    monkeypatch.setattr(demo, 'run_command', run)


def test_a_step_moves_the_bar_and_says_nothing(monkeypatch, tmp_path, capfd):
    moves = []
    steps_that(monkeypatch, 0, 'epoch 1/4: loss 3, left 0:09')
    with short_console():
        demo.call('train', console=tmp_path / 'new/a.log', move=moves.append)
    assert moves == [0.25]
    assert capfd.readouterr() == ('', '')
    assert (tmp_path / 'new/a.log').read_text() == 'epoch 1/4: loss 3, left 0:09\n'


@pytest.mark.parametrize('number', [130, 143, -2])
def test_an_interruption_says_what_was_saved(monkeypatch, tmp_path, number):
    told = 'SIGINT: stopped after iteration 4 of 9 (epoch 1 of 3); a.pth written'
    steps_that(monkeypatch, number, 'log: a', f'{told}; go on with: nasiam train a --resume')
    with short_console(), pytest.raises(KeyboardInterrupt) as caught:
        demo.call('train', console=tmp_path / 'a.log')
    assert str(caught.value) == f'{told}; the same command goes on'


def test_an_interruption_while_it_starts(monkeypatch, tmp_path):
    steps_that(monkeypatch, 130, 'interrupted')
    with short_console(), pytest.raises(KeyboardInterrupt) as caught:
        demo.call('train', console=tmp_path / 'a.log')
    assert str(caught.value) == 'interrupted; the same command goes on'


def test_a_failure_is_told_with_its_reason_and_its_console(monkeypatch, tmp_path):
    steps_that(monkeypatch, 2, 'epoch 1/4: loss 3', 'error: the disk is full')
    with short_console(), pytest.raises(ValueError) as caught:
        demo.call('train', console=tmp_path / 'a.log')
    assert str(caught.value) == (
        f'the demo stopped: nasiam train: the disk is full ({tmp_path}/a.log); '
        'run it again to go on'
    )


@pytest.mark.parametrize(
    ('status', 'of_make', 'told'), [(0, 0, ''), (130, -2, ''), (3, 2, 'Error 3')]
)
def test_make_adds_nothing_to_an_interruption(tmp_path, status, of_make, told):
    script = tmp_path / 'ends.py'
    script.write_text(f'import sys; print("saved"); sys.exit({status})')
    extra = tmp_path / 'extra.mk'
    extra.write_text(f'include Makefile\nx:\n\t@$(call untold,{sys.executable} {script})\n')
    command = ['make', '--no-print-directory', '-f', str(extra), 'x']
    # A process of the background ignores SIGINT, and so would make.
    heeds = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, preexec_fn=heeds)
    assert done.returncode == of_make
    assert done.stdout == 'saved\n'
    assert told in done.stderr and bool(done.stderr) == bool(told)


@pytest.mark.parametrize('framework', framework_names())
def test_the_demo_is_small_in_every_framework(framework):
    for phase in ('search', 'pretrain', 'baseline'):
        cfg = load_config(find_config(f'nasiam/{framework}_r18_{phase}_cifar10_demo.py'))
        cfg.merge_from_dict(demo.size_of(cfg))
        preprocessor = cfg.model.data_preprocessor
        views = preprocessor.views
        sizes = [view.size for view in (views if isinstance(views, list) else [views])]
        assert set(sizes) <= {8, 16} and sizes[0] == preprocessor.eval_size == 16
        assert cfg.model.neck.in_channels == 64 == 8 * cfg.model.backbone.base_channels
