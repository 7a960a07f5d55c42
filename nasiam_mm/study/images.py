# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Images for the comparison of heads alone: no training and no choice of a head sees their labels.

Fresh seeds on the images that chose a head would still flatter it.
"""

import copy
from collections.abc import Mapping
from typing import Any

from nasiam_mm.config_walk import type_name, walk
from nasiam_mm.datasets.split import split_indices
from nasiam_mm.registry import DATASETS

PART = 'check'
_SHARE = 2 / 3  # of validation images, where no other are left


def set_check_images(probe: dict, wanted: int) -> tuple[int, str]:
    """Give ``probe.final`` images of their own, at most ``wanted``.

    They are taken of what the parts of the query's data set leave over or, where that is less than
    half of them, of the query, which must be the last of its parts.

    Args:
        probe: Section of a config whose data are resolved; it is changed.
        wanted: Number of images; with 0 there are none.

    Returns:
        Their number, and what was done in a line; 0 where none can be had.
    """
    query = probe['query']
    split: Any = query.get('dataset') or {}
    if not wanted:
        return 0, 'heads are compared on the images that chose them, as study.images is 0'
    if type_name(split) != 'SplitDataset':
        why = 'probe.query is no part of a SplitDataset'
        return 0, f'{why}: heads are compared on the images that chose them'
    total = len(DATASETS.build({**copy.deepcopy(split['dataset'])}))
    parts = dict(split['parts'])
    sizes = {k: len(v) for k, v in split_indices(total, parts, split.get('seed', 0)).items()}
    free, own = total - sum(sizes.values()), split['part']
    if free >= max(2, wanted / 2):
        more = {**parts, PART: min(wanted, free)}
        told = f'{min(wanted, free)} training images in no other part'
    elif own != list(parts)[-1] or sizes[own] < 3:
        why = f'no images are left over, and {own} is not the last part'
        return 0, f'{why}: heads are compared on the images that chose them'
    else:
        count = int(_SHARE * sizes[own])
        more = {**parts, own: sizes[own] - count, PART: count}
        told = f'{count} of the {sizes[own]} images of probe.query, which the search does not see'
    for node in walk(probe):
        if type_name(node) == 'SplitDataset' and _is_same(node, split):
            node['parts'] = list(more.items())
    loader = copy.deepcopy(query)
    loader['dataset']['part'] = PART
    probe['final'] = loader
    return more[PART], f'heads are compared on {told}'


def _is_same(node: Mapping, split: Mapping) -> bool:
    cuts = [(list(dict(of['parts']).items()), of.get('seed', 0)) for of in (node, split)]
    return cuts[0] == cuts[1]
