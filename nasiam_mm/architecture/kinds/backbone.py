# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What may be decided of a backbone beside operations: blocks, their form, kernel, width.

None of it is mixed by alpha: a network of each option is drawn and trained.
"""

from dataclasses import replace

from nasiam_mm.architecture.kinds.kind import (
    BACKBONES,
    Kind,
    Options,
    one_of,
    positive,
    register_kind,
    whole,
)
from nasiam_mm.architecture.plan import BackbonePlan

MAX_BLOCKS = 64
BLOCKS = 'basic', 'bottleneck'
KERNELS = 3, 5  # pixels; of registered operations


def without_plain_blocks(decided: Options, group: str) -> str:
    """Say why no form of blocks counts: operations are blocks of their own."""
    has_ops = any(name.startswith(f'{group}.') and name.endswith('.op') for name in decided)
    return f'operations are decided at all blocks of the {group}' if has_ops else ''


def set_blocks(plan: BackbonePlan, of_stage: tuple[int, int]) -> BackbonePlan:
    """Set the number of blocks of a stage."""
    stage, number = of_stage
    if stage >= len(plan.blocks):
        what = f'{BACKBONES[0]}.{stage}.blocks'
        raise ValueError(f'{what} decides nothing: there are {len(plan.blocks)} stages, from 0')
    blocks = list(plan.blocks)
    blocks[stage] = number
    return replace(plan, blocks=tuple(blocks))


def _kernel_fault(option: object) -> str:
    return '' if type(option) is int and option in KERNELS else 'must be 3 or 5'


register_kind(
    Kind(
        'block', 'head', one_of(BLOCKS),
        lambda plan, block: replace(plan, block=block),
        without_plain_blocks, only='backbone', owner='backbone',
    )
)  # fmt: skip
register_kind(
    Kind(
        'kernel', 'head', _kernel_fault, lambda plan, kernel: replace(plan, kernel=kernel),
        without_plain_blocks, only='backbone', owner='backbone',
    )
)  # fmt: skip
register_kind(
    Kind(
        'width', 'head', positive(64), lambda plan, width: replace(plan, width=width),
        only='backbone', owner='backbone',
    )
)  # fmt: skip
register_kind(
    Kind('blocks', 'stage', whole(1, MAX_BLOCKS), set_blocks, only='backbone', owner='backbone')
)
