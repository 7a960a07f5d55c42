# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Genotypes: what a search found, as data (NASiam, Algorithm 1).

A genotype is JSON with a schema version, read with validation and never
evaluated or unpickled. It holds, per cell, the widths, candidates, alpha,
softmax and chosen operations of each layer, and where it came from.
"""

import json
import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from torch import Tensor

from nasiam_mm.files.atomic import atomic_path
from nasiam_mm.ops.candidates import LayerShape, distinct_candidates

SCHEMA_VERSION = 1


class GenotypeError(ValueError):
    """A genotype that cannot be used; the message says what, where and the mend."""


@dataclass(frozen=True)
class LayerGenotype:
    """One layer of a head.

    Attributes:
        in_channels: Width of the input.
        out_channels: Width of the output.
        is_output: Whether the layer carries no BatchNorm and no activation.
        candidates: Operations the layer was chosen from, in the space's order.
        ops: The one or two chosen operations; the outputs of two add.
        alpha: Architecture parameter per candidate; empty if not searched.
        softmax: Mixing weight per candidate; empty if not searched.
        tied: Candidates whose alpha equals that of the last chosen operation
            but that were left out: the choice between them was not earned.
    """

    in_channels: int
    out_channels: int
    is_output: bool
    candidates: tuple[str, ...]
    ops: tuple[str, ...]
    alpha: tuple[float, ...] = ()
    softmax: tuple[float, ...] = ()
    tied: tuple[str, ...] = ()

    @property
    def shape(self) -> LayerShape:
        """Widths of the layer."""
        return LayerShape(self.in_channels, self.out_channels, self.is_output)


@dataclass(frozen=True)
class CellGenotype:
    """Layers of one cell, input first."""

    layers: tuple[LayerGenotype, ...]

    @property
    def shapes(self) -> tuple[LayerShape, ...]:
        """Widths of the layers."""
        return tuple(layer.shape for layer in self.layers)

    @property
    def ops(self) -> tuple[tuple[str, ...], ...]:
        """Chosen operations of each layer."""
        return tuple(layer.ops for layer in self.layers)


@dataclass(frozen=True)
class Genotype:
    """Architecture of the searched cells of one framework.

    Attributes:
        framework: Algorithm it was searched in, such as ``'SimSiam'``.
        space: Ordered names of the searched operations.
        cells: Cell name (``'projector'``, ``'predictor'``) -> layers.
        provenance: Where it came from: config, dataset digest, seed, epoch,
            package versions.
        edge: Whether each layer keeps its top two operations.
    """

    framework: str
    space: tuple[str, ...]
    cells: Mapping[str, CellGenotype]
    provenance: Mapping[str, Any] = field(default_factory=dict)
    edge: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Plain data in the order of the schema."""
        return {
            'schema_version': SCHEMA_VERSION,
            'framework': self.framework,
            'space': list(self.space),
            'edge': self.edge,
            'cells': {
                name: {'layers': [_plain(layer) for layer in cell.layers]}
                for name, cell in self.cells.items()
            },
            'provenance': dict(self.provenance),
        }


def _plain(layer: LayerGenotype) -> dict[str, Any]:
    plain = {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(layer).items()}
    return {k: v for k, v in plain.items() if v != [] or k in ('candidates', 'ops')}


def derive_cell(
    alpha: Tensor, space: Sequence[str], shapes: Sequence[LayerShape], edge: bool = False
) -> CellGenotype:
    """Choose the top operation per layer, or the top two (NASiam, Algorithm 1).

    Where a choice falls between equal alphas, the first in the space's order is
    taken and the others are named in ``tied``.

    Args:
        alpha: Architecture parameters, (L, K).
        space: Ordered names of the K operations.
        shapes: Widths of the L layers.
        edge: Whether to choose two operations per layer.

    Raises:
        GenotypeError: If alpha is not (L, K), or a value of it is not finite.
    """
    if alpha.shape != (len(shapes), len(space)):
        raise GenotypeError(
            f'alpha has shape {tuple(alpha.shape)}, but {len(shapes)} layers of '
            f'{len(space)} operations need {(len(shapes), len(space))}'
        )
    layers = []
    for number, (row, shape) in enumerate(zip(alpha.detach().cpu(), shapes, strict=True)):
        if not row.isfinite().all():
            raise GenotypeError(
                f'alpha of layer {number} is not finite: {row.tolist()}; lower the alpha '
                'learning rate, or resume from an earlier checkpoint'
            )
        candidates = distinct_candidates(tuple(space), *shape)
        values = row[list(candidates)]
        names = list(candidates.values())
        # A stable sort keeps the space's order among equals.
        order = values.argsort(descending=True, stable=True).tolist()
        chosen, left = order[: 1 + edge], order[1 + edge :]
        tied = tuple(names[k] for k in left if values[k] == values[chosen[-1]])
        layers.append(
            LayerGenotype(
                *shape,
                candidates=tuple(names),
                ops=tuple(names[k] for k in chosen),
                alpha=tuple(values.tolist()),
                softmax=tuple(values.double().softmax(0).tolist()),
                tied=tied,
            )
        )
    return CellGenotype(tuple(layers))


def random_cell(
    space: Sequence[str], shapes: Sequence[LayerShape], seed: int, edge: bool = False
) -> CellGenotype:
    """Draw each layer's operations uniformly from its candidates: the honest baseline."""
    rng = random.Random(seed)
    layers = []
    for shape in shapes:
        names = tuple(distinct_candidates(tuple(space), *shape).values())
        ops = tuple(rng.sample(names, min(1 + edge, len(names))))
        layers.append(LayerGenotype(*shape, candidates=names, ops=ops))
    return CellGenotype(tuple(layers))


def save_genotype(genotype: Genotype, path: str | os.PathLike) -> None:
    """Write a genotype as JSON, whole or not at all."""
    text = json.dumps(genotype.to_dict(), indent=2, allow_nan=False) + '\n'
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding='utf-8')
