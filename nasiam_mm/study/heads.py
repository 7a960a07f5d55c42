# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Heads of a space as a study has them: options by the names of their choices."""

import hashlib
import json
from itertools import compress

from optuna.distributions import CategoricalDistribution

from nasiam_mm.architecture.choice import Choices
from nasiam_mm.architecture.genotype import Genotype, GenotypeError, random_genotype
from nasiam_mm.architecture.kinds.kind import Option, Options
from nasiam_mm.architecture.points import check_within, genotype_at


def distributions(choices: Choices) -> dict[str, CategoricalDistribution]:
    """Return what there is to choose from at each choice, as Optuna has it."""
    rows = [choice for layers in choices.values() for choice in layers]
    return {c.name: CategoricalDistribution(list(compress(c.options, c.present))) for c in rows}


def taken(genotype: Genotype, choices: Choices) -> dict[str, Option]:
    """Return the option of a genotype at every choice of a space.

    What decides nothing in it takes the first option of its choice.

    Raises:
        GenotypeError: If it is none of the space, or takes several operations at one layer.
    """
    check_within(genotype, choices)
    if several := [name for name, d in genotype.decisions.items() if len(d.chosen) > 1]:
        raise GenotypeError(f'takes several operations at {several[0]}, a study one')
    rows = [choice for layers in choices.values() for choice in layers]
    first = {c.name: next(compress(c.options, c.present)) for c in rows}
    return first | {name: d.chosen[0] for name, d in genotype.decisions.items()}


def head_key(options: Options, choices: Choices) -> str:
    """Return by what a head is known: a digest of what of its options counts."""
    genotype = genotype_at('', choices, options)
    told = {name: decision.told for name, decision in genotype.decisions.items()}
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()[:10]


def random_options(choices: Choices, seed: int) -> dict[str, Option]:
    """Draw a head uniformly from what a study proposes: of a cell each edge by itself."""
    return taken(random_genotype('', choices, seed), choices)


def told_head(options: Options, choices: Choices) -> str:
    """Write a head in one line: what of it counts."""
    genotype = genotype_at('', choices, options)
    parts: dict[str, list[str]] = {}
    for name, decision in genotype.decisions.items():
        head, _, kind = name.rpartition('.')
        if kind == 'op':
            parts.setdefault(head.split('.')[0], []).append(decision.told)
        else:
            parts.setdefault(head, []).append(f'{kind}={decision.told}')
    return '; '.join(f'{head}: {" ".join(p)}' if head else ' '.join(p) for head, p in parts.items())
