# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims: what a search leaves behind is what alpha says, each epoch and at the end."""

import json

import pytest
import torch
from mmengine.runner import Runner
from nasiam_mm.models.searched_cells import searched_cells

from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.search.recorder import GenotypeHook
from tests.reduced import reduced


@pytest.mark.parametrize('edge', [False, True])
def test_files_scalars_and_log_of_a_search(edge, tmp_path):
    cfg = reduced('nasiam/simsiam_r18_search_cifar10', tmp_path, epochs=2)
    cfg.default_hooks.genotype.edge = edge
    runner = Runner.from_cfg(cfg)
    runner.train()
    names = sorted(path.name for path in (tmp_path / 'genotypes').iterdir())
    assert names == ['epoch_1.json', 'epoch_2.json']
    final = load_genotype(tmp_path / 'genotype.json')
    assert final == load_genotype(tmp_path / 'genotypes/epoch_2.json')
    assert final.framework == 'SimSiam' and final.edge is edge
    assert final.provenance['epoch'] == 2 and final.provenance['seed'] == 0
    assert final.provenance['dataset'] == 'CIFAR10'
    assert len(final.provenance['dataset_digest']) == 64
    for name, cell in searched_cells(runner.model).items():
        for layer, alpha, absent in zip(
            final.cells[name].layers, cell.alpha, cell.absent, strict=True
        ):
            present = alpha[~absent]
            assert torch.equal(torch.tensor(layer.alpha), present)
            best = present.argsort(descending=True)[: 1 + edge]
            assert layer.ops == tuple(layer.candidates[k] for k in best)
    for picture in ('genotype.png', 'alpha.png'):
        assert (tmp_path / picture).read_bytes().startswith(b'\x89PNG')
    history = json.loads((tmp_path / 'alpha.json').read_text())
    assert history['epochs'] == [0, 1, 2]
    (scalars,) = tmp_path.glob('*/vis_data/scalars.json')
    entries = [json.loads(line) for line in scalars.read_text().splitlines()]
    entropies = [
        e['alpha/predictor/3/entropy'] for e in entries if 'alpha/predictor/3/entropy' in e
    ]
    assert len(entropies) == 2 and all(0 < entropy <= 1.0987 for entropy in entropies)
    (log,) = tmp_path.glob('*/*.log')
    ops = ' '.join('+'.join(layer.ops) for layer in final.cells['projector'].layers)
    assert f'Epoch 2 projector: {ops} (entropy' in log.read_text()


def test_ties_are_reported(tmp_path):
    cfg = reduced('nasiam/simclr_r18_search_cifar10', tmp_path)
    cfg.default_hooks.pop('alpha_step')  # all alphas stay equal
    Runner.from_cfg(cfg).train()
    layer = load_genotype(tmp_path / 'genotype.json').cells['projector'].layers[0]
    assert layer.ops == ('linear_bn_relu',)
    assert layer.tied == ('max_pool_3_bn', 'avg_pool_3_bn', 'identity')
    (log,) = tmp_path.glob('*/*.log')
    assert 'layer 0: linear_bn_relu ties with max_pool_3_bn, avg_pool_3_bn, identity' in (
        log.read_text()
    )


def test_spaces_that_differ_are_refused(tmp_path):
    cfg = reduced('nasiam/simsiam_r18_search_cifar10', tmp_path)
    cfg.model.head.predictor.space = ['linear_bn_relu', 'identity']
    with pytest.raises(ValueError, match='a genotype has one space, but the searched heads have 2'):
        Runner.from_cfg(cfg).train()


def test_hook_is_registered():
    from nasiam_mm.registry import HOOKS

    assert HOOKS.get('GenotypeHook') is GenotypeHook
