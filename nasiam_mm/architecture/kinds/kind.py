# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What a kind of choice is; registering one is all that a new one takes (docs/extend/choice.md)."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Option = str | int | float
# Groups of choices that a backbone has: of all of it, and of its normal and reduction cells.
BACKBONES = ('backbone', 'normal', 'reduction')
# Name of a choice, such as 'projector.depth' -> the option taken.
Options = Mapping[str, Option]


def _never(decided: Options, head: str) -> str:
    return ''


@dataclass(frozen=True)
class Kind:
    """A kind of choice, the last part of a choice's name.

    Attributes:
        name: Such as ``'depth'``; letters, digits and _.
        level: What it decides of: ``'layer'`` (``projector.0.op``), ``'head'``
            (``projector.depth``), ``'stage'`` of a backbone (``backbone.0.blocks``) or ``'model'``
            (``temperature``).
        fault: Of an option: what it must be, or '' where it is that.
        apply: Of a plan and an option: the plan as the option wants it, a ``HeadPlan``,
            ``BackbonePlan`` or ``ModelPlan``; of a stage the option is (stage, option). ValueError
            where there is nothing to decide.
        idle: Of all that is decided (name -> option) and the head: why an option of this kind would
            decide nothing, or ''.
        only: The one head that has it; '' for every head.
        never: The one head that has it not.
        follow: What an option of the projector does to the plan of the predictor behind it.
        owner: ``'head'``, ``'backbone'`` or ``'any'``: who has it.
    """

    name: str
    level: str
    fault: Callable[[Any], str]
    apply: Callable[[Any, Any], Any]
    idle: Callable[[Options, str], str] = _never
    only: str = ''
    never: str = ''
    follow: Callable[[Any, Any], Any] | None = None
    owner: str = 'head'

    def belongs(self, head: str) -> bool:
        """Whether a head, or a group of a backbone, has such a choice."""
        owner = 'backbone' if head in BACKBONES else 'head'
        fits = self.level != 'model' and self.owner in ('any', owner)
        return fits and self.only in ('', head) and head != self.never

    def refusal(self, head: str) -> str:
        """Say who has it, where a head has it not."""
        if self.only:
            return f'the {self.only} alone has it'
        if self.never == head:
            return f'the {head} has none'
        return f'a {self.owner} alone has it'


_LEVELS = ('layer', 'head', 'stage', 'model')
KINDS: dict[str, Kind] = {}


def register_kind(kind: Kind) -> Kind:
    """Make a kind of choice known by its name; ValueError if another one has it."""
    if not kind.name.isidentifier() or kind.level not in _LEVELS:
        raise ValueError(f'a kind of choice has a name and a level, got {kind!r:.200}')
    known = KINDS.setdefault(kind.name, kind)
    if known is not kind:
        raise ValueError(f'there is a kind of choice {kind.name!r} already')
    return kind


def one_of(names: Mapping[str, Any] | Sequence[str]) -> Callable[[Any], str]:
    """Make a ``fault`` of a list of names, which may grow."""

    def fault(option: Any) -> str:
        is_known = isinstance(option, str) and option in names
        return '' if is_known else f'must be one of {", ".join(names)}'

    return fault


def whole(low: int, high: int) -> Callable[[Any], str]:
    """Make a ``fault`` of whole numbers in a range."""

    def fault(option: Any) -> str:
        is_whole = type(option) is int and low <= option <= high
        return '' if is_whole else f'must be a whole number from {low} to {high}'

    return fault


def positive(high: float) -> Callable[[Any], str]:
    """Make a ``fault`` of positive numbers up to one."""

    def fault(option: Any) -> str:
        is_one = type(option) in (int, float) and 0 < option <= high
        return '' if is_one else f'must be a number above 0, at most {high:g}'

    return fault
