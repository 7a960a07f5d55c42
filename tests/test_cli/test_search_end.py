# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What ``nasiam search`` says last names a command that runs."""

from argparse import Namespace
from pathlib import Path

from mmengine.config import ConfigDict

from nasiam_mm.cli.commands.search import _goes_on


def said(backbone, **more):
    cfg = ConfigDict(model=dict(backbone=backbone), **more)
    return _goes_on(Namespace(data=None, config='c.py', out=None), cfg, Path('g.json'))


def test_a_backbone_has_no_standard_one_beside_it():
    told = said(dict(type='ChoiceMobileNet', space=['identity']))
    assert '--study' not in told and 'nasiam train RECIPE --genotype g.json' in told


def test_a_head_and_what_has_a_study_are_compared():
    for told in (
        said(dict(type='ResNet_CIFAR')),
        said(dict(type='ChoiceMobileNet', space=['identity']), study=dict(trials=1)),
    ):
        assert 'nasiam search c.py --study NAME --trials 0 --candidate g.json compares' in told
