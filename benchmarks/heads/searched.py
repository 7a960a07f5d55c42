# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Heads that searches by gradient choose in NASiam's space, by each strategy of configs/search."""

from pathlib import Path

from mmengine.config import Config

from benchmarks import ROOT
from benchmarks.heads.scales import SCALES, VAL
from nasiam_mm.cli.reading import load_config
from nasiam_mm.cli.strategy import merge_strategy
from nasiam_mm.files.atomic import copy_file, write_json
from nasiam_mm.runs.store import WORK, RunStore

STRATEGIES = sorted(path.stem for path in (ROOT / 'configs/search').glob('*.py'))


def search_config(framework: str, scale: str, strategy: str, seed: int) -> Config:
    """Return the config of a search at a scale: as many images and epochs as a training has.

    Half of the images are for the weights, the other half for alpha.
    """
    cfg = load_config(str(ROOT / f'configs/nasiam/{framework}_r18_search_cifar10_demo.py'))
    merge_strategy(cfg, strategy)
    SCALES[scale].apply(cfg)
    half = SCALES[scale].images // 2
    parts = [('weights', half), ('alpha', half), ('val', VAL)]
    alpha = cfg.default_hooks.alpha_step.dataloader
    for part in (cfg.train_dataloader.dataset, alpha.dataset, cfg.probe.bank, cfg.probe.query):
        part.dataset.parts = parts
    cfg.pop('probe')
    cfg.randomness = dict(seed=seed)
    return cfg


def searched_head(store: RunStore, folder: Path, framework: str, scale: str, name: str) -> Path:
    """Search, unless that is done, and return the genotype that was found.

    Args:
        store: Of the searches.
        folder: For genotypes and what their searches took.
        framework: Of the recipe.
        scale: Of ``SCALES``.
        name: Strategy and seed, as ``gdas-0``.

    Raises:
        RunFailed: If the search ends with an error.
        BlockingIOError: If another process is at it.
    """
    strategy, _, seed = name.rpartition('-')
    found = folder / f'{framework}-{scale}' / f'{name}.json'
    if not found.is_file():
        cfg = search_config(framework, scale, strategy, int(seed))
        run = store.of(f'{framework}-{scale}-{strategy}', cfg)
        row = store.make(run, cfg)
        write_json({'seconds': row['process_seconds']}, cost_of(found))
        copy_file(run / WORK / 'genotype.json', found)
    return found


def cost_of(genotype: Path) -> Path:
    """Return where it stands what the search of a genotype took."""
    return genotype.with_suffix('.cost')
