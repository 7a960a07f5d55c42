# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Two processes come to the same decisions by the same measures, and leave the run as it was."""

import json
import os
from dataclasses import astuple

import pytest
import torch
from mmengine.dist import get_world_size
from mmengine.registry import init_default_scope

from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.cli.config import start_processes_on_cpu
from nasiam_mm.search.criteria import HeldOutContrast
from nasiam_mm.search.selection import SELECTIONS
from nasiam_mm.search.tuning import WeightSteps, copy_of
from tests import small
from tests.test_distributed.processes import digest, run_processes
from tests.test_search.conftest import shorten

CONTRAST = dict(type='HeldOutContrast', batches=2)


def choose(framework, folder):
    """Search shortly, and choose in both ways; what this process found."""
    init_default_scope('nasiam_mm')
    cfg = small.search(framework, folder / os.environ['RANK'], batch_size=16)
    shorten(cfg)
    perturbation = dict(type='Perturbation', criterion=CONTRAST, tune_steps=1)
    cfg.default_hooks.genotype.selection = perturbation
    cfg.work_dir = str(folder / 'work')
    cfg.launcher = 'pytorch'
    cfg.experiment_name = 'two'
    start_processes_on_cpu(cfg)
    own = []
    honest = HeldOutContrast._contrast

    def note(self, *args):
        loss = honest(self, *args)
        own.append(loss.item())
        return loss

    HeldOutContrast._contrast = note
    runner = small.train(cfg)
    assert get_world_size() == 2
    model = runner.model.module
    before = digest(*model.state_dict().values())
    sampled = dict(type='BestOfSampled', criterion=CONTRAST, n=4, refit_batches=1)
    neighbours = dict(type='EmbeddingNeighbours', images=60, k=3)
    found = []
    for cfg in (perturbation, sampled, dict(sampled, criterion=neighbours)):
        selection = SELECTIONS.build(cfg)
        selection.check(runner)
        decisions = selection.finish(runner, model.architecture)
        found.append({name: astuple(decision) for name, decision in decisions.items()})
        found.append(selection.told())
    twin = copy_of(runner.model)
    WeightSteps(runner, twin).take(2, {})
    weights = digest(*(p for p in twin.parameters() if p.requires_grad))
    untouched = before == digest(*model.state_dict().values())
    return dict(found=found, own=own, weights=weights, untouched=untouched)


@pytest.mark.parametrize('framework', ['byol'])
def test_both_decide_alike(framework, tmp_path):
    first, second = run_processes(2, choose, tmp_path / 'two', framework)
    assert first['found'] == second['found'] and first['weights'] == second['weights']
    assert first['untouched'] and second['untouched']
    # Each measured images of its own; what they decide by is the mean.
    assert not set(first['own']) & set(second['own'])
    value = first['found'][3]['value']
    sums = [a + b for a, b in zip(first['own'], second['own'], strict=True)]
    means = torch.tensor(sums).view(-1, CONTRAST['batches']).mean(1) / 2
    assert (means + value).abs().min() < 1e-5
    # The files are of the main process.
    genotype = load_genotype(tmp_path / 'two/work/genotype.json')
    assert {n: astuple(d) for n, d in genotype.decisions.items()} == first['found'][0]
    assert json.loads((tmp_path / 'two/work/sampled.json').read_text())['measured'] == 4
