# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Run lengths of a mask, read without pycocotools, which trusts them and writes past its buffer."""

from typing import Any

__all__ = ['run_lengths']


def run_lengths(counts: Any) -> list[int] | None:
    """Return the run lengths of a mask in COCO's run-length code.

    Args:
        counts: A list of them, or COCO's text (``rleToString`` of its ``maskApi.c``): six bits a
            character from '0' on, of which five are digits and one says that more follow; from
            the third run on, the difference to the run before the last.

    Returns:
        The run lengths, or None where ``counts`` is neither.
    """
    if isinstance(counts, list):
        whole = all(isinstance(run, int) and run >= 0 for run in counts)
        return counts if whole else None
    if not isinstance(counts, str):
        return None
    runs: list[int] = []
    value = shift = 0
    for character in counts:
        bits = ord(character) - 48
        if not 0 <= bits < 64:
            return None
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        value += runs[-2] if len(runs) > 2 else 0
        if value < 0:
            return None
        runs.append(value)
        value = shift = 0
    return None if shift else runs
