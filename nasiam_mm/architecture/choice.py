# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Choices: what a search decides, each by a name and its options."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nasiam_mm.ops.candidates import distinct_candidates
from nasiam_mm.ops.shapes import Shape


@dataclass(frozen=True)
class Choice:
    """One decision to take.

    Attributes:
        name: ``<head>.<layer>.op``, such as ``'projector.3.op'``, ``<head>.<kind>``, such as
            ``'projector.depth'``, or ``<kind>``, such as ``'temperature'``. What a backbone decides
            is named alike, as ``'backbone.3.op'``, and by stage, as ``'backbone.0.blocks'``.
        options: What there is to choose from, names or numbers, in the order of the space.
        present: Whether each option is a candidate of its own here; one that is the same
            function as an earlier one is not.
        identity: Position of the option ``'identity'``, where it passes on what comes in: not
            where the width changes, as it is a linear map there, or of maps none.
    """

    name: str
    options: tuple[Any, ...]
    present: tuple[bool, ...]
    identity: int | None = None


# Head, group of a backbone, or '' for what is of none -> its choices, those of layers input first.
Choices = Mapping[str, Sequence[Choice]]


def op_choices(head: str, space: Sequence[str], shapes: Sequence[Shape]) -> tuple[Choice, ...]:
    """Return the choice of an operation of each layer of a head, such as ``'projector'``.

    ValueError for a head that cannot begin a name, or operations that do not take these widths.
    """
    if not isinstance(head, str) or not head.isidentifier():
        what = 'a head is named by letters, digits and _, such as "projector"'
        raise ValueError(f'{what}; got {head!r:.60}')
    choices = []
    for layer, shape in enumerate(shapes):
        present = distinct_candidates(space, shape)
        here = tuple(position in present for position in range(len(space)))
        identity = next((k for k, label in present.items() if label == 'identity'), None)
        choices.append(Choice(f'{head}.{layer}.op', tuple(space), here, identity))
    return tuple(choices)
