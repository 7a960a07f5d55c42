# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Spaces as configs write them: a list of operations, or a dict of kinds of choices.

``dict(depth=[1, 2], projector=dict(width_ratio=[1, 4]), temperature=[0.1, 0.2])``: a kind at the
top is of every head that has it, or of the model; one below a head's name is that head's, and goes
before the one at the top.
"""

from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, NamedTuple, NoReturn

from nasiam_mm.architecture.choice import Choice, op_choices
from nasiam_mm.architecture.kinds.kind import BACKBONES, KINDS, Option
from nasiam_mm.architecture.names import check_options, idle_choices
from nasiam_mm.ops.candidates import LayerShape, check_space

# What leads on from a choice that no mixing by alpha decides.
OPEN_MEND = 'leave one, let a study decide (docs/study.md), or train a genotype by --genotype'

# Kind -> options.
Kinds = Mapping[str, Sequence[Option]]


class Space(NamedTuple):
    """A space, checked: what is decided of each head, and of none."""

    heads: dict[str, dict[str, tuple[Option, ...]]]
    coupled: dict[str, tuple[Option, ...]]


def read_space(space: Any, heads: Collection[str]) -> Space:
    """Read a space for heads, such as ``('projector', 'predictor')``.

    Raises:
        ValueError: In one line, for what is no space of these heads: what, where, mend.
    """
    if not isinstance(space, Mapping):
        check_space(space)
        return Space({head: {'op': tuple(space)} for head in heads}, {})
    found = Space({head: {} for head in heads}, {})
    for key, value in space.items():
        if key in found.heads:
            found.heads[key].update(read_kinds(key, value))
        elif key not in KINDS:
            if key in BACKBONES:
                _fail(key, 'what a backbone decides stands in model.backbone.space')
            missing = key in ('projector', 'predictor')
            known = [*heads, *(name for name, kind in KINDS.items() if kind.owner != 'backbone')]
            near = None if missing else get_close_matches(str(key), known, n=1)
            mend = f'did you mean {near[0]}?' if near else f'there are {", ".join(known)}'
            what = 'the model has no such head' if missing else 'is neither a head nor a choice'
            _fail(key, f'{what}; {mend}')
    for key, value in space.items():
        if key not in KINDS:
            continue
        options = _options(key, key, value)
        if KINDS[key].level == 'model':
            found.coupled[key] = options
            continue
        if not (takers := [head for head in heads if KINDS[key].belongs(head)]):
            _fail(key, f'no head of the model has this choice; it has {", ".join(heads)}')
        for head in takers:
            found.heads[head].setdefault(key, options)
    _refuse_idle(found)
    return found


def choices_of_space(
    space: Any, shapes: Mapping[str, Sequence[LayerShape] | None]
) -> dict[str, tuple[Choice, ...]]:
    """Return the choices of a space, head by head, '' for those of none.

    Args:
        space: As a config writes it.
        shapes: Head -> the layers its recipe searches, or None where the recipe names no depth.

    Raises:
        ValueError: If it is no space of these heads, or leaves it open how many layers one has.
    """
    read = read_space(space, shapes)
    choices: dict[str, tuple[Choice, ...]] = {}
    for head, kinds in read.heads.items():
        if not kinds:
            mend = f'decide its depth or operations, as {head}=dict(depth=[2])'
            raise ValueError(f'space: nothing is decided of the {head}; {mend}')
        layers = shapes[head]
        if list(kinds) == ['op'] and layers is not None:
            choices[head] = op_choices(head, [str(op) for op in kinds['op']], layers)
            continue
        order = [kind for kind in KINDS if kind in kinds and kind != 'op']
        rows = [_choice(f'{head}.{kind}', kinds[kind]) for kind in order]
        if 'op' in kinds:
            depth = kinds.get('depth')
            if depth is None and layers is None:
                mend = f'add the options of its depth, as {head}=dict(depth=[1, 2, 3])'
                _fail(f'{head}.op', f'nobody says how many layers the {head} has; {mend}')
            # The last of the layers is a linear map. Widths are open: every option may count.
            count = len(layers or ()) if depth is None else max(map(int, depth)) - 1
            rows += [_choice(f'{head}.{n}.op', kinds['op']) for n in range(count)]
        choices[head] = tuple(rows)
    if read.coupled:
        choices[''] = tuple(_choice(name, options) for name, options in read.coupled.items())
    return choices


def split_for_gradient(name: str, kinds: Kinds) -> tuple[tuple[str, ...] | None, dict[str, Option]]:
    """Split what is decided of a head, or of none, into what alpha mixes and what is fixed.

    Args:
        name: Of the head, '' for what belongs to none.
        kinds: Kind -> options, as :func:`read_space` gives them.

    Returns:
        The operations, None where there are none, and kind -> its single option.

    Raises:
        ValueError: If another choice than the operations has several options.
    """
    fixed: dict[str, Option] = {}
    for kind, options in kinds.items():
        if kind == 'op':
            continue
        if len(options) > 1:
            what = f'has {len(options)} options, which no mixing by alpha decides'
            form = ', or write it into operations' if kind in ('hidden_norm', 'activation') else ''
            _fail('.'.join(filter(None, (name, kind))), f'{what}; {OPEN_MEND}{form}')
        fixed[kind] = options[0]
    ops = kinds.get('op')
    return None if ops is None else tuple(map(str, ops)), fixed


def _choice(name: str, options: Sequence[Option]) -> Choice:
    return Choice(name, tuple(options), (True,) * len(options))


def read_kinds(head: str, kinds: Any) -> dict[str, tuple[Option, ...]]:
    """Read the choices of one head: a dict of kinds, or a list of operations.

    ValueError, in one line, for what is neither.
    """
    if not isinstance(kinds, Mapping):
        if isinstance(kinds, (list, tuple)):
            return {'op': _options(head, 'op', kinds)}
        _fail(head, f'must be a dict of choices, as dict(depth=[1, 2]), got {kinds!r:.60}')
    for kind in kinds:
        if kind not in KINDS or not KINDS[kind].belongs(head):
            known = [name for name, kind in KINDS.items() if kind.belongs(head)]
            near = get_close_matches(str(kind), known, n=1)
            mend = f'did you mean {near[0]}?' if near else f'there are {", ".join(known)}'
            _fail(f'{head}.{kind!s:.60}', f'is no choice of the {head}; {mend}')
    return {kind: _options(f'{head}.{kind}', kind, options) for kind, options in kinds.items()}


def _options(where: str, kind: str, options: Any) -> tuple[Option, ...]:
    try:
        if kind == 'op':
            check_space(options)
            return tuple(options)
        return check_options(KINDS[kind], options)
    except ValueError as error:
        _fail(where, str(error))


def _refuse_idle(space: Space) -> None:
    """Refuse choices that no genotype of the space could ever decide anything by."""
    single: dict[str, Option] = {}
    for head, kinds in space.heads.items():
        for kind, options in kinds.items():
            # What may be taken otherwise leaves the others something to decide.
            if kind not in ('depth', 'form') or len(options) == 1:
                single[f'{head}.0.op' if kind == 'op' else f'{head}.{kind}'] = options[0]
    for kind, options in space.coupled.items():
        single[kind] = options[0]
    for name, why in idle_choices(single).items():
        _fail(name.replace('.0.op', '.op'), f'decides nothing: {why}; take one of them away')


def _fail(where: Any, what: str) -> NoReturn:
    raise ValueError(f'space.{where!s:.80}: {what}')
