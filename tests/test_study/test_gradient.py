# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What a search by gradient found enters a study: its genotype, its other choices, its ranking."""

import json
import sys

import pytest

from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.models.spaces import choices_of_model
from nasiam_mm.runs.store import RunStore
from nasiam_mm.study import trials as notes
from nasiam_mm.study.gradient import found_heads, with_selections
from nasiam_mm.study.heads import taken
from nasiam_mm.study.jobs import Jobs
from nasiam_mm.study.section import Study
from nasiam_mm.study.storage import Storage
from nasiam_mm.study.trainings import Trainings
from nasiam_mm.study.worker import Worker
from tests import small
from tests.test_study.played import COMMAND, recipes

COPY = 'import shutil, sys; shutil.copytree({0!r}, sys.argv[3], dirs_exist_ok=True)'


@pytest.fixture(scope='module')
def searched(tmp_path_factory):
    """Search for real, with all selections at its end."""
    folder = tmp_path_factory.mktemp('search')
    cfg = with_selections(small.search('simclr', folder))
    perturbation, sampled = cfg.default_hooks.genotype.also
    perturbation.criterion = sampled.criterion = dict(type='HeldOutContrast', batches=1)
    perturbation.tune_steps = 1
    sampled.update(n=5, refit_batches=1)
    small.train(cfg)
    return folder, choices_of_model(cfg.model)


def test_a_search_chooses_in_several_ways_on_one_supernet(searched):
    folder, choices = searched
    names = {path.stem for path in (folder / 'also').iterdir()}
    assert names == {'perturbation', 'best_of_sampled'}
    ranking = json.loads((folder / 'sampled.json').read_text())['ranking']
    found = found_heads(folder, choices, top=3)
    genotype = load_genotype(str(folder / 'genotype.json'))
    assert found['genotype'] == taken(genotype, choices)
    assert list(found.values()).count(ranking[0]['chosen']) == 1
    # Each head once, the best of the ranking under the name of what took it first.
    assert len({json.dumps(options) for options in found.values()}) == len(found)
    assert all(row['chosen'] in found.values() for row in ranking[:3])
    assert ranking[3]['chosen'] not in found.values() or ranking[3]['chosen'] == found['genotype']


def test_its_heads_are_trials_of_a_study(searched, tmp_path):
    folder, choices = searched
    study = Study(
        gradient=[dict(strategy='gdas', top=2)], trials=6, verify=0, sampler=dict(type='Random')
    )
    recipe, baseline = recipes(tmp_path)
    del recipe.model['space']
    trainings = Trainings(study, choices, recipe, baseline, tmp_path)
    search = (sys.executable, '-c', COPY.format(str(folder)))
    store = RunStore(tmp_path / 'runs', COMMAND, search)
    worker = Worker(Jobs(trainings, Storage(tmp_path, 's'), store, [recipe]))
    worker.run()
    sources = [trial.source for trial in notes.read_trials(worker.trials)]
    found = found_heads(folder, choices, top=2)
    assert sources[: len(found)] == [f'gdas: {name}' for name in found]
    assert sources[len(found) :] == ['Random'] * (6 - len(found))
