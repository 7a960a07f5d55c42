# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Look through a detection set before any training: annotations whole, images there.

mmdet skips much that is broken without a word (a box outside its image, a class of another
name) and meets a missing image only when its turn comes, hours later.
"""

import json
import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any


def check_dataset(dataset: Mapping[str, Any], classes: Sequence[str], masks: bool) -> str:
    """Check the set that a dataset config describes.

    Args:
        dataset: Config of a ``CocoDataset`` or ``VOCDataset``, or of a wrapper around them.
        classes: Names of the classes the detector learns.
        masks: Whether instances need a segmentation.

    Returns:
        What the set calls itself.

    Raises:
        FileNotFoundError: If an annotation file or an image is missing.
        ValueError: If an annotation is broken, or the kind of set is not known.
    """
    parts = dataset.get('datasets') or ([dataset['dataset']] if 'dataset' in dataset else [])
    if parts:
        return ' + '.join(dict.fromkeys(check_dataset(part, classes, masks) for part in parts))
    root = Path(dataset.get('data_root') or '')
    prefix = dataset.get('data_prefix') or {}
    ann_file = root / dataset['ann_file']
    kind = str(dataset['type']).split('.')[-1]
    if kind == 'CocoDataset':
        return check_coco(ann_file, root / prefix.get('img', ''), classes, masks)
    if kind == 'VOCDataset':
        return check_voc(ann_file, root / prefix.get('sub_data_root', ''))
    raise ValueError(f'{kind} is not checked here; use CocoDataset or VOCDataset')


def check_coco(ann_file: Path, images: Path, classes: Sequence[str], masks: bool = True) -> str:
    """Check a set in COCO format, as :func:`check_dataset`.

    Returns:
        The set's ``info.description``, or the file's name where it has none.
    """
    if not ann_file.is_file():
        raise FileNotFoundError(f'{ann_file}: no such annotation file; see docs/detection.md')
    try:
        coco = json.loads(ann_file.read_bytes())
    except ValueError as error:
        raise ValueError(f'{ann_file}: not valid JSON ({error}); make or fetch it again') from error
    for key in ('images', 'annotations', 'categories'):
        if not isinstance(coco, dict) or not isinstance(coco.get(key), list) or not coco[key]:
            raise ValueError(f"{ann_file}: has no '{key}'; it is not a COCO annotation file")
    try:
        sizes: dict[Any, tuple[int, int]] = {}
        for image in coco['images']:
            problem = _image_problem(image, sizes)
            if problem:
                raise ValueError(f'{ann_file}: image {image["id"]}: {problem}; make it again')
            sizes[image['id']] = (image['width'], image['height'])
        names = [image['file_name'] for image in coco['images']]
        categories = {category['id']: category['name'] for category in coco['categories']}
    except (KeyError, TypeError) as error:
        raise ValueError(f'{ann_file}: an image or category lacks {error}') from error
    absent = [name for name in classes if name not in categories.values()]
    if absent:
        raise ValueError(
            f"{ann_file}: has no category '{absent[0]}'; set metainfo.classes to the categories"
        )
    ids: set[Any] = set()
    for item in coco['annotations']:
        problem = _annotation_problem(item, ids, sizes, categories, masks)
        if problem:
            index = item.get('id') if isinstance(item, dict) else item
            raise ValueError(f'{ann_file}: annotation {index}: {problem}; make or fetch it again')
        ids.add(item['id'])
    _require_files(images, names, ann_file)
    return (coco.get('info') or {}).get('description') or ann_file.name


def check_voc(ann_file: Path, root: Path) -> str:
    """Check a set in the layout of Pascal VOC, as :func:`check_dataset`.

    Args:
        ann_file: One image name a line.
        root: Folder of ``JPEGImages`` and ``Annotations``.

    Returns:
        The name of the folder, such as ``VOC2007``.
    """
    if not ann_file.is_file():
        raise FileNotFoundError(f'{ann_file}: no such image list; see docs/detection.md')
    names = ann_file.read_text(encoding='utf-8').split()
    if not names:
        raise ValueError(f'{ann_file}: names no image; fetch it again')
    _require_files(root / 'JPEGImages', (f'{name}.jpg' for name in names), ann_file)
    _require_files(root / 'Annotations', (f'{name}.xml' for name in names), ann_file)
    return root.name


def _image_problem(image: Mapping[str, Any], sizes: Mapping[Any, tuple]) -> str | None:
    """Say what is wrong with an image's entry; None where nothing is."""
    if image['id'] in sizes:
        return 'its id is used twice'
    if not all(isinstance(image[side], int) and image[side] > 0 for side in ('width', 'height')):
        return f'width {image["width"]!r} and height {image["height"]!r} are not pixels'
    if not isinstance(image['file_name'], str):
        return f'file_name {image["file_name"]!r} is no name'
    return None


def _annotation_problem(
    item: Any, ids: set, sizes: Mapping[Any, tuple], categories: Mapping[Any, str], masks: bool
) -> str | None:
    """Say what is wrong with an annotation; None where nothing is."""
    if not isinstance(item, dict):
        return 'not an object'
    for key in ('id', 'image_id', 'category_id', 'bbox', 'area', 'iscrowd'):
        if key not in item:
            return f"has no '{key}'"
    for key in ('id', 'image_id', 'category_id'):
        if not isinstance(item[key], int | str):
            return f'{key} {item[key]} is not an id'
    if item['id'] in ids:
        return 'its id is used twice'
    if not _is_finite(item['area']):
        return f'area {item["area"]!r} is not a finite number'
    if item['image_id'] not in sizes:
        return f'image_id {item["image_id"]} is not among the images'
    if item['category_id'] not in categories:
        return f'category_id {item["category_id"]} is not among the categories'
    box = item['bbox']
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_finite, box)):
        return f'bbox {box} is not four finite numbers'
    x, y, width, height = box
    if width < 0 or height < 0:
        return f'bbox {box} has a negative side'
    image_width, image_height = sizes[item['image_id']]
    if x >= image_width or y >= image_height or x + width < 0 or y + height < 0:
        return f'bbox {box} lies outside its {image_width} x {image_height} image'
    return _mask_problem(item.get('segmentation'), (image_height, image_width)) if masks else None


def _mask_problem(segmentation: Any, size: tuple[int, int]) -> str | None:
    if isinstance(segmentation, dict):
        runs = run_lengths(segmentation.get('counts'))
        if segmentation.get('size') != list(size) or runs is None or sum(runs) != math.prod(size):
            return f'segmentation is not a run-length code of its image, {size[0]} x {size[1]}'
        return None
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


def _require_files(folder: Path, names: Iterable[str], ann_file: Path) -> None:
    if not folder.is_dir():
        raise FileNotFoundError(f'{folder}: no such folder, {ann_file} names files in it')
    entries = {entry.name: entry for entry in os.scandir(folder)}  # one call for 118,000 images
    names, present = list(names), entries.keys()
    missing = [n for n in names if n not in present and not (folder / n).is_file()]
    if missing:
        raise FileNotFoundError(
            f'{folder / missing[0]}: missing, as are {len(missing) - 1} more that {ann_file} '
            'names; fetch them, or give the right data_prefix'
        )
    empty = [n for n in names if n in entries and entries[n].stat().st_size == 0]
    if empty:
        raise ValueError(
            f'{folder / empty[0]}: empty, as are {len(empty) - 1} more; make or fetch them again'
        )


def run_lengths(counts: Any) -> list[int] | None:
    """Return the run lengths of a mask in COCO's run-length code.

    Without pycocotools, which trusts them and writes past its buffer.

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
