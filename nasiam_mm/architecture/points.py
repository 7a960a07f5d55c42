# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Genotypes as points of a space: made by name and option, and checked to be one of it."""

from collections.abc import Mapping
from itertools import compress
from typing import Any

from nasiam_mm.architecture.choice import Choice, Choices
from nasiam_mm.architecture.genotype import Decision, Genotype, GenotypeError
from nasiam_mm.architecture.kinds.kind import Option
from nasiam_mm.architecture.names import idle_choices


def genotype_at(
    framework: str,
    choices: Choices,
    options: Mapping[str, Option],
    provenance: Mapping[str, Any] = {},
) -> Genotype:
    """Take an option, by its name, at every choice of a space: what a sampling strategy gives.

    What decides nothing beside the rest is left out, given or not.

    Raises:
        GenotypeError: If a name is no choice of the space, a choice is left open, or an option is
            none of its candidates.
    """
    rows = {choice.name: choice for layers in choices.values() for choice in layers}
    if unknown := [name for name in options if name not in rows]:
        raise GenotypeError(f'{unknown[0]!r:.60} is no choice of the space; it has {list(rows)}')
    idle = idle_choices(options)
    decisions = {}
    for name, choice in rows.items():
        if name in options and name not in idle:
            _check_taken(choice, (options[name],))
            decisions[name] = Decision(choice.options, (options[name],))
    _check_complete(rows, options)
    return Genotype(framework, decisions, dict(provenance))


def check_within(genotype: Genotype, choices: Choices) -> None:
    """Raise GenotypeError unless a genotype is one of a space."""
    rows = {choice.name: choice for layers in choices.values() for choice in layers}
    for name, decision in genotype.decisions.items():
        if name not in rows:
            has = f'which the space does not have; it has {", ".join([*rows][:3])}'
            raise GenotypeError(f'decides {name}, {has}{", ..." if len(rows) > 3 else ""}')
        _check_taken(rows[name], decision.chosen)
    taken = {name: decision.chosen[0] for name, decision in genotype.decisions.items()}
    _check_complete(rows, taken)


def _check_taken(choice: Choice, taken: tuple[Option, ...]) -> None:
    candidates = list(compress(choice.options, choice.present))
    if other := [option for option in taken if option not in candidates]:
        raise GenotypeError(f'takes {other[0]!r:.60} at {choice.name}; the space has {candidates}')


def _check_complete(rows: Mapping[str, Choice], options: Mapping[str, Option]) -> None:
    every = {name: choice.options[0] for name, choice in rows.items()} | dict(options)
    # Of those not taken none may count; operations alone do not say that there are no others.
    idle = idle_choices(every)
    if left := [name for name in rows if name not in options and name not in idle]:
        raise GenotypeError(f'leaves {left[0]} open, which the space decides')
