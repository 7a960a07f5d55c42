# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Projector or predictor: to be searched, or of what was decided (NASiam, section 3.1)."""

import os
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from mmengine.model import BaseModule
from torch import Tensor, nn

from nasiam_mm.architecture.genotype import Genotype, GenotypeError
from nasiam_mm.architecture.kinds.kind import Option
from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.architecture.space import read_kinds, split_for_gradient
from nasiam_mm.models.choice import ChoiceCell, FixedCell
from nasiam_mm.models.head_plan import (
    check,
    decide,
    decide_by_genotype,
    hidden_layer,
    hidden_shapes,
    output_layer,
    recipe_plan,
)
from nasiam_mm.models.seeds import own_stream
from nasiam_mm.ops.candidates import LayerShape, check_space, layer_shapes
from nasiam_mm.registry import MODELS


@MODELS.register_module()
class HeadMLP(BaseModule):
    """Global average pooling, a cell, a fixed output layer.

    With ``space`` the cell is searched; with ``genotype`` it is what a search (or chance, or a
    publication) decided, at the widths given here. Where a genotype decides the depth, or no
    operation, the head is an MLP of that many linear layers, the last of which is its output layer,
    as wide as ``out_channels``, or else as the cell. An algorithm hands its own ``space`` or
    ``genotype`` on to each of its heads. It takes and gives tuples, as mmpretrain's necks do, so it
    fits the neck of an algorithm and the predictor of ``LatentPredictHead`` alike. Its first
    weights are a function of the run's seed and the head alone.

    Args:
        name: Which head it is: ``'projector'`` (C_e) or ``'predictor'`` (C_p).
        in_channels: Width of the input.
        hidden_channels: Output width of each layer of the cell but the last.
        cell_channels: Output width of the last; None for ``hidden_channels``.
        depth: Number of layers to search; a genotype's decisions say their own.
        space: Ordered names of registered operations to choose from, or a dict of kinds of choices
            of this head, of which all but ``op`` have one option.
        genotype: A genotype, or the path of its file.
        plain_output: Whether the cell's last layer has no BatchNorm or activation (a predictor's).
        fused: See ``ChoiceLayer``; ``mixing`` and ``auxiliary``: see ``ChoiceCell``.
        out_channels: Width of the linear output layer behind the cell; None for no such layer.
        with_last_bn: Whether BatchNorm follows the output layer.
        with_last_bn_affine: Whether that BatchNorm has an affine map (SimSiam: False).
        with_last_bias: Whether the output layer has a bias; before BatchNorm it has none.
        with_avg_pool: Whether the input, (N, C_in, H, W), is averaged over H and W first.

    A genotype that cannot be used or has no such head is a GenotypeError; an operation that is not
    registered, a width that cannot be, or a space beside a genotype, a ValueError.
    """

    def __init__(
        self,
        name: str,
        in_channels: int,
        hidden_channels: int,
        cell_channels: int | None = None,
        depth: int | None = None,
        space: Sequence[str] | Mapping[str, Sequence] | None = None,
        genotype: Genotype | str | os.PathLike | None = None,
        plain_output: bool = False,
        fused: bool = False,
        mixing: dict | None = None,
        auxiliary: dict | None = None,
        out_channels: int | None = None,
        with_last_bn: bool = False,
        with_last_bn_affine: bool = True,
        with_last_bias: bool = True,
        with_avg_pool: bool = True,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        if with_last_bn and out_channels is None:
            raise ValueError('with_last_bn needs an output layer: set out_channels')
        if space is not None and genotype is not None:
            raise ValueError(f'the {name} has a space to search and a genotype; give one of them')
        self.name = name
        norm = 'none' if not with_last_bn else 'bn' if with_last_bn_affine else 'bn_no_affine'
        widths = in_channels, hidden_channels, cell_channels, out_channels
        recipe = recipe_plan(name, *widths, norm, with_last_bias)
        self.fixed: dict[str, Option] = {}  # kind of choice -> what a space fixes beside operations
        ops: Any  # names of a space, or decisions
        if space is not None:
            ops, self.fixed = operations_of(name, space)
            plan = check(decide(recipe, self.fixed))
        else:
            read = _read(genotype, name)
            ops, plan = read.of(name), decide_by_genotype(recipe, read)
            depth = len(ops)
        has_output = plan.depth is not None or out_channels is not None
        if plan.depth is not None:
            shapes = hidden_shapes(plan)
        else:
            last = cell_channels if has_output else plan.out_channels
            cell = plan.in_channels, plan.hidden_channels, last
            shapes = head_shapes(name, *cell, depth, plain_output)
        if not has_output and (plan.output_norm != norm or plan.behind_output):
            mend = 'decide its depth as well, or set out_channels'
            raise ValueError(f'the {name} of this recipe has no output layer to follow; {mend}')
        with own_stream(name):
            self.pool = nn.AdaptiveAvgPool2d(1) if with_avg_pool else None
            if space is not None:
                self.cell: Any = ChoiceCell(name, ops, shapes, fused, mixing, auxiliary)
            else:
                self.cell = FixedCell(shapes, ops, partial(hidden_layer, plan))
            self.output = nn.Sequential()
            if has_output:
                width = shapes[-1].out_channels if shapes else plan.in_channels
                self.output = output_layer(plan, width)
        self.in_channels, self.out_channels = plan.in_channels, plan.out_channels

    @property
    def is_searched(self) -> bool:
        """Whether the operations of the cell are choices."""
        return isinstance(self.cell, ChoiceCell)

    def forward(self, x: Sequence[Tensor]) -> tuple[Tensor]:
        """Map the last of the inputs, (N, C_in, H, W) or (N, C_in), to a tuple of (N, C_out)."""
        features = x[-1] if self.pool is None else self.pool(x[-1]).flatten(1)
        return (self.output(self.cell(features)),)


def head_shapes(
    name: str,
    in_channels: int,
    hidden_channels: int,
    cell_channels: int | None = None,
    depth: int | None = None,
    plain_output: bool = False,
    **others: Any,
) -> tuple[LayerShape, ...]:
    """Widths of the layers of a cell, from the arguments of its :class:`HeadMLP`.

    ValueError if the depth or a width is not a positive integer.
    """
    if not isinstance(depth, int) or isinstance(depth, bool) or depth < 1:
        raise ValueError(f'depth of the {name} must be a positive integer, got {depth!r}')
    last = hidden_channels if cell_channels is None else cell_channels
    return layer_shapes(in_channels, [hidden_channels] * (depth - 1) + [last], plain_output)


def operations_of(
    name: str, space: Sequence[str] | Mapping[str, Sequence]
) -> tuple[tuple[str, ...], dict[str, Option]]:
    """Return what a search by gradient mixes in a head, and kind -> option of what is fixed.

    ValueError if the space holds no operations or something that cannot be mixed.
    """
    if not isinstance(space, Mapping):
        check_space(space)
        return tuple(space), {}
    ops, fixed = split_for_gradient(name, read_kinds(name, space))
    if not ops or fixed.get('depth') == 1 or fixed.get('form', 'mlp') != 'mlp':
        mend = 'add op=[...] and two layers or more, or give it a genotype'
        raise ValueError(f'the space leaves no operation of the {name} to search; {mend}')
    return ops, fixed


def _read(genotype: Genotype | str | os.PathLike | None, head: str) -> Genotype:
    if genotype is None:
        raise GenotypeError(
            f'the {head} has neither a space to search nor a genotype; give one by '
            '--genotype FILE, or set model.space'
        )
    read = genotype if isinstance(genotype, Genotype) else load_genotype(genotype)
    if head in read.heads:
        return read
    which = 'the genotype' if read is genotype else f"genotype '{genotype!s:.200}'"
    held = f'has no {head}, only {list(read.heads)}; take one searched with that head'
    raise GenotypeError(f'{which} ({read.framework}) {held}')
