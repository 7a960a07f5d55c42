# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What an algorithm needs so that its heads and its backbone can be searched."""

import copy
from collections.abc import Mapping
from functools import reduce
from typing import Any

from mmengine.model import BaseAveragedModel
from torch import Tensor, nn

from nasiam_mm.architecture.alpha import Architecture
from nasiam_mm.architecture.choice import op_choices
from nasiam_mm.architecture.genotype import Decision, Genotype
from nasiam_mm.architecture.plan import ModelPlan
from nasiam_mm.models.algorithms.decided import apply_genotype, apply_space, refuse_coupled
from nasiam_mm.models.backbones.handing import hand_backbone
from nasiam_mm.models.choice import ChoiceCell
from nasiam_mm.models.heads import HeadMLP
from nasiam_mm.models.losses import refuse_numbers
from nasiam_mm.models.seeds import own_stream
from nasiam_mm.models.spaces import head_configs


class Searched:
    """Mixin before an algorithm of mmpretrain: options of its parts, alpha and first weights.

    The ``loss(inputs, data_samples, update_state=True)`` of an algorithm moves no average, queue or
    counter with ``update_state=False``; the contract tests ask every one of ``frameworks.py``.

    Args:
        space: Options of every ``HeadMLP`` that names neither space nor genotype, in a search: a
            list of operations, or a dict of choices (docs/extend/choice.md).
        genotype: A genotype, or the path of its file, for every such head, otherwise, and for a
            backbone of choices; beside a dict of choices it must be one of that space.
        relaxation: Config of the relaxation of alpha; None for the softmax.
        mixing: Config of the mixing of every searched part; None for ``FullMixing``.
        auxiliary: Config of the branch beside every layer of them; None for none.
        **kwargs: Those of the algorithm.

    A space or genotype that no head takes, a temperature that is none, or a number of views that
    the loss does not take, is a ValueError.
    """

    compilable: tuple[str, ...] = ('backbone', 'neck')  # what torch.compile may take
    # Arguments, or parts of neck and head by dots, that are the width of the projection.
    as_wide: tuple[str, ...] = ()
    num_views: int | None = None  # of each image, that the loss takes; None for any number
    architecture: Architecture | None  # the owner of alpha; None where nothing is searched
    coupled: dict[str, Any]  # what was decided that belongs to no head: kind of choice -> option
    lr_factors: dict[str, float]  # part -> what the learning rate of its weights is multiplied by

    def __init__(
        self,
        *,
        space: list[str] | dict[str, Any] | None = None,
        genotype: Genotype | str | None = None,
        relaxation: dict | None = None,
        mixing: dict | None = None,
        auxiliary: dict | None = None,
        **kwargs: Any,
    ) -> None:
        # Copied: the config says what was asked for.
        copied = 'backbone', 'neck', 'head'
        kwargs |= {part: copy.deepcopy(kwargs[part]) for part in copied if part in kwargs}
        takes_backbone = hand_backbone(kwargs, genotype, mixing, auxiliary)
        heads = head_configs(kwargs)
        open_heads = [h for h in heads if h.get('space') is None and h.get('genotype') is None]
        refuse_coupled(heads)
        plan = ModelPlan(type(self).__name__, kwargs)
        if genotype is not None and open_heads:
            is_space = isinstance(space, Mapping)
            apply_genotype(plan, heads, genotype, space if is_space else None)
            for head in open_heads:
                head.update(space=None if is_space else space, genotype=genotype)
        elif space is not None:
            apply_space(plan, open_heads, space)
        for head in heads:
            if head.get('space') is not None:
                head.update(mixing=mixing, auxiliary=auxiliary)
        given = 'space' if space is not None else 'genotype'
        decides = space is not None or (genotype is not None and not takes_backbone)
        if not open_heads and decides:
            own = 'each HeadMLP has its own' if heads else 'neither neck nor head holds a HeadMLP'
            raise ValueError(f'model.{given} decides nothing: {own}; take {given} away')
        for path in self.as_wide if plan.width else ():
            *parts, name = path.split('.')
            reduce(lambda node, part: node[part], parts, kwargs)[name] = plan.width
        super().__init__(**kwargs)
        if (recipes := getattr(self.data_preprocessor, 'recipes', None)) is not None:
            self.check_views(len(recipes))
        part = getattr(self, 'head', None)
        for owner in (part, getattr(part, 'loss_module', None)):
            if owner is not None and hasattr(owner, 'temperature'):
                kind = type(owner).__name__
                refuse_numbers(kind, positive=True, temperature=owner.temperature)
        self.coupled, self.lr_factors = plan.coupled, plan.lr_factors
        cells = [alike[0] for alike in self.searched_cells().values()]
        choices = {cell.head: op_choices(cell.head, cell.space, cell.shapes) for cell in cells}
        sampled_in = {role for cell in cells for role in cell.mixing.sampled_in}
        self.architecture = Architecture(choices, relaxation, sampled_in) if choices else None
        for module in self.modules():
            # Those within momentum copies too: they mix as the online ones do.
            if isinstance(module, ChoiceCell):
                module.bind(self.architecture)
        self.register_load_state_dict_pre_hook(_from_version_0_1)

    @property
    def embedding(self) -> nn.Module:
        """Module whose output, a tuple of (N, C) or (N, C), is z."""
        return self.neck

    @property
    def watched(self) -> Mapping[str, Tensor]:
        """What must not collapse besides z, rows (M, D) by name; nothing by default."""
        return {}

    @property
    def resting(self) -> tuple[nn.Parameter, ...]:
        """Weights that the optimizer may have left out so far; none by default."""
        return ()

    def check_views(self, count: int) -> None:
        """Refuse, with a ValueError, a number of views that the loss does not take."""
        if self.num_views not in (None, count):
            told = f'{type(self).__name__} takes {self.num_views} views of an image, not {count}'
            raise ValueError(f'{told}; set model.data_preprocessor.num_views={self.num_views}')

    @property
    def prediction(self) -> nn.Module | None:
        """Module that predicts the other view's z from ``(z,)``, as z comes; None without one."""
        return getattr(getattr(self, 'head', None), 'predictor', None)

    @property
    def is_least_in_collapse(self) -> bool:
        """Whether the loss is least where z is one point: z is predicted, nothing contrasts."""
        return self.prediction is not None

    def searched_heads(self) -> dict[str, HeadMLP]:
        """Heads to search by name, in order, no momentum copies; ValueError if two share one."""
        heads: dict[str, HeadMLP] = {}
        for head in self._online():
            if not isinstance(head, HeadMLP) or not head.is_searched:
                continue
            if heads.setdefault(head.name, head) is not head:
                raise ValueError(f"two searched heads are called '{head.name}'; rename one HeadMLP")
        return heads

    def searched_cells(self) -> dict[str, list[ChoiceCell]]:
        """Cells to search, no momentum copies, by head or group of the backbone, in order.

        The cells of a group share its alpha: layer n of each is decided by the same row.
        """
        self.searched_heads()  # refuses two of a name
        cells: dict[str, list[ChoiceCell]] = {}
        for cell in self._online():
            if isinstance(cell, ChoiceCell):
                cells.setdefault(cell.head, []).append(cell)
        return cells

    def _online(self) -> list[nn.Module]:
        """Return all modules but those within momentum copies."""
        averages = (module for module in self.modules() if isinstance(module, BaseAveragedModel))
        copies = {module for average in averages for module in average.modules()}
        return [module for module in self.modules() if module not in copies]

    @property
    def fixed(self) -> dict[str, Decision]:
        """What a space fixes beside the operations that are searched, by name of the choice."""
        heads = self.searched_heads().items()
        fixed = {f'{name}.{kind}': o for name, head in heads for kind, o in head.fixed.items()}
        fixed = getattr(self.backbone, 'fixed', {}) | fixed
        return {name: Decision((o,), (o,)) for name, o in (fixed | self.coupled).items()}

    def momentum_pairs(self) -> list[tuple[BaseAveragedModel, nn.Module]]:
        """Each moving average with what it follows: backbone and neck, as in mmpretrain's."""
        averages = [part for part in self.children() if isinstance(part, BaseAveragedModel)]
        return [(average, nn.Sequential(self.backbone, self.neck)) for average in averages]

    def init_weights(self) -> None:
        """Initialise the weights; averages start where what they follow does.

        The backbone draws first, from a stream that nothing before it has used, so its weights
        depend on the seed and on itself alone (contract C16).
        """
        with own_stream('weights'):
            super().init_weights()
        for average, online in self.momentum_pairs():
            # The averaging would do so in the first weight step, after the first alpha step.
            average.module.load_state_dict(online.state_dict())

    def __deepcopy__(self, memo: dict) -> 'Searched':
        """Copy the algorithm; the copy's cells read from the copy's alpha."""
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        # First: a cell keeps its source unless that was copied already.
        copy.deepcopy(self._modules.get('architecture'), memo)
        twin.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return twin


def _from_version_0_1(model: Searched, state_dict: dict[str, Any], prefix: str, *_: Any) -> None:
    """Take up alpha from a checkpoint of version 0.1, where each searched cell had its own."""
    paths = {module: path for path, module in model.named_modules()}
    for name, head in model.searched_heads().items():
        if (alpha := state_dict.pop(f'{prefix}{paths[head]}.cell.alpha', None)) is not None:
            state_dict[f'{prefix}architecture.alpha_{name}'] = alpha
            present = model.architecture.present(name)  # type: ignore[union-attr]
            state_dict[f'{prefix}architecture.present_{name}'] = present.clone()
