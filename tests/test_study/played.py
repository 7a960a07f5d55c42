# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Studies whose trainings are played (:mod:`tests.test_study.trainer`); all else is real."""

import dataclasses
import sys
from pathlib import Path

from mmengine.config import Config

from nasiam_mm.models.cost import Cost
from nasiam_mm.models.spaces import choices_of_model
from nasiam_mm.runs.store import RunStore
from nasiam_mm.study.jobs import Jobs
from nasiam_mm.study.section import Study
from nasiam_mm.study.storage import Storage
from nasiam_mm.study.trainings import Trainings
from nasiam_mm.study.worker import Worker
from tests.reduced import reduced
from tests.test_study import trainer

SPACE = dict(
    projector=dict(depth=[1, 2, 3, 4], hidden_norm=['none', 'bn', 'ln']),
    temperature=[0.1, 0.2, 0.5],
)
COMMAND = (sys.executable, '-S', trainer.__file__)
STUDY = Study(sampler=dict(type='Random'), trials=8, max_seeds=6, images=100)


def written_plainly(cfg: Config) -> str:
    """Stand for ``Config.pretty_text``, which takes longer than a played training."""
    return '\n'.join(f'{name} = {value!r}' for name, value in cfg.to_dict().items())


def recipes(folder: Path) -> tuple[Config, Config]:
    """Return a small recipe with a space, and the config of the standard head."""
    recipe = reduced('nasiam/simclr_r18_pretrain_cifar10_demo', folder, epochs=3)
    baseline = reduced('nasiam/simclr_r18_baseline_cifar10_demo', folder, epochs=3)
    recipe.model.space = SPACE
    # Room for the images of the comparison.
    for cfg in (recipe, baseline):
        for part in (cfg.probe.bank, cfg.probe.query):
            part.dataset.parts = dict(train=100, val=50)
    return recipe, baseline


def worker(folder: Path, url: str | None = None, tell=lambda line: None, **changes) -> Worker:
    """Build a worker of a study in a folder; ``changes`` are of its section."""
    study = dataclasses.replace(STUDY, **changes).dealt()
    recipe, baseline = recipes(folder)
    trainings = Trainings(study, choices_of_model(recipe.model), recipe, baseline, folder)
    if not study.limits:  # counting takes longer than a played training
        trainings.cost = lambda options: Cost(1000, 1000)
    storage = Storage(folder, 'heads', url)
    return Worker(Jobs(trainings, storage, RunStore(folder / 'runs', COMMAND)), tell)


def trained(folder: Path) -> dict[str, list[int]]:
    """Return run -> the epochs that were trained, in order, those done twice twice."""
    logs = (folder / 'runs').glob('*/train/epochs.log')
    return {log.parts[-3]: [int(line) for line in log.read_text().split()] for log in logs}
