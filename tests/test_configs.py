# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims: every shipped config builds and trains a step, stays flat and short, passes the audit."""

import re

import pytest
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner

from nasiam_mm.models import searched_cells
from nasiam_mm.space import Genotype, random_cell, save_genotype
from tests.reduced import ROOT, reduced

RECIPES = sorted(
    str(path.relative_to(ROOT / 'configs').with_suffix(''))
    for path in (ROOT / 'configs/nasiam').glob('*.py')
)
SEARCHES = [name for name in RECIPES if '_search_' in name]


class StopAfterOneStep(Hook):
    """Ends the run once a step is made."""

    priority = 'LOWEST'

    class Done(Exception):
        """The step is made."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        assert outputs['loss'].isfinite()
        raise self.Done


def use_genotype_of_the_search(cfg, name, tmp_path):
    """Put a random genotype of the search's own cells into a pretraining recipe."""
    search = reduced(name.replace('_pretrain_', '_search_'), tmp_path)
    heads = [node for node in _dicts(search.model._to_lazy_dict()) if 'space' in node]
    from nasiam_mm.space import layer_shapes

    cells = {
        head['cell']: random_cell(
            head['space'],
            layer_shapes(head['in_channels'], head['widths'], head.get('plain_output', False)),
            seed=1,
        )
        for head in heads
    }
    path = tmp_path / 'genotype.json'
    save_genotype(Genotype(search.model.type, tuple(heads[0]['space']), cells), path)
    for node in _dicts(cfg.model):
        if node.get('type') == 'GenotypeMLP':
            node['genotype'] = str(path)


def _dicts(node):
    if isinstance(node, dict):
        yield node
        for value in node.values():
            yield from _dicts(value)


@pytest.mark.parametrize('name', RECIPES)
def test_recipe_builds_and_makes_a_step(name, tmp_path):
    cfg = reduced(name, tmp_path)
    if '_pretrain_' in name:
        use_genotype_of_the_search(cfg, name, tmp_path)
    runner = Runner.from_cfg(cfg)
    runner.register_hook(StopAfterOneStep())
    with pytest.raises(StopAfterOneStep.Done):
        runner.train()


@pytest.mark.parametrize('name', RECIPES)
def test_recipe_is_flat_and_short(name):
    path = ROOT / 'configs' / f'{name}.py'
    text = path.read_text()
    assert len(text.splitlines()) <= 80
    bases = re.findall(r"'(\.\./_base_/[^']+)'", text.split('\n\n')[0])
    assert 1 <= len(bases) <= 3
    for base in bases:
        assert '_base_ =' not in (path.parent / base).resolve().read_text()
    assert 'optim_wrapper = dict(' in text and 'model = dict(' in text
