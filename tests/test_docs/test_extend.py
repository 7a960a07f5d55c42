# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims of docs/extend: the code shown is that of examples/, and each recipe there trains."""

import importlib
import re
import sys

import pytest
from mmengine.runner import Runner
from torch import nn

from nasiam_mm.architecture.genotype import random_genotype, save_genotype
from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.models.spaces import choices_of_model
from nasiam_mm.study.samplers import build_sampler
from tests.reduced import ROOT, reduced
from tests.test_study.landscapes import SPACE, Additive, searched

PAGES = sorted((ROOT / 'docs/extend').glob('*.md'))
RECIPES = sorted(path.stem for path in (ROOT / 'examples').glob('*_search.py'))
SHOWN = re.compile(r'```python title="(examples/\w+\.py)"\n(.*?)```', re.DOTALL)


@pytest.mark.parametrize('page', PAGES, ids=lambda page: page.stem)
def test_code_shown_is_that_of_the_examples(page):
    shown = SHOWN.findall(page.read_text(encoding='utf-8'))
    assert shown
    for name, code in shown:
        assert code == (ROOT / name).read_text(encoding='utf-8'), name


def test_every_example_is_shown():
    shown = {name for page in PAGES for name, _ in SHOWN.findall(page.read_text(encoding='utf-8'))}
    there = {f'examples/{path.name}' for path in (ROOT / 'examples').glob('*.py')}
    # The method itself, which adds nothing to the package.
    assert shown == there - {'examples/nasiam_in_one_file.py'}


@pytest.mark.parametrize('name', RECIPES)
def test_recipe_searches_and_leaves_a_genotype(name, tmp_path, monkeypatch):
    # As a user who stands in the checkout.
    monkeypatch.syspath_prepend(ROOT)
    cfg = reduced(f'../examples/{name}', tmp_path)
    for module in cfg.get('custom_imports', {}).get('imports', []):
        # Imported by another test, it would not register anew.
        assert module.startswith('examples.') and (ROOT / f'{module.replace(".", "/")}.py').exists()
        sys.modules.setdefault(module, __import__(module, fromlist=['_']))
    Runner.from_cfg(cfg).train()
    genotype = load_genotype(tmp_path / 'genotype.json')
    assert genotype.framework == cfg.model.type
    for decision in genotype.decisions.values():
        assert list(decision.options) == cfg.model.space
        assert len(decision.scored) > 1 and set(decision.scored.values()) != {0.0}


def test_a_choice_of_ones_own_is_drawn_and_trains(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    cfg = reduced('../examples/own_choice_space', tmp_path)
    drawn = random_genotype(cfg.model.type, choices_of_model(cfg.model), seed=1)
    assert drawn.settings('projector').keys() == {'depth', 'dropout'}
    cfg.model.genotype = str(tmp_path / 'g.json')
    save_genotype(drawn, cfg.model.genotype)
    runner = Runner.from_cfg(cfg)
    runner.train()
    rates = {m.p for m in runner.model.neck.modules() if isinstance(m, nn.Dropout)}
    assert rates == {drawn.settings('projector')['dropout']}


def test_a_sampler_of_ones_own_proposes_what_is_better(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    importlib.import_module('examples.sampler')
    landscape = Additive(0, noise=0.0)
    found = searched(dict(type='HillClimbing', startup=8), landscape, 40, 0)
    scores = [trial.value for trial in found.trials]
    assert max(scores[8:]) > max(scores[:8]) + 1
    best = max(range(20), key=scores.__getitem__)
    taken, child = (found.trials[n].params for n in (best, 20))
    assert sum(taken[name] != child[name] for name in taken) == 1
    with pytest.raises(ValueError, match='HillClimbing.startup must be'):
        build_sampler(dict(type='HillClimbing', startup=0), SPACE, 0)
