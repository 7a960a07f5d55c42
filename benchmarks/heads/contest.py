# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The experiment end to end: strategies really search, and their heads meet on fresh seeds.

Its plan, docs/results/heads/end_to_end.md, was written before its first run.
"""

import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from mmengine.config import Config

from benchmarks import ROOT
from benchmarks.heads.jobs import (
    FRAMEWORKS,
    check_known,
    check_seeds,
    choices,
    recipe,
    standard_head,
    tested,
)
from benchmarks.heads.rows import cpu
from benchmarks.heads.scales import SCALES
from benchmarks.heads.searched import STRATEGIES, search_config
from nasiam_mm.architecture.genotype import Genotype, random_genotype, save_genotype
from nasiam_mm.architecture.kinds.kind import Options
from nasiam_mm.architecture.points import genotype_at
from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.cli.reading import load_config
from nasiam_mm.config_walk import type_name, walk
from nasiam_mm.files.atomic import write_json
from nasiam_mm.runs.store import WORK, RunStore
from nasiam_mm.study.jobs import Jobs
from nasiam_mm.study.report import write_report
from nasiam_mm.study.samplers import SAMPLERS
from nasiam_mm.study.section import Study
from nasiam_mm.study.storage import Storage
from nasiam_mm.study.trainings import Trainings
from nasiam_mm.study.worker import Worker

SCALE = 'square'
BUDGET = 16  # trainings of the standard head that a search may spend
TEMPERATURES = (0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.5, 0.7)
TUNING = (0, 1)  # seeds of each
SEEDS = range(1000, 1005)  # of the verification, no search's
PLAIN = 'darts_first_order'
ARMS = ('standard', 'tuned', 'plain', 'variant', 'checked', *(f'random-{n}' for n in range(1, 6)))
_JUDGED = 'checked'  # the arm whose study goes on to a verdict
_PRESENT = (True,) * len(TEMPERATURES)
_TEST, _COMPARED = 10_000, 2_000  # images
_KNN = 'knn/val_top1'
Found = tuple[Genotype, dict[str, Any]]


def check_contest(
    framework: str, arms: Iterable[str], data_seeds: Sequence[int], variant: str, sampler: str
) -> None:
    """Refuse, with a ValueError, what cannot be run, before anything is."""
    check_known('framework', framework, FRAMEWORKS)
    for arm in arms:
        check_known('arm', arm, ARMS)
    check_seeds('data seed', data_seeds)
    check_known('strategy', variant, STRATEGIES)
    check_known('sampler', sampler, SAMPLERS.module_dict)


def searches_of(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield what each search of a contest spent, CPU seconds, tried and, where it judged, said."""
    for file in sorted(folder.glob('*-data*/*.cost')):
        framework, _, data_seed = file.parent.name.rpartition('-data')
        spent = json.loads(file.read_text(encoding='utf-8'))
        if not spent['seconds']:
            continue  # a head that was given
        row = {'framework': framework, 'data_seed': int(data_seed), 'arm': file.stem, **spent}
        if file.stem == _JUDGED and (said := file.parent / 'study/verdict.json').is_file():
            row['verdict'] = json.loads(said.read_text(encoding='utf-8'))['sentence']
        yield row


