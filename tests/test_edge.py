# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Two operations a layer, summed, from the search to the pretraining (NASiam, Algorithm 1)."""

import pytest
import torch
from mmengine.config import Config
from mmengine.runner import Runner
from nasiam_mm.models.searched_cells import searched_cells

from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.cli.config import set_genotype
from tests.reduced import reduced


@pytest.fixture(autouse=True)
def plain_text(monkeypatch):
    """Leave out the layout of the logged config."""
    monkeypatch.setattr(Config, 'pretty_text', property(lambda self: repr(self.to_dict())))


def run(name, work_dir, change):
    cfg = reduced(f'nasiam/byol_r18_{name}_cifar10', work_dir)
    cfg.experiment_name = name
    change(cfg)
    cfg.probe = None
    runner = Runner.from_cfg(cfg)
    runner.train()
    return runner


def test_search_genotype_drawing_and_pretraining(tmp_path):
    def keep_two(cfg):
        cfg.default_hooks.genotype.edge = True

    searched = run('search', tmp_path / 'search', keep_two)
    genotype = load_genotype(tmp_path / 'search/genotype.json')
    assert genotype.edge and genotype.framework == 'BYOL'
    for name, cell in searched_cells(searched.model).items():
        for number, layer in enumerate(genotype.cells[name].layers):
            weights = cell.mixing_weights()[number].tolist()
            mixing = {op: weights[k] for k, op in cell.layers[number].candidates.items()}
            assert len(layer.ops) == 2
            assert sorted(mixing, key=mixing.get, reverse=True)[:2] == list(layer.ops)
    drawing = (tmp_path / 'search/genotype.png').read_bytes()
    assert drawing.startswith(b'\x89PNG') and len(drawing) > 1000

    trained = run(
        'pretrain',
        tmp_path / 'pretrain',
        lambda cfg: set_genotype(cfg, str(tmp_path / 'search/genotype.json')),
    )
    model = trained.model
    assert trained.iter == len(trained.train_dataloader) > 0
    for head, name in ((model.neck, 'projector'), (model.head.predictor, 'predictor')):
        chosen = genotype.cells[name].ops
        assert [tuple(layer) for layer in head.cell.layers] == list(chosen)
    target = model.target_net.module[1].cell
    assert [tuple(layer) for layer in target.layers] == list(genotype.cells['projector'].ops)
    # The outputs of the two add.
    x = torch.randn(8, genotype.cells['projector'].layers[0].in_channels)
    cell = model.neck.cell.eval()
    y = x
    for layer in cell.layers:
        first, second = layer.values()
        y = first(y) + second(y)
    torch.testing.assert_close(cell(x), y)
