# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The trainings of a study: the config of each, and what is read off a finished one."""

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.config import Config

from nasiam_mm.architecture.choice import Choices
from nasiam_mm.architecture.genotype import Genotype, save_genotype
from nasiam_mm.architecture.kinds.kind import Options
from nasiam_mm.architecture.points import genotype_at
from nasiam_mm.config_walk import find_hook, type_name
from nasiam_mm.datasets.resolve import resolve_data
from nasiam_mm.models.cost import Cost, training_cost
from nasiam_mm.models.standard import standard_genotype
from nasiam_mm.part_registry import build_part
from nasiam_mm.probes.final import FINAL, read_final
from nasiam_mm.probes.measures import MEASURES
from nasiam_mm.runs.identity import Identity, run_settings
from nasiam_mm.runs.store import WORK, Row
from nasiam_mm.study.heads import head_key, taken
from nasiam_mm.study.images import set_check_images
from nasiam_mm.study.section import Study
from nasiam_mm.version import __version__

STANDARD = 'standard'
KNN = 'knn/val_top1'


@dataclass(frozen=True)
class Result:
    """What a finished training says of its head.

    Attributes:
        score: By the objective, higher is better; None where it collapsed without one.
        std: Last deviation of z, see ``CollapseHook``; None where nothing watched it.
        rank: Its last effective rank, likewise.
        seconds: It took.
        correct: Whether each image of the comparison was classified rightly; None without any.
    """

    score: float | None
    std: float | None
    rank: float | None
    seconds: float
    correct: np.ndarray | None = None


