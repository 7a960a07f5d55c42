# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The probe section: what it may hold, and which images are the test images."""

import pytest
from mmengine.config import Config

from nasiam_mm.probes.section import read_probe
from tests.test_engine.toy_siamese import loader_cfg

LOADERS = dict(bank=loader_cfg(size=40), query=loader_cfg(size=21, split='train'))


def test_a_section_has_defaults_and_may_be_absent():
    assert read_probe(Config({})) is None
    assert read_probe(dict(probe=None)) is None
    probe = read_probe(dict(probe=LOADERS))
    assert (probe.k, probe.temperature, probe.split) == (200, 0.1, 'val')


@pytest.mark.parametrize(
    ('section', 'message'),
    [
        (
            {**LOADERS, 'intervall': 5},
            'intervall is no setting; did you mean probe.interval',
        ),
        ({**LOADERS, 'x9': 5}, 'probe.x9 is no setting; there are bank, query, test, k'),
        (dict(k=5), 'lacks bank and query; give each a loader'),
    ],
)
def test_what_counts_nowhere_is_refused(section, message):
    with pytest.raises(ValueError, match=message):
        read_probe(dict(probe=section))


def test_the_test_split_is_taken_out_of_its_parts():
    inner = dict(type='CIFAR10', data_root='here', split='train')
    part = dict(type='SplitDataset', dataset=inner, part='val')
    loader = dict(batch_size=4, dataset=dict(type='ReplayDataset', dataset=part))
    probe = read_probe(dict(probe=dict(bank=loader, query=loader)))
    assert probe.loader('test') == dict(batch_size=4, dataset={**inner, 'split': 'test'})
    imagenet = dict(dataset=dict(type='mmpretrain.ImageNet', split='train'))
    probe = read_probe(dict(probe=dict(bank=imagenet, query=imagenet)))
    assert probe.loader('test')['dataset']['split'] == 'val'


def test_a_data_set_without_splits_needs_a_loader_of_its_test_images():
    bare = dict(batch_size=4, dataset=dict(type='CustomDataset', data_root='mine'))
    probe = read_probe(dict(probe=dict(bank=bare, query=bare)))
    with pytest.raises(ValueError, match=r'CustomDataset of .* names no split.*probe.test'):
        probe.loader('test')
    mine = dict(batch_size=4, dataset=dict(type='CustomDataset', data_root='mine/test'))
    assert read_probe(dict(probe=dict(bank=bare, query=bare, test=mine))).loader('test') == mine
