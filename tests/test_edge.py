# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Two operations a layer, summed, from the search to the pretraining (NASiam, Algorithm 1)."""

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner

from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.cli.config import set_genotype
from nasiam_mm.ops.candidates import candidate_labels
from tests.reduced import light, reduced


@pytest.fixture(autouse=True)
def plain_text(monkeypatch):
    """Leave out the layout of the logged config."""
    monkeypatch.setattr(Config, 'pretty_text', property(lambda self: repr(self.to_dict())))


def run(name, work_dir, change):
    cfg = light(reduced(f'nasiam/byol_r18_{name}_cifar10', work_dir))
    cfg.experiment_name = name
    change(cfg)
    cfg.probe = None
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


@pytest.mark.usefixtures('pictures')
def test_search_genotype_drawing_and_pretraining(tmp_path):
    def keep_two(cfg):
        cfg.default_hooks.genotype.top_k = 2

    searched = run('search', tmp_path / 'search', keep_two)
    genotype = load_genotype(tmp_path / 'search/genotype.json')
    assert genotype.top_k == 2 and genotype.framework == 'BYOL'
    architecture = searched.model.architecture
    assert set(genotype.heads) == set(architecture.choices) == {'projector', 'predictor'}
    for head, choices in architecture.choices.items():
        for choice, weights in zip(choices, architecture.weights(head).tolist(), strict=True):
            mixing = dict(zip(choice.options, weights, strict=True))
            best = sorted(mixing, key=mixing.get, reverse=True)[:2]
            assert genotype.decisions[choice.name].chosen == tuple(best)
    drawing = (tmp_path / 'search/genotype.png').read_bytes()
    assert drawing.startswith(b'\x89PNG') and len(drawing) > 1000

    trained = run(
        'pretrain',
        tmp_path / 'pretrain',
        lambda cfg: set_genotype(cfg, str(tmp_path / 'search/genotype.json')),
    )
    model = trained.model
    assert trained.iter == len(trained.train_dataloader) > 0
    target = model.target_net.module[1]
    heads = (('projector', model.neck), ('predictor', model.head.predictor), ('projector', target))
    for name, head in heads:
        rows = zip(genotype.of(name), genotype.decided_at(name), head.cell.layers, strict=True)
        for decision, shape, layer in rows:
            labels = candidate_labels(decision.options, shape)
            assert tuple(layer) == tuple(labels[option] for option in decision.chosen)
    # The outputs of the two add.
    x = torch.randn(8, genotype.decided_at('projector')[0].in_channels)
    cell = model.neck.cell.eval()
    y = x
    for layer in cell.layers:
        first, second = layer.values()
        y = first(y) + second(y)
    torch.testing.assert_close(cell(x), y)
