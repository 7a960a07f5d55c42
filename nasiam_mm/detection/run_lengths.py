# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Masks of COCO in run-length code, read without pycocotools, which trusts them."""

from typing import Any


def run_lengths(counts: Any) -> list[int] | None:
    """Return the run lengths of a mask in COCO's run-length code; None where it is none.

    Without pycocotools, which trusts them and writes past its buffer. ``counts`` is a list of them,
    or COCO's text (``rleToString`` of its ``maskApi.c``): six bits a character from '0' on, of
    which five are digits and one says that more follow; from the third run on, the difference to
    the run before the last.
    """
    if isinstance(counts, list):
        return counts if all(isinstance(run, int) and run >= 0 for run in counts) else None
    if not isinstance(counts, str):
        return None
    runs: list[int] = []
    value = shift = 0
    for bits in (ord(character) - 48 for character in counts):
        if not 0 <= bits < 64 or shift > 30:  # no image has a run of more bits
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
