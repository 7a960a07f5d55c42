# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Images for the comparison alone: in no other part, and the other parts stay as they are."""

import pytest
from mmengine.config import Config
from mmengine.runner import Runner

from nasiam_mm.datasets.split import shared_images
from nasiam_mm.study.images import set_check_images
from tests.test_study.played import recipes


def parts_of(probe):
    loaders = {name: Runner.build_dataloader(probe[name]) for name in ('bank', 'query', 'final')}
    return {name: loader.dataset for name, loader in loaders.items()}


def probe_of(tmp_path, **parts):
    probe = recipes(tmp_path)[0].probe.to_dict()
    for name in ('bank', 'query'):
        probe[name]['dataset']['parts'] = dict(parts)
    return probe


def test_they_come_from_what_is_left_over(tmp_path):
    probe = probe_of(tmp_path, train=100, val=50)
    before = Runner.build_dataloader(probe['query']).dataset.indices
    assert set_check_images(probe, 80) == (
        80, 'heads are compared on 80 training images in no other part'
    )  # fmt: skip
    parts = parts_of(probe)
    assert len(parts['final']) == 80
    assert (parts['query'].indices == before).all()
    for name in ('bank', 'query'):
        assert len(shared_images(parts[name], parts['final'])) == 0


def test_a_saved_config_cuts_the_same_images(tmp_path):
    cfg = recipes(tmp_path)[0]
    cfg.probe = probe_of(tmp_path, train=100, val=50)
    set_check_images(cfg.probe, 80)
    (tmp_path / 'saved.py').write_text(cfg.pretty_text)
    saved = parts_of(Config.fromfile(tmp_path / 'saved.py').probe)
    for name, part in parts_of(cfg.probe).items():
        assert (saved[name].indices == part.indices).all(), name


@pytest.mark.parametrize('parts', [dict(train=400, val=90), dict(train=0.8, val=0.2)])
def test_or_else_from_the_query_which_the_search_then_has_less_of(tmp_path, parts):
    probe = probe_of(tmp_path, **parts)
    bank = Runner.build_dataloader(probe['bank']).dataset.indices
    query = Runner.build_dataloader(probe['query']).dataset.indices
    count, told = set_check_images(probe, 80)
    assert count == 2 * len(query) // 3
    assert told.startswith(f'heads are compared on {count} of the {len(query)} images of probe.qu')
    found = parts_of(probe)
    assert (found['bank'].indices == bank).all()
    own = {*found['query'].indices.tolist()}, {*found['final'].indices.tolist()}
    assert own[0] | own[1] == {*query.tolist()} and own[0].isdisjoint(own[1])


def test_or_not_at_all_and_that_is_said(tmp_path):
    probe = probe_of(tmp_path, train=100, val=50)
    assert set_check_images(probe, 0)[0] == 0 and 'final' not in probe
    probe = probe_of(tmp_path, val=100, train=400)
    count, told = set_check_images(probe, 100)
    assert count == 0 and 'val is not the last part: heads are compared on the images that' in told
    probe = probe_of(tmp_path, train=100, val=50)
    probe['query']['dataset'] = probe['query']['dataset']['dataset']
    assert set_check_images(probe, 100)[0] == 0
