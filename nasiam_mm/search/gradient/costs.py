# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What the candidates of the searched layers cost, and a regularizer of what is expected of them.

A candidate costs what it would in the head or backbone that is derived: at the full widths of its
layer, whatever share of the channels a search mixes. What is fixed (output layers, stems) costs
every one the same and is left out.
"""

import math

import torch
from mmpretrain.models import CosineSimilarityLoss
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from nasiam_mm.ops.candidates import build_at, distinct_candidates
from nasiam_mm.ops.shapes import Shape
from nasiam_mm.search.gradient.latency import read_table
from nasiam_mm.search.gradient.regularizers import REGULARIZERS, AlphaStep, Regularizer

_UNITS = 'parameters', 'macs'
_WEIGHTS = {'add': 0.1, 'multiply': 1.0}  # of a form, where none is given


def op_cost(name: str, shape: Shape, unit: str) -> int:
    """Cost of a registered operation at a layer's widths, the operation not allocated.

    ``'parameters'`` are all that it trains; ``'macs'`` the multiplications with addition of one
    input in matrix products and convolutions: norms, pools and activations are none.
    """
    with torch.device('meta'):
        op = build_at(name, shape)
        if unit == 'parameters':
            return sum(p.numel() for p in op.parameters())
        with torch.no_grad(), FlopCounterMode(display=False) as counter:
            op(torch.empty(shape.taken))  # of two inputs: BatchNorm asks for two
    return counter.get_total_flops() // 4  # and two a multiplication


def candidate_costs(model: nn.Module, unit: str) -> dict[str, Tensor]:
    """Costs of the options of a model's searched parts: name -> (L, K), 0 for no candidate.

    Of a group of several cells they are those of all.
    """
    costs = {}
    for name, cells in model.searched_cells().items():
        table = torch.zeros(len(cells[0].shapes), len(cells[0].space), dtype=torch.float64)
        for cell in cells:
            for n, shape in enumerate(cell.shapes):
                for k, label in distinct_candidates(cell.space, shape).items():
                    table[n, k] += op_cost(label, shape, unit)
        costs[name] = table
    return costs


def _falls_below_zero(loss: nn.Module) -> bool:
    """Tell whether a module is a negative cosine that nothing lifts above 0."""
    return isinstance(loss, CosineSimilarityLoss) and loss.shift_factor < loss.scale_factor


@REGULARIZERS.register_module()
class ExpectedCost(Regularizer):
    """What the derived parts are expected to cost (`ProxylessNAS`_, section 3.3, eq. 6).

    ``E = sum over layers and candidates of p_k F_k``, p the weights of no draw in particular, F
    the cost of a candidate. Gates do not sum to 1 and are not made to: each says how likely its
    candidate is kept, of which there may be several or none. The term is

    - ``'add'``: ``weight (E - ref) / ref``, whose gradient to p_k is ``weight F_k / ref``;
    - ``'multiply'``: the loss of the batch becomes ``L scale (log E / log ref)^power``, to which
      weight 1 goes all the way and 0 not at all. Other regularizers stay outside the product, and
      an E below 2 counts as 2. Refused where the loss falls below 0 (SimSiam, BYOL), as the product
      then falls with the cost.

    Args:
        weight: Factor on the term; None for 0.1 in a sum, 1 in a product.
        unit: ``'parameters'`` or ``'macs'``, see :func:`op_cost`.
        ref: Cost that is as it should be; None for that of the weights at the start.
        form: ``'add'`` or ``'multiply'``.
        scale: See ``'multiply'``; Adam without weight decay does not feel it.
        power: See ``'multiply'``.
        table: File of costs in place of a unit, see :mod:`nasiam_mm.search.gradient.latency`.

    .. _ProxylessNAS: https://arxiv.org/abs/1812.00332
    """

    def __init__(
        self,
        weight: float | None = None,
        unit: str = 'parameters',
        ref: float | None = None,
        form: str = 'add',
        scale: float = 0.2,
        power: float = 0.3,
        table: str | None = None,
    ) -> None:
        for what, name, known in (('unit', unit, _UNITS), ('form', form, tuple(_WEIGHTS))):
            if name not in known:
                told = f'must be one of {", ".join(known)}, got {name!r}'
                raise ValueError(f'ExpectedCost.{what} {told}')
        numbers = {'ref': 1.0 if ref is None else ref, 'scale': scale, 'power': power}
        for what, value in numbers.items():
            is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not is_number or not 0 < value < math.inf:
                raise ValueError(f'ExpectedCost.{what} must be a positive number, got {value!r}')
        super().__init__(_WEIGHTS[form] if weight is None else weight)
        self.unit, self.form, self.scale, self.power = unit, form, scale, power
        self.ref, self.table = ref or 0.0, table
        self._costs: dict[str, Tensor] = {}

    def check(self, model: nn.Module) -> None:
        """Count the costs; ValueError where there is nothing to compare them with."""
        if self.form == 'multiply' and any(map(_falls_below_zero, model.modules())):
            what = f'the loss of {type(model).__name__} falls below 0'
            raise ValueError(f"{what}, where a product rewards costs; take ExpectedCost.form='add'")
        owner = model.architecture
        self._costs = (
            candidate_costs(model, self.unit)
            if self.table is None
            else read_table(self.table, owner)
        )
        if not self.ref:
            # Of the candidates there were at first, so that a resumed search has the same.
            for head, choices in owner.choices.items():
                present = torch.tensor([choice.present for choice in choices])
                start = owner.relaxation.mean(torch.zeros(present.shape), present)
                self.ref += float((start.double() * self._costs[head]).sum())
        least = 2 if self.form == 'multiply' else 0
        if self.ref <= least:
            unit = self.unit if self.table is None else f"of '{self.table}'"
            what = f'ExpectedCost.ref is {self.ref:g} {unit}, it must be above {least}'
            raise ValueError(f'{what}; give another, or take the regularizer away')

    def expected(self, step: AlphaStep) -> Tensor:
        """Return E, (), with a gradient to alpha."""
        if not self._costs:
            self.check(step.model)
        parts = []
        for head, table in self._costs.items():
            weights = step.architecture.weights(head, drawn=False)
            # Moved once: a copy in each step would make a GPU wait.
            table = self._costs[head] = table.to(weights)
            parts.append((weights * table).sum())
        return torch.stack(parts).sum()

    def value(self, step: AlphaStep) -> Tensor:
        """Return the term, ()."""
        cost = self.expected(step)
        if self.form == 'add':
            return (cost - self.ref) / self.ref
        relative = cost.clamp_min(2).log() / math.log(self.ref)
        return step.loss * (self.scale * relative**self.power - 1)
