# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""From alpha to a genotype (NASiam, Algorithm 1)."""

from collections.abc import Mapping
from typing import Any

from nasiam_mm.architecture.alpha import Architecture
from nasiam_mm.architecture.genotype import Decision, Genotype, GenotypeError


def top_k(
    architecture: Architecture,
    framework: str,
    k: int = 1,
    provenance: Mapping[str, Any] | None = None,
) -> Genotype:
    """Choose the k operations of highest alpha at each layer.

    Where a choice falls between equal alphas, the first in the space's order is
    taken; :attr:`Decision.tied` names the others.

    Args:
        architecture: Alpha and candidates of the searched heads.
        framework: Algorithm it was searched in.
        k: Operations per layer: 1, or 2 (``edge`` of the paper), whose outputs add.
        provenance: Where it comes from.

    Raises:
        GenotypeError: If a value of alpha is not finite.
    """
    decisions = {}
    for head, choices in architecture.choices.items():
        alpha = architecture.alpha(head).detach().cpu()
        present = architecture.present(head).cpu()
        for choice, row, here in zip(choices, alpha, present, strict=True):
            if not row[here].isfinite().all():
                raise GenotypeError(
                    f'alpha of {choice.name} is not finite: {row.tolist()}; lower the alpha '
                    'learning rate, or resume from an earlier checkpoint'
                )
            # A stable sort keeps the space's order among equals.
            order = row.masked_fill(~here, float('-inf')).argsort(descending=True, stable=True)
            best = order[: min(k, int(here.sum()))].tolist()
            scores = [
                value if counts else None
                for value, counts in zip(row.tolist(), here.tolist(), strict=True)
            ]
            decisions[choice.name] = Decision(
                choice.options, tuple(choice.options[n] for n in best), tuple(scores)
            )
    told = {'selection': 'top_k', 'top_k': k, **(provenance or {})}
    return Genotype(framework, decisions, told)
