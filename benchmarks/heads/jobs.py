# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The runs of a table: a head of a framework at a scale, with a seed."""

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from mmengine.config import Config

from benchmarks import ROOT
from benchmarks.heads.sample import balanced_heads
from benchmarks.heads.scales import SCALES, TEST, Scale
from benchmarks.heads.searched import STRATEGIES
from nasiam_mm.architecture.choice import Choices
from nasiam_mm.architecture.genotype import Genotype, random_genotype, save_genotype
from nasiam_mm.architecture.kinds.kind import Options
from nasiam_mm.architecture.points import genotype_at
from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.cli.reading import load_config
from nasiam_mm.models.spaces import choices_of_model
from nasiam_mm.models.standard import standard_options

FRAMEWORKS = {'simclr': 'SimCLR', 'simsiam': 'SimSiam', 'byol': 'BYOL'}
HEADS = 96  # drawn of each framework's space
_DRAW = 0  # seed of that draw
_DRAWS = range(1, 6)  # of NASiam's space, for the gate
GATED = (
    *('standard', 'linear', 'deep', 'plain', 'plain-linear', 'plain-deep'),
    *(f'random-{draw}' for draw in _DRAWS),
)
# Seconds of a run that are not spent on the head: fewer views than LiDAR is published with.
_MEASURES = [
    dict(type='RankMe'),
    dict(type='AlphaReQ'),
    dict(type='LiDAR', images=500, per_image=4),
    dict(type='Alignment'),
    dict(type='Uniformity'),
    dict(type='Contrast'),
]


@dataclass(frozen=True)
class Job:
    """A run: its head is one of a table, see :func:`genotype`, or a file of a genotype."""

    framework: str
    scale: str
    head: str
    seed: int

    @property
    def row(self) -> tuple[str, str, str, int]:
        """What its row is known by."""
        name = f'{self.head}-{self.seed}' if self.head in STRATEGIES else Path(self.head).stem
        return self.framework, self.scale, name, self.seed

    def __str__(self) -> str:
        """Return a name for people."""
        return f'{self.framework}-{self.scale}-{Path(self.head).stem}'


def check_jobs(framework: str, scale: str, heads: Sequence[str], seeds: Sequence[int]) -> None:
    """Refuse, with a ValueError, what cannot be trained, before anything is.

    Raises:
        FileNotFoundError: If a head is neither known nor a file.
    """
    check_known('framework', framework, FRAMEWORKS)
    check_known('scale', scale, SCALES)
    check_seeds('seed', seeds)
    known = {*drawn_heads(framework), *GATED, *STRATEGIES}
    for head in {*heads} - known:
        if not Path(head).is_file():
            told = f'h00 to h{HEADS - 1}, {", ".join((*GATED, *STRATEGIES))}'
            raise FileNotFoundError(f'{head!r} is neither a file nor a head: {told}')
        if (stem := Path(head).stem) in known or stem.rpartition('-')[0] in STRATEGIES:
            raise ValueError(f'{head}: {stem} is the name of another head; rename the file')
        if (of := load_genotype(head).framework) != FRAMEWORKS[framework]:
            raise ValueError(f'{head} is of {of}, not of {FRAMEWORKS[framework]}')


def check_known(what: str, name: str, known: Iterable[str]) -> None:
    """Refuse a name that is none, with a ValueError."""
    if name not in known:
        raise ValueError(f'there is no {what} {name!r}; take one of {", ".join(known)}')


def check_seeds(what: str, seeds: Sequence[int]) -> None:
    """Refuse, with a ValueError, what cannot be a seed."""
    for seed in seeds:
        if not 0 <= seed < 2**32:
            raise ValueError(f'a {what} is a whole number from 0 to {2**32 - 1}, got {seed}')


def jobs(framework: str, scale: str, heads: Sequence[str], seeds: Sequence[int]) -> Iterator[Job]:
    """Yield the runs of a table, seed by seed, so that every head has as many, to one."""
    for seed in seeds:
        for head in heads:
            yield Job(framework, scale, head, seed)


@lru_cache
def choices(framework: str) -> Choices:
    """Return what there is to choose from in the space of a framework's recipe."""
    return choices_of_model(recipe(framework).model)


