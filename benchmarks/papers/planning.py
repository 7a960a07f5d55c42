# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""From a table and seeds to the runs it takes, each named by a digest of what decides it."""

import copy
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from mmengine.config import Config

from benchmarks.papers.spec import Recipe, Table
from nasiam_mm.architecture.choice import Choice
from nasiam_mm.config_walk import find_hook, walk
from nasiam_mm.files.digest import file_digest
from nasiam_mm.models.spaces import choices_of_model
from nasiam_mm.runs.identity import EVALUATION, TRAINING, identity_digest, run_settings
from nasiam_mm.versions import require


@dataclass(frozen=True)
class Job:
    """One training run.

    Attributes:
        recipe: What it trains.
        seed: Seed of the run.
        cfg: Its config, resolved.
        digest: sha256 of all that decides the run's figures: what of its config
            does, the seed and where the genotype comes from.
        search: The search that its head comes from, or in whose space it is drawn.
    """

    recipe: Recipe
    seed: int
    cfg: Config
    digest: str
    search: 'Job | None' = None

    @property
    def head(self) -> str:
        """What the head is: its source, or 'standard'."""
        head = self.recipe.head
        if head is None:
            if self.is_detector:
                return 'random-init'
            return 'search' if self.is_search else 'standard'
        return {
            'searched': 'searched',
            'random': f'random-{head.draw}',
            'published': f'published-{Path(head.file).stem}',
        }[head.kind]

    @property
    def is_search(self) -> bool:
        """Whether the run searches a genotype."""
        return find_hook(self.cfg, 'AlphaStepHook') is not None

    @property
    def is_detector(self) -> bool:
        """Whether there is no pretraining: a detector begins from random weights."""
        return self.cfg.get('default_scope') == 'mmdet'

    @property
    def name(self) -> str:
        """Name of the run's folder."""
        config = Path(self.recipe.config).name.removesuffix('.py')
        return f'{config}-{self.head}-seed{self.seed}-{self.digest[:10]}'

    def needed(self) -> Iterator['Job']:
        """Yield the searches to make first, then the run."""
        if self.search is not None and self.recipe.head.kind == 'searched':
            yield from self.search.needed()
        yield self


def plan_table(table: Table, seeds: Sequence[int], root: Path) -> dict[str, dict[int, Job]]:
    """Resolve every row of a table for every seed.

    Args:
        table: The table.
        seeds: Seeds of the runs.
        root: Root of the project, which holds ``configs/``.

    Returns:
        Row name -> seed -> run, for the rows that train something.

    Raises:
        FileNotFoundError: If a config or a published genotype is missing.
        ModuleNotFoundError: If there is a detector and mmdet is absent.
        ValueError: If there is no seed, or one is not a whole number from 0.
    """
    if not seeds or len(set(seeds)) != len(seeds) or min(seeds) < 0:
        raise ValueError(f'seeds must be different whole numbers from 0, got {list(seeds)}')
    return {
        row.name: {seed: plan_run(row.recipe, seed, root) for seed in seeds}
        for row in table.rows
        if row.recipe is not None
    }


def plan_run(recipe: Recipe, seed: int, root: Path) -> Job:
    """Resolve one recipe for one seed."""
    cfg = read_recipe(recipe, root)
    cfg.randomness = {**cfg.get('randomness', {}), 'seed': seed}
    head = recipe.head
    if head is None:
        return Job(recipe, seed, cfg, config_digest(cfg))
    search = head.search and plan_run(head.search, seed, root)
    source: dict[str, Any] = {'kind': head.kind}
    if head.kind == 'searched':
        source['search'] = search.digest
    elif head.kind == 'random':
        choices = searched_choices(search.cfg).values()
        source['choices'] = [asdict(choice) for layers in choices for choice in layers]
        source |= {'top_k': top_k(search.cfg), 'draw': head.draw}
    else:
        path = root / head.file
        if not path.is_file():
            raise FileNotFoundError(f"published genotype '{path}' does not exist")
        source['file'] = file_digest(path)
    return Job(recipe, seed, cfg, config_digest(cfg, head=source), search)


def searched_choices(cfg: Config) -> dict[str, tuple[Choice, ...]]:
    """Return the choices of a search: head -> those of its layers.

    Raises:
        ValueError: If the config searches nothing.
    """
    if not any(part.get('space') for part in walk(cfg.model)):
        raise ValueError(f"config '{cfg.filename}' has no model.space, so it searches nothing")
    return choices_of_model(cfg.model)


def top_k(cfg: Config) -> int:
    """Return how many operations a search keeps per layer."""
    return (find_hook(cfg, 'GenotypeHook') or {}).get('top_k', 1)


def config_digest(cfg: Config, **more: Any) -> str:
    """Return the sha256 of all that decides the figures of a config, and of what else does."""
    plain = cfg.to_dict()
    if plain.get('default_scope') == 'mmdet':
        # Here stand the weights of the run's own checkpoint, whose digest its measure holds.
        model = plain['model']
        for part in (model['backbone'], model.get('roi_head', {}).get('shared_head') or {}):
            part.pop('init_cfg', None)
    settings = run_settings(plain, (*TRAINING, *EVALUATION))
    return identity_digest({**settings, 'data': (plain.get('data') or {}).get('root'), **more})


def read_recipe(recipe: Recipe, root: Path) -> Config:
    """Read the config of a recipe, with the whole batch in one process, and make its edits."""
    path = recipe.path(root)
    if not path.is_file():
        raise FileNotFoundError(f"config '{path}' does not exist")
    if recipe.config.startswith('detection/'):
        require('mmdet', 'detection')
    cfg = copy.deepcopy(_read_config(path, path.stat().st_mtime_ns))
    # A run is one process; the rates are for this batch.
    if whole := (cfg.get('auto_scale_lr') or {}).get('base_batch_size'):
        cfg.train_dataloader.batch_size = whole
    for edit in recipe.edits:
        edit(cfg)
    return cfg


@lru_cache
def _read_config(path: Path, mtime: int) -> Config:
    """Read a config once; a table reads the same few over and over."""
    return Config.fromfile(path)


def config_changes(recipe: Recipe, root: Path) -> dict[str, Any]:
    """Name what a run of a recipe changes in its shipped config: setting -> new value.

    A setting that is gone has the value None.
    """
    path = recipe.path(root)
    before = _flat(_read_config(path, path.stat().st_mtime_ns).to_dict())
    after = _flat(read_recipe(recipe, root).to_dict())
    names = [*after, *(name for name in before if name not in after)]
    return {name: after.get(name) for name in names if before.get(name) != after.get(name)}


def _flat(node: Any, name: str = '') -> dict[str, Any]:
    """Flatten nested dicts and lists to one dict by dotted names."""
    items = node.items() if isinstance(node, dict) else enumerate(node)
    flat: dict[str, Any] = {}
    for key, value in items:
        inner = f'{name}.{key}'.lstrip('.')
        flat |= _flat(value, inner) if isinstance(value, (dict, list, tuple)) else {inner: value}
    return flat


def all_jobs(plan: dict[str, dict[int, Job]]) -> list[Job]:
    """Return each run of a plan once, searches before what they are needed for.

    All runs of the first seed come before those of the second, so that an
    interrupted table has whole seeds.
    """
    seeds = sorted({seed for runs in plan.values() for seed in runs})
    found: dict[str, Job] = {}
    for seed in seeds:
        for runs in plan.values():
            for job in runs[seed].needed():
                found.setdefault(job.digest, job)
    return list(found.values())
