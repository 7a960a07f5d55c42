# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What a head, a backbone and a model are to be: the recipe's word, and what choices make of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from torch import nn

# Of a width.
LayerBuilder = Callable[[int], nn.Module]

# Hidden and output normalisations by name. Those of the batch take a bias before them away.
NORMS: dict[str, LayerBuilder | None] = {
    'none': None,
    'bn': nn.BatchNorm1d,
    'bn_no_affine': partial(nn.BatchNorm1d, affine=False),
    'ln': nn.LayerNorm,
}
CENTRING = {'bn', 'bn_no_affine'}

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    'relu': nn.ReLU,
    'gelu': nn.GELU,
    'silu': nn.SiLU,
    'tanh': nn.Tanh,
}


@dataclass(frozen=True)
class HeadPlan:
    """A head as its recipe says; a kind of choice returns another one by ``replace``.

    Attributes:
        name: Of the head.
        in_channels: Width of its input.
        hidden_channels: Width of its hidden layers.
        out_channels: Width of its output.
        depth: Number of its linear layers, the last included; None where operations alone say how
            many there are.
        form: ``'mlp'``; a predictor may be ``'linear'``, one linear map, or ``'none'``.
        hidden_norm: Of the hidden layers whose operation is not decided itself, see ``NORMS``.
        activation: Of the same, see ``ACTIVATIONS``.
        output_norm: Behind the last layer, see ``NORMS``.
        output_bias: Whether the last layer has a bias, where its normalisation does not centre.
        behind_hidden: More behind each of these hidden layers.
        behind_output: More behind the last layer and its normalisation.
    """

    name: str
    in_channels: int
    hidden_channels: int
    out_channels: int
    depth: int | None = None
    form: str = 'mlp'
    hidden_norm: str = 'bn'
    activation: str = 'relu'
    output_norm: str = 'none'
    output_bias: bool = True
    behind_hidden: tuple[LayerBuilder, ...] = ()
    behind_output: tuple[LayerBuilder, ...] = ()


@dataclass(frozen=True)
class BackbonePlan:
    """A backbone as its recipe says; a kind of choice returns another one by ``replace``.

    Attributes:
        blocks: Number of blocks of each stage.
        channels: Width of the stem, and of each stage at width ratio 1.
        strides: Of the first block of each stage.
        size: Height and width of what the stem gives, pixels.
        block: Of a ResNet, ``'basic'`` or ``'bottleneck'``, which is four times as wide.
        kernel: Side of its convolutions, pixels.
        width: Ratio that scales the stages.
    """

    blocks: tuple[int, ...]
    channels: tuple[int, ...]
    strides: tuple[int, ...]
    size: int
    block: str = 'basic'
    kernel: int = 3
    width: float = 1


@dataclass
class ModelPlan:
    """What a choice that belongs to no head decides of: the config of an algorithm.

    Attributes:
        algorithm: Its name, for messages.
        parts: Its arguments, ``neck`` and ``head`` copied; a kind of choice edits them.
        lr_factors: Part, such as ``'head.predictor'`` -> what the learning rate of its weights is
            multiplied by.
        coupled: Kind of choice -> option, of what was decided so.
        width: Of the projection, where that is decided.
    """

    algorithm: str
    parts: dict[str, Any]
    lr_factors: dict[str, float] = field(default_factory=dict)
    coupled: dict[str, Any] = field(default_factory=dict)
    width: int | None = None

    def part(self, name: str) -> Mapping[str, Any]:
        """Return the config of a part, empty where there is none."""
        found = self.parts.get(name)
        return found if isinstance(found, Mapping) else {}
