# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Names of choices, ``projector.0.op``, ``projector.depth``, ``temperature``, and their sense."""

import re
from difflib import get_close_matches
from typing import Any, NamedTuple

import nasiam_mm.architecture.kinds  # noqa: F401  registers them
from nasiam_mm.architecture.kinds.kind import KINDS, Kind, Option, Options

_NUMBER = re.compile(r'0|[1-9][0-9]*')


class Place(NamedTuple):
    """Where a choice stands and of what kind it is."""

    head: str  # '' where it belongs to none
    layer: str  # or stage, '' where it belongs to none; as text, which may have thousands of digits
    kind: Kind


def read_name(name: str) -> Place:
    """Say what a name means; ValueError, with the nearest that means something, if nothing."""
    parts = name.split('.')
    kind = KINDS.get(parts[-1])
    head, layer = parts[0] if len(parts) > 1 else '', parts[1] if len(parts) == 3 else ''
    levels = {1: ('model',), 2: ('head',), 3: ('layer', 'stage')}
    fits = kind is not None and kind.level in levels.get(len(parts), ())
    names_head = head.isidentifier() if len(parts) > 1 else True
    if not fits or not names_head or (len(parts) == 3 and not _NUMBER.fullmatch(layer)):
        near = get_close_matches(name[:100], _names_like(head), n=1, cutoff=0.75)
        mend = f'; did you mean {near[0]!r}?' if near else ''
        raise ValueError(f'{name!r:.60} is no name of a choice, such as "projector.0.op"{mend}')
    assert kind is not None
    if kind.level != 'model' and not kind.belongs(head):
        raise ValueError(f'{name!r:.60} decides nothing: {kind.refusal(head)}')
    return Place(head, layer, kind)


def _names_like(head: str) -> list[str]:
    heads = dict.fromkeys(['projector', 'predictor', *([head] if head.isidentifier() else [])])
    kinds = [kind for kind in KINDS.values() if kind.level == 'head']
    of_heads = [f'{h}.{kind.name}' for h in heads for kind in kinds if kind.belongs(h)]
    return [k.name for k in KINDS.values() if k.level == 'model'] + of_heads


def told(options: tuple[Option, ...]) -> str:
    """Write options taken as messages, logs and identities have them: equal ones alike."""
    return '+'.join(
        str(int(o)) if isinstance(o, float) and o.is_integer() else str(o) for o in options
    )


def idle_choices(decided: Options) -> dict[str, str]:
    """Name the choices that decide nothing beside the others: name -> why."""
    found = {}
    for name in decided:
        head, layer, kind = read_name(name)
        why = kind.idle(decided, head)
        if kind.level == 'layer':
            form, depth = decided.get(f'{head}.form', 'mlp'), decided.get(f'{head}.depth')
            why = f"{head}.form is '{form}'" if form != 'mlp' else why
            # The last of the layers is a linear map.
            if not why and isinstance(depth, int) and (len(layer) > 4 or int(layer) >= depth - 1):
                why = f'{head}.depth is {depth}, which leaves {depth - 1} hidden layers'
        if why:
            found[name] = why
    return found


def check_options(kind: Kind, options: Any) -> tuple[Option, ...]:
    """Check what a choice may take: a list of different options of its kind.

    Operations are checked as a space, by ``check_space``.

    Raises:
        ValueError: If it is not that; the message begins with the option.
    """
    if not isinstance(options, (list, tuple)) or not options:
        raise ValueError(f'must be a list of options, got {options!r:.60}')
    seen = set()
    for option in options:
        if fault := kind.fault(option):
            raise ValueError(f'{fault}, got {option!r:.60}')
        if option in seen:
            raise ValueError(f'names {option!r:.60} twice')
        seen.add(option)
    return tuple(options)
