# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What a search by gradient brings into a study: its heads are candidates like all others."""

import json
from pathlib import Path

from mmengine.config import Config

from nasiam_mm.architecture.choice import Choices
from nasiam_mm.architecture.kinds.kind import Option
from nasiam_mm.architecture.points import genotype_at
from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.study.heads import taken

RANKING = 'sampled.json'
TOP = 3  # heads of the ranking
OTHERS = 3  # its genotype, and those that with_selections adds


def with_selections(cfg: Config) -> Config:
    """Let a search also choose by perturbation and rank sampled heads, once it is at its end."""
    hook = cfg.default_hooks.setdefault('genotype', dict(type='GenotypeHook'))
    own = (hook.get('selection') or {}).get('type')
    more = [s for s in (dict(type='Perturbation'), dict(type='BestOfSampled')) if s['type'] != own]
    hook['also'] = [*hook.get('also', ()), *more]
    return cfg


def found_heads(work: Path, choices: Choices, top: int) -> dict[str, dict[str, Option]]:
    """Read what a finished search found: what chose it -> options of the head, without repeats.

    That is its genotype, those that ``GenotypeHook.also`` chose, and the ``top`` of a ranking of
    sampled heads by the weights of the supernet.

    Raises:
        GenotypeError: If one is none of the space.
    """
    files = {'genotype': work / 'genotype.json'}
    files |= {path.stem: path for path in sorted((work / 'also').glob('*.json'))}
    found = {name: taken(load_genotype(str(path)), choices) for name, path in files.items()}
    if (work / RANKING).is_file():
        ranking = json.loads((work / RANKING).read_text(encoding='utf-8'))['ranking']
        for number, row in enumerate(ranking[:top], 1):
            genotype = genotype_at('', choices, row['chosen'])
            found[f'supernet {number}'] = taken(genotype, choices)
    several: dict[str, dict[str, Option]] = {}
    for name, options in found.items():
        if options not in several.values():
            several[name] = options
    return several
