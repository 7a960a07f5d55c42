# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What a backbone's space leaves open and what a genotype decides of it."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from nasiam_mm.architecture.choice import Choice
from nasiam_mm.architecture.genotype import Decision, Genotype, GenotypeError
from nasiam_mm.architecture.kinds.kind import BACKBONES, KINDS, Option
from nasiam_mm.architecture.names import check_options, idle_choices, read_name
from nasiam_mm.architecture.plan import BackbonePlan
from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.architecture.space import OPEN_MEND, read_kinds

# A genotype, the path of its file, or what it chose by name, as {'backbone.0.blocks': 2}.
Given = Genotype | str | os.PathLike | Mapping[str, Any]
# Group -> kind -> options.
Spaces = dict[str, dict[str, tuple[Option, ...]]]


def read_spaces(space: Any, groups: Sequence[str], kinds: Sequence[str]) -> Spaces:
    """Read the space of a backbone, for each of its groups.

    Args:
        space: A list of operations, of all groups, or a dict of kinds of choices; of several
            groups also a dict of them.
        groups: Names of its groups.
        kinds: Kinds of choices that it has.

    Raises:
        ValueError: If it is no space of it, in one line.
    """
    by_group = dict.fromkeys(groups, space)
    if isinstance(space, Mapping) and space and set(space) <= set(groups):
        by_group = dict(space)
    found = {group: read_kinds(group, by_group[group]) for group in by_group}
    for group, options in found.items():
        if more := [kind for kind in options if kind not in kinds]:
            _fail(
                f'{group}.{more[0]}', f'is no choice of this backbone, which has {", ".join(kinds)}'
            )
        # Every kind by the name of one choice of it: what stands beside operations is idle.
        at = {kind: '.0' if KINDS[kind].level in ('layer', 'stage') else '' for kind in options}
        names = {f'{group}{at[kind]}.{kind}': taken[0] for kind, taken in options.items()}
        for name, why in idle_choices(names).items():
            _fail(name, f'decides nothing: {why}; take one of them away')
        if 'op' in options and len(options.get('blocks', ())) > 1:
            mend = 'leave one: nobody says how many layers have operations'
            _fail(f'{group}.blocks', f'has several options beside operations; {mend}')
    return found


def setting_choices(group: str, kinds: Mapping[str, Sequence], stages: int) -> list[Choice]:
    """Return the choices of a group but its operations, those of stages for each stage."""
    found = []
    for kind, options in kinds.items():
        at = {'head': [group], 'stage': [f'{group}.{n}' for n in range(stages)]}
        for place in at.get(KINDS[kind].level, []):
            found.append(Choice(f'{place}.{kind}', tuple(options), (True,) * len(options)))
    return found


def refuse_open(choices: Sequence[Choice]) -> None:
    """Refuse what no mixing by alpha decides: a choice, of no operation, with several options."""
    for choice in choices:
        if len(choice.options) > 1:
            what = f'has {len(choice.options)} options, which no mixing by alpha decides'
            _fail(choice.name, f'{what}; {OPEN_MEND}')


def read_decisions(given: Given, groups: Sequence[str] = ()) -> Genotype:
    """Return a genotype, as it was given.

    Raises:
        GenotypeError: If it decides nothing of these groups, if any are named.
        ValueError: If a name that was given is none of a choice, or an option none of its kind.
    """
    if isinstance(given, Mapping):
        genotype = Genotype('', {name: _decision(name, option) for name, option in given.items()})
    elif isinstance(given, (Genotype, str, os.PathLike)):
        genotype = given if isinstance(given, Genotype) else load_genotype(given)
    else:
        need = 'a genotype, the path of its file or a dict of options by the names of choices'
        raise ValueError(f'model.backbone.genotype must be {need}, got {given!r:.60}')
    if groups and not set(groups) & set(genotype.heads):
        held = f'decides nothing of the {" and ".join(groups)}, only {list(genotype.heads)}'
        raise GenotypeError(
            f'{told_genotype(given)} {held}; take one that was searched with this backbone'
        )
    return genotype


def told_genotype(given: Given) -> str:
    """Name a genotype in an error: the file, where it is one."""
    return f"genotype '{given!s:.200}'" if isinstance(given, (str, os.PathLike)) else 'the genotype'


def _decision(name: str, option: Any) -> Decision:
    taken = tuple(option) if isinstance(option, (list, tuple)) else (option,)
    try:
        check_options(read_name(name).kind, taken)
    except ValueError as error:
        raise ValueError(f'the genotype, {name}: {error}') from None
    return Decision(taken, taken)


def inline(genotype: Genotype) -> dict[str, Any]:
    """Return what a genotype chose of a backbone, as a config holds it: name -> option."""
    names = {n: d for n, d in genotype.decisions.items() if n.split('.')[0] in BACKBONES}
    return {n: list(d.chosen) if len(d.chosen) > 1 else d.chosen[0] for n, d in names.items()}


def decide(plan: BackbonePlan, choices: Mapping[str, Option]) -> BackbonePlan:
    """Apply options by the names of their choices, operations aside, to a recipe's plan."""
    for name, option in choices.items():
        _, stage, kind = read_name(name)
        if kind.level != 'layer':
            plan = kind.apply(plan, (int(stage), option) if kind.level == 'stage' else option)
    return plan


def _fail(where: str, what: str) -> Any:
    raise ValueError(f'model.backbone.space: {where} {what}')
