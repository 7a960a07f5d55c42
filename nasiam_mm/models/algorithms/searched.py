# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What an algorithm needs so that its heads can be searched."""

import copy
from collections.abc import Iterator, Mapping
from typing import Any

from mmengine.model import BaseAveragedModel
from torch import nn

from nasiam_mm.architecture.alpha import Architecture
from nasiam_mm.architecture.choice import op_choices
from nasiam_mm.models.algorithms.momentum import start_equal
from nasiam_mm.models.choice.cell import ChoiceCell
from nasiam_mm.models.heads import HeadMLP, head_shapes
from nasiam_mm.models.seeds import own_stream
from nasiam_mm.ops.candidates import LayerShape


class Searched:
    """Mixin before an algorithm of mmpretrain: its heads' options, alpha and first weights.

    What an algorithm of this package promises (the contract tests ask every
    one of ``frameworks.py``):

    - ``loss(inputs, data_samples, update_state=True)``: with
      ``update_state=False`` no average, queue or counter moves;
    - ``architecture``: the owner of alpha, or None where nothing is searched;
    - ``momentum_pairs()``: each moving average with what it follows;
    - ``embedding``: the module whose output is z;
    - ``compilable``: names of the parts that ``torch.compile`` may take.

    Args:
        space: Options of every ``HeadMLP`` that names neither space nor
            genotype itself, in a search.
        genotype: Path of a genotype file for every such head, otherwise.
        relaxation: Config of the relaxation of alpha; None for the softmax.
        **kwargs: Those of the algorithm.
    """

    compilable: tuple[str, ...] = ('backbone', 'neck')
    architecture: Architecture | None

    def __init__(
        self,
        *,
        space: list[str] | None = None,
        genotype: str | None = None,
        relaxation: dict | None = None,
        **kwargs: Any,
    ) -> None:
        for part in ('neck', 'head'):
            # Copied: the config says what was asked for.
            kwargs[part] = copy.deepcopy(kwargs.get(part))
            for head in _head_configs(kwargs[part]):
                if head.get('space') is None and head.get('genotype') is None:
                    head.update(space=space, genotype=genotype)
        super().__init__(**kwargs)
        self.architecture = None
        heads = self.searched_heads()
        if heads:
            choices = {
                name: op_choices(name, head.cell.space, head.cell.shapes)
                for name, head in heads.items()
            }
            self.architecture = Architecture(choices, relaxation)
        for module in self.modules():
            # Those within momentum copies too: they mix as the online ones do.
            if isinstance(module, ChoiceCell):
                module.bind(self.architecture)
        self.register_load_state_dict_pre_hook(_from_version_0_1)

    @property
    def embedding(self) -> nn.Module:
        """Module whose output, a tuple of (N, C) or (N, C), is z."""
        return self.neck

    def searched_heads(self) -> dict[str, HeadMLP]:
        """Heads to be searched by name, in the order of the model; no momentum copies.

        Raises:
            ValueError: If two share a name.
        """
        copies = {
            id(module)
            for average in self.modules()
            if isinstance(average, BaseAveragedModel)
            for module in average.modules()
        }
        heads: dict[str, HeadMLP] = {}
        for module in self.modules():
            if not isinstance(module, HeadMLP) or not module.is_searched or id(module) in copies:
                continue
            if module.name in heads:
                raise ValueError(
                    f"two searched heads are called '{module.name}'; give each HeadMLP its own name"
                )
            heads[module.name] = module
        return heads

    def momentum_pairs(self) -> list[tuple[BaseAveragedModel, nn.Module]]:
        """Each moving average of the algorithm with the module that it follows."""
        return []

    def init_weights(self) -> None:
        """Initialise the weights; averages start where what they follow does.

        The backbone draws first, from a stream that nothing before it has used,
        so its weights depend on the seed and on itself alone (contract C16).
        """
        with own_stream('weights'):
            super().init_weights()
        for average, online in self.momentum_pairs():
            start_equal(average, online)

    def __deepcopy__(self, memo: dict) -> 'Searched':
        """Copy the algorithm; the copy's cells read from the copy's alpha."""
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        # First: a cell keeps its source unless that was copied already.
        copy.deepcopy(self._modules.get('architecture'), memo)
        twin.__dict__.update(copy.deepcopy(self.__dict__, memo))
        return twin


def searched_shapes(model: Mapping) -> dict[str, tuple[LayerShape, ...]]:
    """Widths of the heads that a model's config searches, by name, nothing built."""
    heads = [*_head_configs(model.get('neck')), *_head_configs(model.get('head'))]
    spaces = {head['name']: head.get('space') or model.get('space') for head in heads}
    return {head['name']: head_shapes(**head) for head in heads if spaces[head['name']]}


def _from_version_0_1(
    model: Searched, state_dict: dict[str, Any], prefix: str, *unused: Any
) -> None:
    """Take up alpha from a checkpoint of version 0.1, where each searched cell had its own."""
    if model.architecture is None:
        return
    paths = {id(module): path for path, module in model.named_modules()}
    for name, head in model.searched_heads().items():
        alpha = state_dict.pop(f'{prefix}{paths[id(head)]}.cell.alpha', None)
        if alpha is not None:
            state_dict[f'{prefix}architecture.alpha_{name}'] = alpha
            present = model.architecture.present(name)
            state_dict[f'{prefix}architecture.present_{name}'] = present.clone()


def _head_configs(node: Any) -> Iterator[dict]:
    """Yield the configs of ``HeadMLP`` within a part's config."""
    if isinstance(node, Mapping):
        kind = node.get('type')
        name = kind if isinstance(kind, str) else getattr(kind, '__name__', '')
        if name.rsplit('.', 1)[-1] == 'HeadMLP':
            yield node
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for child in node:
            yield from _head_configs(child)
