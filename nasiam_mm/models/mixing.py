# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Mixing: which candidates of a layer are run, and on which of its channels."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from nasiam_mm.ops.shapes import Shape, keeps_shape
from nasiam_mm.part_registry import open_registry

MIXINGS = open_registry('mixing', 'nasiam_mm.models')


class Mixing:
    """How a layer mixes its candidates.

    Args:
        sampled_in: Steps, of ``'alpha'`` and ``'weights'``, in which candidates that the
            relaxation did not draw are not run.
    """

    def __init__(self, sampled_in: Sequence[str] = ()) -> None:
        is_list = isinstance(sampled_in, (list, tuple))
        if not is_list or not all(step in ('alpha', 'weights') for step in sampled_in):
            what = f"{type(self).__name__}.sampled_in is a list of 'alpha' and 'weights'"
            raise ValueError(f'{what}, got {sampled_in!r}')
        self.sampled_in = tuple(sampled_in)

    def inner(self, shape: Shape) -> Shape:
        """Widths of the candidates of a layer of this shape."""
        return shape

    def mix(self, x: Tensor, run: Callable[[Tensor], Tensor], shape: Shape) -> Tensor:
        """Map (N, C_in) to (N, C_out); ``run`` is the weighted sum of the candidates."""
        return run(x)


@MIXINGS.register_module()
class FullMixing(Mixing):
    """Every candidate is run on all channels (NASiam, eq. 4)."""

    def __init__(self) -> None:
        super().__init__()


@MIXINGS.register_module()
class SinglePath(Mixing):
    """What the relaxation drew is run and nothing else, at the cost of one candidate or two.

    The relaxation has to be one that draws, see :mod:`nasiam_mm.architecture.sampling`. Where one
    candidate alone runs in an alpha step, ``dL/dw = <o(x), dL/dy>`` asks for no more than its
    scale, which the next BatchNorm or cosine takes out again: alpha then hears nothing. A gate of
    two paths does not suffer from it; with Gumbel noise leave ``'alpha'`` out.

    Args:
        sampled_in: Steps in which that is so; in others all candidates run.
    """

    def __init__(self, sampled_in: Sequence[str] = ('alpha', 'weights')) -> None:
        super().__init__(sampled_in)


@MIXINGS.register_module()
class PartialChannels(Mixing):
    """The candidates see the first of k parts of the channels; the others pass by them.

    As in `PC-DARTS <https://arxiv.org/abs/1907.05737>`_, section 3.1, the two are joined and the
    channels shuffled between the k parts, so that the next layer mixes others. The bypass is a
    hidden identity. A layer whose width changes, or cannot be divided by k, or
    halves its maps, is mixed in full.
    PC-DARTS' edge normalisation is not applicable: a chain has one edge a node, of weight 1.

    Args:
        k: Number of parts; 1 is full mixing, PC-DARTS takes 4.
        sampled_in: As of :class:`SinglePath`; by default none.
    """

    def __init__(self, k: int = 4, sampled_in: Sequence[str] = ()) -> None:
        super().__init__(sampled_in)
        if isinstance(k, bool) or not isinstance(k, int) or k < 1:
            raise ValueError(f'PartialChannels.k must be a positive integer, got {k!r}')
        self.k = k

    def inner(self, shape: Shape) -> Shape:
        """Widths of the candidates of a layer of this shape."""
        if not keeps_shape(shape) or shape.in_channels % self.k:
            return shape
        width = shape.in_channels // self.k
        return shape._replace(in_channels=width, out_channels=width)

    def mix(self, x: Tensor, run: Callable[[Tensor], Tensor], shape: Shape) -> Tensor:
        """Map (N, C_in) to (N, C_out)."""
        width = self.inner(shape).in_channels
        if width == x.size(1):
            return run(x)
        joined = torch.cat([run(x[:, :width]), x[:, width:]], dim=1)
        return joined.unflatten(1, (self.k, width)).transpose(1, 2).flatten(1, 2)