class Trainings:
    """Configs of the trainings of a study.

    Args:
        study: The study's section.
        choices: Of its space.
        recipe: Config that trains a genotype at the budget the answer is for; it is changed.
        baseline: Config of the standard head; likewise.
        folder: Of the study, which takes the genotypes.

    Raises:
        ValueError: If the two are of different frameworks, one takes no genotype, or what they
            measure is not what the objective needs.
    """

    def __init__(
        self, study: Study, choices: Choices, recipe: Config, baseline: Config, folder: Path
    ) -> None:
        self.study, self.choices, self.folder = study, choices, folder
        self.recipe, self.baseline = recipe, baseline
        self.framework = str(type_name(recipe.model))
        if (other := type_name(baseline.model)) != self.framework:
            what = f'the standard head is a {other}, the recipe a {self.framework}'
            raise ValueError(f'study.baseline: {what}; take one of the same framework')
        if 'genotype' not in self.recipe.model:
            what = f"config '{self.recipe.filename}' takes no genotype"
            raise ValueError(f'{what}; study.recipe must be one of configs/nasiam/*_pretrain_*.py')
        self.objective = None
        if study.objective != 'knn':
            given = study.objective
            self._measure = dict(type=given) if isinstance(given, str) else dict(given)
            self.objective = build_part(MEASURES, self._measure, 'study.objective')
        self.notes: list[str] = []
        self.check_images = 0
        for cfg in (recipe, baseline):
            cfg.pop('study', None)
            self._prepare(cfg)

    def _prepare(self, cfg: Config) -> None:
        """Let a config measure what the study asks for."""
        if not cfg.get('probe'):
            raise ValueError(
                f"config '{cfg.filename}' has no probe section, which names the images that heads "
                'are measured on'
            )
        if self.objective is not None:
            others = [m for m in cfg.probe.get('measures', ()) if m != self._measure]
            cfg.probe.measures = [*others, self._measure]
        notes = resolve_data(cfg)
        probe = cfg.get('probe')
        self.is_labelled = bool(probe) and probe.get('labelled', True)
        if not self.is_labelled and (self.objective is None or self.objective.needs_labels):
            mend = "take one without, as study.objective=dict(type='RankMe')"
            root = (cfg.get('data') or {}).get('root')
            raise ValueError(f'study.objective needs labels, which {root} has none of; {mend}')
        told = 'heads are compared on the images that chose them, as those have no labels'
        if self.is_labelled:
            self.check_images, told = set_check_images(probe, self.study.images)
        probe.at_start = False
        hooks = cfg.setdefault('default_hooks', {})
        if find_hook(cfg, 'CollapseHook') is None:
            hooks['collapse'] = dict(type='CollapseHook')
        checkpoint = hooks.get('checkpoint')
        if isinstance(checkpoint, dict):
            checkpoint['max_keep_ckpts'] = 1
        self.notes = list(dict.fromkeys([*notes, told]))

    @property
    def unit(self) -> str:
        """Of what heads are compared by: percent of images, or the objective without labels."""
        if self.is_labelled or self.objective is None:
            return 'points'
        return f'of {self.objective.name}'

    @cached_property
    def standard(self) -> Options | None:
        """The standard head as options of the space; None where the space does not hold it."""
        try:
            found = standard_genotype(self.baseline.model, self.recipe.model, self.choices)
            return taken(found, self.choices)
        except ValueError:
            return None

    def key(self, options: Options | None) -> str:
        """Return by what a head is known; the standard one by its name, however it is written."""
        if options is None:
            return STANDARD
        found = head_key(options, self.choices)
        if self.standard is not None and found == head_key(self.standard, self.choices):
            return STANDARD
        return found

    def genotype(self, options: Options, source: str) -> Genotype:
        """Return a head as a genotype."""
        told = {'selection': source, 'versions': {'nasiam_mm': __version__}}
        return genotype_at(self.framework, self.choices, options, told)

    def config(self, options: Options | None, seed: int, *, cheap: bool, check: bool) -> Config:
        """Return the config of a training.

        Args:
            options: Of the head; None for the standard one, by its own config.
            seed: Of the run.
            cheap: Whether by the study's cheap settings.
            check: Whether the images of the comparison are classified at its end.
        """
        is_standard = self.key(options) == STANDARD
        cfg = copy.deepcopy(self.baseline if is_standard else self.recipe)
        if not is_standard:
            assert options is not None
            cfg.model.genotype = str(self._file(options))
        cfg.randomness = {**cfg.get('randomness', {}), 'seed': seed}
        if cheap and self.study.cheap:
            cfg.merge_from_dict(dict(self.study.cheap))
        cfg.probe.interval = 1 if self.study.pruner and not check else cfg.train_cfg.max_epochs
        if not check:
            cfg.probe.pop('final', None)
        return cfg

    def _file(self, options: Options) -> Path:
        path = self.folder / 'genotypes' / f'{head_key(options, self.choices)}.json'
        if not path.is_file():
            save_genotype(self.genotype(options, 'study'), path)
        return path

    def cost(self, options: Options | None) -> Cost:
        """Return what the network that is trained costs, none of it allocated."""
        cfg = self.config(options, 0, cheap=False, check=False)
        size = cfg.model.data_preprocessor.get('views')
        views = size if isinstance(size, Mapping) else (size or [{}])[0]
        return training_cost(cfg.model.to_dict(), views.get('size', 32))

    def score(self, curves: Mapping[str, Mapping[int, float]]) -> dict[int, float]:
        """Return the objective by epoch, higher is better."""
        if self.objective is None:
            return dict(curves.get(KNN, {}))
        values = curves.get(f'measure/{self.objective.name}', {})
        return {epoch: self.objective.score(value) for epoch, value in values.items()}

    def read(self, folder: Path, row: Row, check: bool) -> Result:
        """Read off a finished training what it says of its head."""

        def last(name: str) -> float | None:
            curve = row['curves'].get(name)
            return curve[max(curve)] if curve else None

        watched = last('collapse/std'), last('collapse/effective_rank'), row['seconds']
        if not check or not self.is_labelled:
            scores = self.score(row['curves'])
            return Result(scores[max(scores)] if scores else None, *watched)
        if self.check_images:
            final = read_final(folder / WORK / FINAL)
            return Result(final['top1'], *watched, final['correct'])
        return Result(last(KNN), *watched)

    @property
    def identity(self) -> Identity:
        """What decides what a trial means: space, recipes, data, objective, seeds."""
        space = {
            choice.name: list(zip(choice.options, choice.present, strict=True))
            for layers in self.choices.values()
            for choice in layers
        }
        parts = {
            'space': _digest(space),
            'objective': json.dumps(self.study.objective, sort_keys=True, default=dict),
            'cheap': json.dumps(dict(self.study.cheap), sort_keys=True, default=str),
            'images of the comparison': self.check_images,
            'study.seed': self.study.seed,
        }
        for name, cfg in (('recipe', self.recipe), ('baseline', self.baseline)):
            settings = run_settings(cfg.to_dict())
            settings.pop('seed', None)
            parts |= {f'{name}.{key}': value for key, value in settings.items()}
            parts['data'] = (cfg.get('data') or {}).get('root')
        return parts


def _digest(data: Any) -> str:
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:12]
