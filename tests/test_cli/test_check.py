# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""``nasiam check`` prints all that is wrong and writes nothing; its status says whether any was."""

import pytest

from nasiam_mm.cli import main
from tests.reduced import MINI

RECIPE = 'nasiam/simclr_r18_search_cifar10_demo.py'
FAULTY = ('lr=1', 'model.neck.in_channels=7', 'train_cfg.max_epoch=3')


def arguments(tmp_path, *options):
    loaders = 'train_dataloader', 'default_hooks.alpha_step.dataloader'
    options = *(f'{loader}.batch_size=32' for loader in loaders), *options
    return [RECIPE, '--data', MINI, '--work-dir', f'{tmp_path}/run', '--cfg-options', *options]


def test_a_recipe_has_no_problem(tmp_path, capsys):
    main.dispatch(['check', *arguments(tmp_path)])
    assert capsys.readouterr().out.splitlines()[-1] == f'{RECIPE}: no problems found'
    assert list(tmp_path.iterdir()) == []


def test_the_help_lists_nothing_that_is_refused(capsys):
    with pytest.raises(SystemExit):
        main.dispatch(['check', '--help'])
    told = capsys.readouterr().out
    assert '--auto-scale-lr' in told and '--out' not in told and '--framework' not in told


def test_all_problems_are_printed_and_training_refuses_them(tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        main.dispatch(['check', *arguments(tmp_path, *FAULTY)])
    *problems, last = capsys.readouterr().out.splitlines()[-4:]
    assert (end.value.code, last) == (2, f'{RECIPE}: 3 problems found')
    told = "nothing reads 'lr'", "nothing reads 'train_cfg.max_epoch'", 'model.neck, given (64, '
    assert all(any(text in line for line in problems) for text in told), problems
    with pytest.raises(ValueError, match=r'^3 problems: \(1\) .*; \(2\) .*; \(3\) '):
        main.dispatch(['train', *arguments(tmp_path, *FAULTY)])
    assert list(tmp_path.iterdir()) == []