@lru_cache
def standard_head(framework: str) -> Options:
    """Return the head that a framework's baseline has, in the space of its recipe."""
    baseline = load_config(str(ROOT / f'configs/nasiam/{framework}_r18_baseline_cifar10_demo.py'))
    found = standard_options(baseline.model, recipe(framework).model)
    names = {choice.name for rows in choices(framework).values() for choice in rows}
    # BatchNorm and ReLU behind the hidden layer are an operation of this space.
    hidden = {'projector.0.op': 'linear_bn_relu'}
    return {name: option for name, option in found.items() if name in names} | hidden


@lru_cache
def drawn_heads(framework: str) -> Mapping[str, Options]:
    """Return the heads of a framework's table by name, the standard one first."""
    found = balanced_heads(choices(framework), HEADS, _DRAW)
    return {'standard': standard_head(framework)} | {
        f'h{n:02}': head for n, head in enumerate(found)
    }


@lru_cache
def gate_heads(framework: str) -> Mapping[str, Genotype]:
    """Return the heads that a scale is judged by, before a table is made at it.

    The standard one, without its hidden layer and with five of them; the three again without an
    output normalisation; and the five random heads of NASiam's space that docs/results/heads_demo
    trained at 32 pixels.
    """
    standard = standard_head(framework)
    deep = {f'projector.{n}.op': 'linear_bn_relu' for n in range(5)}
    shapes = {
        'standard': standard,
        'linear': standard | {'projector.depth': 1},
        'deep': standard | deep | {'projector.depth': 6},
    }
    plain = {'projector.output_norm': 'none'}
    shapes |= {
        f'plain-{name}' if name != 'standard' else 'plain': shape | plain
        for name, shape in shapes.items()
    }
    found = {name: _at(framework, shape) for name, shape in shapes.items()}
    search = load_config(str(ROOT / f'configs/nasiam/{framework}_r18_search_cifar10_demo.py'))
    space = choices_of_model(search.model)
    for draw in _DRAWS:
        found[f'random-{draw}'] = random_genotype(FRAMEWORKS[framework], space, draw)
    return found


def genotype(job: Job) -> Genotype:
    """Return the head of a run."""
    if (options := drawn_heads(job.framework).get(job.head)) is not None:
        return _at(job.framework, options)
    return gate_heads(job.framework).get(job.head) or load_genotype(job.head)


def _at(framework: str, options: Options) -> Genotype:
    return genotype_at(FRAMEWORKS[framework], choices(framework), options)


def config(job: Job, folder: Path) -> Config:
    """Return the config of a run; its genotype is written into the folder.

    Raises:
        ValueError: If there is no such framework, scale or head.
    """
    check_known('framework', job.framework, FRAMEWORKS)
    check_known('scale', job.scale, SCALES)
    cfg = recipe(job.framework)
    SCALES[job.scale].apply(cfg)
    cfg.model.genotype = str(_written(job, folder / 'genotypes'))
    # A genotype of a file need not be one of the space.
    cfg.model.pop('space')
    cfg.randomness = dict(seed=job.seed)
    measured(cfg, SCALES[job.scale])
    return cfg


def measured(cfg: Config, scale: Scale) -> None:
    """Let a run log, at the end of every epoch, all that a row of the table holds."""
    tested(cfg, TEST)
    cfg.probe.update(interval=scale.interval, at_start=False, measures=_MEASURES)
    hooks = cfg.default_hooks
    hooks.collapse.interval = None
    # The log of an epoch is the mean of its iterations; no run is long enough to be resumed.
    hooks.logger.interval = scale.iterations
    hooks.checkpoint.update(interval=scale.epochs)
    cfg.log_processor = dict(window_size=scale.iterations)


def tested(cfg: Config, images: int) -> None:
    """Let a run measure so many test images wherever it measures validation images."""
    test = json.loads(json.dumps(cfg.probe.query.to_dict()))
    test['dataset'].update(parts=dict(test=images), part='test')
    test['dataset']['dataset']['split'] = 'test'
    cfg.probe.test = test
    cfg.default_hooks.probe = dict(type='TableProbeHook')
    cfg.custom_imports = dict(imports=['benchmarks.heads.hook'])


def recipe(framework: str) -> Config:
    """Return the config that trains heads of a framework's space, which it names."""
    return load_config(str(ROOT / 'benchmarks/heads/recipes' / f'{framework}.py'))


def _written(job: Job, folder: Path) -> Path:
    # Written anew each time: a file of the same name may be of an earlier definition of the head.
    path = folder / f'{job.framework}-{Path(job.head).stem}.json'
    save_genotype(genotype(job), path)
    return path