@dataclass(frozen=True)
class Contest:
    """The arms of a framework on the images of one data seed.

    Attributes:
        framework: Of ``FRAMEWORKS``.
        data_seed: Which images are trained on, and which validate.
        folder: For genotypes and studies.
        store: Of the runs.
        variant: Strategy of ``configs/search``, of the arm of that name.
        sampler: Of the study of the arm ``checked``.
    """

    framework: str
    data_seed: int
    folder: Path
    store: RunStore
    variant: str
    sampler: str = 'TPE'

    @property
    def place(self) -> Path:
        """Folder of the heads that were found, with what was spent on each."""
        return self.folder / f'{self.framework}-data{self.data_seed}'

    def head(self, arm: str) -> Path:
        """Search for the head of an arm, unless that is done; return the file of its genotype.

        Raises:
            ValueError: If there is no such arm.
            RunFailed: If a training ends with an error.
            BlockingIOError: If another process is at one of its trainings.
        """
        check_known('arm', arm, ARMS)
        file = self.place / f'{arm}.json'
        if not file.is_file():
            kind, _, draw = arm.partition('-')
            searches: Mapping[str, Callable[[], Found]] = {
                'standard': lambda: (self._standard(), {'seconds': 0.0}),
                'tuned': self._tune,
                'plain': lambda: self._by_gradient(PLAIN),
                'variant': lambda: self._by_gradient(self.variant),
                'checked': self._check,
                'random': lambda: (self._random(int(draw)), {'seconds': 0.0}),
            }
            genotype, spent = searches[kind]()
            write_json(spent, file.with_suffix('.cost'))
            save_genotype(genotype, file)
        self._check_found(arm, file)
        return file

    def _check_found(self, arm: str, file: Path) -> None:
        """Refuse a head that another strategy or sampler has found, with a ValueError."""
        cost = file.with_suffix('.cost')
        spent = json.loads(cost.read_text(encoding='utf-8')) if cost.is_file() else {}
        for key, ours in (('strategy', self.variant), ('sampler', self.sampler)):
            if arm in ('variant', _JUDGED) and (by := spent.get(key, ours)) != ours:
                raise ValueError(
                    f'{file} was found by {by}, not by {ours}; take another --work-dir'
                )

    def verify(self, arm: str, seed: int) -> dict[str, Any]:
        """Train the head of an arm with a fresh seed and measure it on the test images: a row."""
        genotype = self.head(arm)
        cfg = self._config(genotype, seed)
        tested(cfg, _TEST)
        row = self.store.make(self.store.of(f'{self.framework}-{arm}', cfg), cfg)
        last = {name: curve[max(curve)] for name, curve in row['curves'].items()}
        decisions = load_genotype(genotype).decisions
        return {
            'framework': self.framework,
            'data_seed': self.data_seed,
            'arm': arm,
            'seed': seed,
            'digest': row['digest'][:12],
            'cpu': cpu(),
            'decided': {name: decision.chosen[0] for name, decision in decisions.items()},
            'knn_test': round(last['knn/test_top1'], 3),
            'linear_test': round(last['linear/test_top1'], 3),
            'seconds': round(row['process_seconds'], 1),
        }

    def _standard(self, more: Options | None = None) -> Genotype:
        # Tuning has a finer grid of temperatures than the space.
        space = {
            group: tuple(
                replace(row, options=TEMPERATURES, present=_PRESENT)
                if row.name == 'temperature'
                else row
                for row in rows
            )
            for group, rows in choices(self.framework).items()
        }
        options = standard_head(self.framework) | (more or {})
        return genotype_at(FRAMEWORKS[self.framework], space, options)

    def _random(self, draw: int) -> Genotype:
        return random_genotype(FRAMEWORKS[self.framework], choices(self.framework), draw)

    def _tune(self) -> Found:
        scores, spent = {}, 0.0
        for temperature in TEMPERATURES:
            head = self._standard({'temperature': temperature})
            rows = [self._train(head, f'tuned-{temperature}', seed) for seed in TUNING]
            scores[temperature] = fmean(score for score, _ in rows)
            spent += sum(seconds for _, seconds in rows)
        best = max(scores, key=scores.__getitem__)
        return self._standard({'temperature': best}), {'seconds': spent, 'scores': scores}

    def _by_gradient(self, strategy: str) -> Found:
        one = fmean(self._train(self._standard(), 'standard', seed)[1] for seed in TUNING)
        spent, found = 0.0, []
        searches = RunStore(
            self.store.folder,
            self.store.search,
            variables=self.store.variables,
            launch=self.store.launch,
        )
        for seed in itertools.count():
            if spent >= BUDGET * one:
                break
            cfg = self._cut(search_config(self.framework, SCALE, strategy, seed))
            run = searches.of(f'{self.framework}-{strategy}', cfg)
            spent += searches.make(run, cfg)['process_seconds']
            head = load_genotype(run / WORK / 'genotype.json')
            score, seconds = self._train(head, f'{strategy}-{seed}', 0)
            spent += seconds
            found.append((score, head))
        scores = [score for score, _ in found]
        told = {'seconds': spent, 'strategy': strategy, 'scores': scores}
        return max(found, key=lambda of: of[0])[1], told

    def _check(self) -> Found:
        rerank = dict(rerank=2, rerank_seeds=2)
        study = Study(
            sampler=dict(type=self.sampler),
            trials=BUDGET - 4,
            **rerank,
            max_seeds=len(SEEDS),
            images=_COMPARED,
            seed=self.data_seed,
        )
        ours, baseline = self._recipe(), load_config(
            str(ROOT / f'configs/nasiam/{self.framework}_r18_baseline_cifar10_demo.py')
        )  # fmt: skip
        SCALES[SCALE].apply(baseline)
        folder = self.place / 'study'
        space = choices(self.framework)
        trainings = Trainings(study, space, ours, self._cut(baseline), folder)
        worker = Worker(Jobs(trainings, Storage(folder, 'heads'), self.store))
        worker.run()
        plan = worker.plan()
        print(write_report(folder, plan, trainings))
        # Without any that is healthy the study keeps the standard head.
        options = next(iter(plan.current.heads.values()), standard_head(self.framework))
        spent = [t.seconds for t in plan.trials]
        spent += [c.seconds for c in plan.checks if c.phase == 'rerank']
        return trainings.genotype(options, 'study'), {
            'seconds': sum(spent),
            'sampler': self.sampler,
        }

    def _train(self, head: Genotype, name: str, seed: int) -> tuple[float, float]:
        """Return kNN on validation images, percent, and CPU seconds."""
        file = self.place / 'tried' / f'{name}.json'
        if not file.is_file():
            save_genotype(head, file)
        cfg = self._config(file, seed)
        row = self.store.make(self.store.of(f'{self.framework}-tried', cfg), cfg)
        curve = row['curves'][_KNN]
        return curve[max(curve)], row['process_seconds']

    def _config(self, genotype: Path, seed: int) -> Config:
        cfg = self._recipe()
        cfg.model.pop('space')  # a head of NASiam's space is none of it
        cfg.model.genotype = str(genotype)
        cfg.randomness = dict(seed=seed)
        return cfg

    def _recipe(self) -> Config:
        cfg = recipe(self.framework)
        SCALES[SCALE].apply(cfg)
        cfg.probe.update(interval=SCALES[SCALE].epochs, at_start=False, measures=[])
        return self._cut(cfg)

    def _cut(self, cfg: Config) -> Config:
        """Let parts be cut by the data seed."""
        for node in walk(cfg._cfg_dict):
            if type_name(node) == 'SplitDataset':
                node['seed'] = self.data_seed
        return cfg
