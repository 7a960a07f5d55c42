# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Look through a detection set before any training: annotations whole, images there.

mmdet skips much that is broken without a word (a box outside its image, a class of another
name) and meets a missing image only when its turn comes, hours later.
"""

import json
import math
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def leaves(dataset: Mapping[str, Any]) -> list[Any]:
    """Return the sets under the wrappers of a dataset config, itself where it wraps none."""
    parts = dataset.get('datasets') or ([dataset['dataset']] if 'dataset' in dataset else [])
    return [leaf for part in parts for leaf in leaves(part)] or [dataset]


def check_dataset(dataset: Mapping[str, Any], classes: Sequence[str], masks: bool) -> str:
    """Check the sets that a dataset config describes, and return what they call themselves.

    Takes a ``CocoDataset`` or ``VOCDataset``, or a wrapper around them, the names of the classes
    that the detector learns, and whether instances need a segmentation. FileNotFoundError if an
    annotation file or an image is missing; ValueError if an annotation is broken or the kind of
    set is not known.
    """
    names = []
    for leaf in leaves(dataset):
        root, prefix = Path(leaf.get('data_root') or ''), leaf.get('data_prefix') or {}
        ann_file, kind = root / leaf['ann_file'], str(leaf['type']).split('.')[-1]
        if kind not in ('CocoDataset', 'VOCDataset'):
            raise ValueError(f'{kind} is not checked here; use CocoDataset or VOCDataset')
        if not ann_file.is_file():
            raise FileNotFoundError(f'{ann_file}: no such annotation file; see docs/detection.md')
        if kind == 'CocoDataset':
            names.append(check_coco(ann_file, root / prefix.get('img', ''), classes, masks))
        else:
            names.append(_check_voc(ann_file, root / prefix.get('sub_data_root', '')))
    return ' + '.join(dict.fromkeys(names))


def check_coco(ann_file: Path, images: Path, classes: Sequence[str], masks: bool = True) -> str:
    """Check a set in COCO format; return its ``info.description``, or the file's name."""
    try:
        coco = json.loads(ann_file.read_bytes())
        problem = _coco_problem(coco, masks)
    except ValueError as error:
        problem = f'not valid JSON ({error})'
    except (KeyError, TypeError) as error:
        problem = f'an image or category lacks {error}'
    if problem:
        raise ValueError(f'{ann_file}: {problem}; make or fetch it again')
    categories = {category['id']: category['name'] for category in coco['categories']}
    if absent := [name for name in classes if name not in categories.values()]:
        mend = 'set metainfo.classes to the categories'
        raise ValueError(f"{ann_file}: has no category '{absent[0]}'; {mend}")
    _require_files(images, [image['file_name'] for image in coco['images']], ann_file)
    return (coco.get('info') or {}).get('description') or ann_file.name


def _check_voc(ann_file: Path, root: Path) -> str:
    """Check a set in the layout of Pascal VOC; return its folder's name, such as ``VOC2007``."""
    names = ann_file.read_text(encoding='utf-8').split()
    if not names:
        raise ValueError(f'{ann_file}: names no image; fetch it again')
    _require_files(root / 'JPEGImages', [f'{name}.jpg' for name in names], ann_file)
    _require_files(root / 'Annotations', [f'{name}.xml' for name in names], ann_file)
    return root.name


def _coco_problem(coco: Any, masks: bool) -> str | None:
    """Say what is wrong with the content of a COCO file; None where nothing is."""
    for key in ('images', 'annotations', 'categories'):
        if not isinstance(coco, dict) or not isinstance(coco.get(key), list) or not coco[key]:
            return f"has no '{key}', is not a COCO annotation file"
    sizes: dict[Any, tuple[int, int]] = {}
    for image in coco['images']:
        size = image['width'], image['height']
        if image['id'] in sizes:
            return f'image {image["id"]}: its id is used twice'
        if not all(isinstance(side, int) and side > 0 for side in size):
            return f'image {image["id"]}: width {size[0]!r} and height {size[1]!r} are not pixels'
        if not isinstance(image['file_name'], str):
            return f'image {image["id"]}: file_name {image["file_name"]!r} is no name'
        sizes[image['id']] = size
    categories = {category['id']: category['name'] for category in coco['categories']}
    ids: set[Any] = set()
    for item in coco['annotations']:
        if problem := _annotation_problem(item, ids, sizes, categories, masks):
            return f'annotation {item.get("id") if isinstance(item, dict) else item}: {problem}'
        ids.add(item['id'])
    return None


def _annotation_problem(
    item: Any, ids: set, sizes: Mapping[Any, tuple], categories: Mapping, masks: bool
) -> str | None:
    if not isinstance(item, dict):
        return 'not an object'
    for key in ('id', 'image_id', 'category_id', 'bbox', 'area', 'iscrowd'):
        if key not in item:
            return f"has no '{key}'"
    for key, known in (('id', None), ('image_id', sizes), ('category_id', categories)):
        if not isinstance(item[key], int | str):
            return f'{key} {item[key]} is not an id'
        if known is not None and item[key] not in known:
            owner = 'images' if known is sizes else 'categories'
            return f'{key} {item[key]} is not among the {owner}'
    if item['id'] in ids:
        return 'its id is used twice'
    if not _is_finite(item['area']):
        return f'area {item["area"]!r} is not a finite number'
    box, size = item['bbox'], sizes[item['image_id']]
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_finite, box)):
        return f'bbox {box} is not four finite numbers'
    x, y, width, height = box
    if width < 0 or height < 0:
        return f'bbox {box} has a negative side'
    if x >= size[0] or y >= size[1] or x + width < 0 or y + height < 0:
        return f'bbox {box} lies outside its {size[0]} x {size[1]} image'
    return _mask_problem(item.get('segmentation'), [size[1], size[0]]) if masks else None


def _mask_problem(segmentation: Any, size: list[int]) -> str | None:
    if isinstance(segmentation, dict):
        runs = run_lengths(segmentation.get('counts')) or []
        if segmentation.get('size') == size and sum(runs) == math.prod(size):
            return None
        return f'segmentation is not a run-length code of its image, {size[0]} x {size[1]}'
    if not isinstance(segmentation, list) or not segmentation:
        return 'has no segmentation'
    for polygon in segmentation:
        if not isinstance(polygon, list) or len(polygon) % 2 or not all(map(_is_finite, polygon)):
            return 'segmentation is not a list of polygons'
    # mmdet drops what is less than a triangle, and pycocotools stumbles over an empty one.
    if not all(segmentation) or max(map(len, segmentation)) < 6:
        return 'segmentation has no polygon of three points or more'
    return None


def _is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _require_files(folder: Path, names: Sequence[str], ann_file: Path) -> None:
    """Require that the files that ``ann_file`` names are there and hold something."""
    # One call for 118,000 images.
    entries = {entry.name: entry for entry in os.scandir(folder)} if folder.is_dir() else {}
    missing = [name for name in names if name not in entries and not (folder / name).is_file()]
    if missing:
        more = f'missing, as are {len(missing) - 1} more that {ann_file} names'
        raise FileNotFoundError(f'{folder / missing[0]}: {more}; fetch them, or mend data_prefix')
    empty = [name for name in names if name in entries and entries[name].stat().st_size == 0]
    if empty:
        more = f'empty, as are {len(empty) - 1} more; make or fetch them again'
        raise ValueError(f'{folder / empty[0]}: {more}')


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
