# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Whether two checkpoints hold the same, bit for bit."""

import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer

from nasiam_mm.files.checkpoint import read_checkpoint

# What two equal runs do not share: the clock, their names and folders.
_OF_THE_RUN = {
    'meta.time',
    'meta.experiment_name',
    'meta.cfg',
    'meta.mmengine_version',  # with the commit of the folder the run was started in
    *(
        f'message_hub.log_scalars.{loop}/{what}'
        for loop in ('train', 'val')
        for what in ('time', 'data_time', 'data_wait')
    ),
    'message_hub.runtime_info.experiment_name',
    'message_hub.runtime_info.cfg',
    'message_hub.runtime_info.mmengine_version',
    'message_hub.runtime_info.eta',
}


def compare_checkpoints(one: str | os.PathLike, other: str | os.PathLike) -> list[str]:
    """Name the entries in which two checkpoints differ.

    Numbers are compared by their bits, so that a NaN equals itself. Times,
    names and the folders of paths are left out.

    Returns:
        Dotted names, such as ``'optimizer.state.3.momentum_buffer'``.
    """
    pair = read_checkpoint(one, 'cpu'), read_checkpoint(other, 'cpu')
    return sorted(set(_differences(*pair, '')))


def _differences(one: Any, other: Any, name: str) -> Iterator[str]:
    if name in _OF_THE_RUN:
        return
    if isinstance(one, HistoryBuffer) and isinstance(other, HistoryBuffer):
        one, other = one.data, other.data
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        pairs = {key: (one.get(key, _ABSENT), other.get(key, _ABSENT)) for key in {*one, *other}}
    elif _is_list(one) and _is_list(other) and len(one) == len(other):
        pairs = dict(enumerate(zip(one, other, strict=True)))
    else:
        if _bits(one) != _bits(other):
            yield name
        return
    for key, pair in pairs.items():
        yield from _differences(*pair, f'{name}.{key}' if name else str(key))


_ABSENT = object()


def _is_list(value: Any) -> bool:
    return isinstance(value, (list, tuple))


def _bits(value: Any) -> Any:
    """Return what stands for a value in a comparison."""
    if isinstance(value, torch.Tensor):
        value = value.contiguous()
        # bfloat16 has no counterpart in NumPy.
        data = value.flatten().view(torch.uint8).numpy().tobytes() if value.numel() else b''
        return str(value.dtype), tuple(value.shape), data
    if isinstance(value, (np.ndarray, np.generic)):
        return str(value.dtype), value.shape, value.tobytes()
    if isinstance(value, float):
        return value.hex()
    if isinstance(value, str) and os.path.isabs(value):
        return os.path.basename(value)
    return value
