# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Look through a detection set before any training: annotations whole, images as they say.

mmdet skips much that is broken without a word (a box outside its image, a class of another
name) and meets a missing image only when its turn comes, hours later. A set of which it keeps
nothing to learn is refused, as is an image of another size than annotated, such as a turned one.
"""

import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from mmengine.logging import print_log

from nasiam_mm.datasets.headers import Size, name_some, read_header, read_headers
from nasiam_mm.detection.run_lengths import run_lengths
from nasiam_mm.files.regular import read_json

_HEADERS = 50_000  # images looked at, at most
_MOST_XML = 2**20  # bytes


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
        ann_file, kind = root / leaf.get('ann_file', ''), str(leaf.get('type')).split('.')[-1]
        if kind not in ('CocoDataset', 'VOCDataset'):
            raise ValueError(f'{kind:.60} is not checked here; use CocoDataset or VOCDataset')
        if not ann_file.is_file():
            raise FileNotFoundError(f'{ann_file}: no such annotation file; see docs/detection.md')
        limits = {} if leaf.get('test_mode') else leaf.get('filter_cfg') or {}
        if kind == 'CocoDataset':
            images, least = root / prefix.get('img', ''), limits.get('min_size', 0)
            names.append(check_coco(ann_file, images, classes, masks, least))
        else:
            names.append(
                check_voc(ann_file, root / prefix.get('sub_data_root', ''), classes, limits)
            )
    return ' + '.join(dict.fromkeys(names))


def check_coco(
    ann_file: Path, images: Path, classes: Sequence[str], masks: bool = True, min_size: int = 0
) -> str:
    """Check a set in COCO format; return its ``info.description``, or the file's name."""
    try:
        coco = read_json(ann_file)
        problem = _coco_problem(coco, masks)
    except (ValueError, RecursionError) as error:
        problem = f'not valid JSON ({error!s:.200})'
    except KeyError as error:
        problem = f'an image or category lacks {error}'
    if problem:
        raise ValueError(f'{ann_file}: {problem}; make or fetch it again')
    categories = {category['id']: category['name'] for category in coco['categories']}
    if absent := [name for name in classes if name not in categories.values()]:
        mend = 'set metainfo.classes to the categories'
        raise ValueError(f"{ann_file}: has no category '{absent[0]}'; {mend}")
    sizes = {image['id']: (image['width'], image['height']) for image in coco['images']}
    learned = {number for number, name in categories.items() if name in classes}
    _require_learnable(
        ann_file, Counter(_drops(a, sizes, learned, min_size) for a in coco['annotations'])
    )
    names = [image['file_name'] for image in coco['images']]
    _require_files(images, names, ann_file)
    _require_images(images, names, list(sizes.values()), ann_file)
    info = coco.get('info')
    told = info.get('description') if isinstance(info, dict) else None
    return told if told and isinstance(told, str) else ann_file.name


def _drops(item: Mapping, sizes: Mapping, learned: set, min_size: int) -> str | None:
    """Say why mmdet's ``CocoDataset`` does not learn from an annotation; None where it does."""
    x, y, width, height = item['bbox']
    size = sizes[item['image_id']]
    inside = min(x + width, size[0]) - max(x, 0), min(y + height, size[1]) - max(y, 0)
    reasons = {
        'of other classes': item['category_id'] not in learned,
        'to be ignored': item.get('ignore'),
        'a crowd': item['iscrowd'],
        'smaller than a pixel': min(width, height) < 1 or item['area'] <= 0 or min(inside) <= 0,
        f'in images below filter_cfg.min_size {min_size}': min(size) < min_size,
    }
    return next((reason for reason, holds in reasons.items() if holds), None)


def _require_learnable(ann_file: Path, kept: Counter) -> None:
    """Require instances, counted by why they are dropped, that are not."""
    if not kept[None]:
        why = ', '.join(f'{n} {reason}' for reason, n in kept.most_common() if reason)
        mend = 'mend metainfo.classes, filter_cfg or the annotations'
        raise ValueError(f'{ann_file}: holds nothing to learn: {why or "no instance"}; {mend}')


def check_voc(ann_file: Path, root: Path, classes: Sequence[str], limits: Mapping) -> str:
    """Check a set in the layout of Pascal VOC; return its folder's name, such as ``VOC2007``.

    ``limits`` are ``min_size`` and ``bbox_min_size`` of mmdet's ``filter_cfg``.
    """
    try:
        names = ann_file.read_text(encoding='utf-8').splitlines()
    except UnicodeDecodeError as error:
        raise ValueError(f'{ann_file}: is no text in UTF-8; fetch it again') from error
    if not names:
        raise ValueError(f'{ann_file}: names no image; fetch it again')
    _require_files(root / 'JPEGImages', [f'{name}.jpg' for name in names], ann_file)
    _require_files(root / 'Annotations', [f'{name}.xml' for name in names], ann_file)
    sizes, broken, kept = [], [], Counter[str | None]()
    for name in names:
        path = root / 'Annotations' / f'{name}.xml'
        try:
            size, reasons = _read_voc(path, classes, limits)
            sizes.append(size)
            kept.update(reasons)
        except (ElementTree.ParseError, ValueError, OverflowError, OSError) as error:
            broken.append(f'{name}.xml ({error!s:.80})')
    if broken:
        told = f'{len(broken)} broken annotations: {name_some(broken)}'
        raise ValueError(f'{root / "Annotations"}: {told}; make or fetch them again')
    _require_learnable(ann_file, kept)
    _require_images(root / 'JPEGImages', [f'{name}.jpg' for name in names], sizes, ann_file)
    return root.name


def _read_voc(path: Path, classes: Sequence[str], limits: Mapping) -> tuple[Size, list]:
    """Return the size that an annotation tells, and why each object is dropped, or None."""
    if not path.is_file() or path.stat().st_size > _MOST_XML:
        raise ValueError(f'no file, or of more than {_MOST_XML} bytes')
    root = ElementTree.parse(path).getroot()
    told = root.find('size')
    if told is None:
        width, height = read_header(path.parents[1] / 'JPEGImages' / f'{path.name[:-4]}.jpg')
    else:
        width, height = (int(_text(told, side)) for side in ('width', 'height'))
    other_case = {name.casefold(): name for name in classes}
    reasons: list[str | None] = []
    for item in root.findall('object'):
        name = _text(item, 'name')
        if (meant := other_case.get(name.strip().casefold(), name)) != name:
            raise ValueError(f'class {name!r:.40} is written {meant!r:.40} in metainfo.classes')
        if name not in classes:
            reasons.append(f'of other classes, such as {name!r:.40}')
            continue
        box = item.find('bndbox')
        if box is None:
            raise ValueError('an object has no <bndbox>')
        left, top, right, bottom = (
            int(float(_text(box, side))) for side in ('xmin', 'ymin', 'xmax', 'ymax')
        )
        if right < left or bottom < top:
            raise ValueError('a box has a negative side')
        if left > width or top > height or right < 1 or bottom < 1:  # VOC counts from 1
            raise ValueError(f'a box lies outside its {width} x {height} image')
        smallest = limits.get('bbox_min_size') or 0
        why = {
            'difficult': item.find('difficult') is not None and int(_text(item, 'difficult')),
            'below filter_cfg.bbox_min_size': min(right - left, bottom - top) < smallest,
            'in images below filter_cfg.min_size': min(width, height) < limits.get('min_size', 0),
        }
        reasons.append(next((reason for reason, holds in why.items() if holds), None))
    return (width, height), reasons


def _text(node: ElementTree.Element, key: str) -> str:
    if not (text := node.findtext(key)):
        raise ValueError(f'<{node.tag:.40}> has no <{key}>')
    return text


def _coco_problem(coco: Any, masks: bool) -> str | None:
    """Say what is wrong with the content of a COCO file; None where nothing is."""
    for key in ('images', 'annotations', 'categories'):
        if not isinstance(coco, dict) or not isinstance(coco.get(key), list) or not coco[key]:
            return f"has no '{key}', is not a COCO annotation file"
        if not all(isinstance(item, dict) for item in coco[key]):
            return f"'{key}' holds what is no object"
    sizes: dict[Any, Size] = {}
    for image in coco['images']:
        size, name = (image['width'], image['height']), f'image {image["id"]!r:.60}'
        if not isinstance(image['id'], int | str):
            return f'{name}: is not an id'
        if image['id'] in sizes:
            return f'{name}: its id is used twice'
        if not all(type(side) is int and 0 < side < 10**6 for side in size):
            return f'{name}: width {size[0]!r:.60} and height {size[1]!r:.60} are not pixels'
        if not isinstance(image['file_name'], str):
            return f'{name}: file_name {image["file_name"]!r:.60} is no name'
        sizes[image['id']] = size
    for category in coco['categories']:
        if not isinstance(category['id'], int | str) or not isinstance(category['name'], str):
            return f'category {category["id"]!r:.60} has no id and name'
    categories = {category['id']: category['name'] for category in coco['categories']}
    ids: set[Any] = set()
    for item in coco['annotations']:
        if problem := _annotation_problem(item, ids, sizes, categories, masks):
            return f'annotation {item.get("id")!r:.60}: {problem}'
        ids.add(item['id'])
    return None


def _annotation_problem(
    item: dict, ids: set, sizes: Mapping[Any, tuple], categories: Mapping, masks: bool
) -> str | None:
    for key in ('id', 'image_id', 'category_id', 'bbox', 'area', 'iscrowd'):
        if key not in item:
            return f"has no '{key}'"
    for key, known in (('id', None), ('image_id', sizes), ('category_id', categories)):
        if not isinstance(item[key], int | str):
            return f'{key} {item[key]!r:.60} is not an id'
        if known is not None and item[key] not in known:
            owner = 'images' if known is sizes else 'categories'
            return f'{key} {item[key]!r:.60} is not among the {owner}'
    if item['id'] in ids:
        return 'its id is used twice'
    if not _is_finite(item['area']):
        return f'area {item["area"]!r:.60} is not a finite number'
    box, size = item['bbox'], sizes[item['image_id']]
    if not isinstance(box, list) or len(box) != 4 or not all(map(_is_finite, box)):
        return f'bbox {box!r:.60} is not four finite numbers'
    x, y, width, height = box
    if width < 0 or height < 0:
        return f'bbox {box!r:.60} has a negative side'
    if x >= size[0] or y >= size[1] or x + width < 0 or y + height < 0:
        return f'bbox {box!r:.60} lies outside its {size[0]} x {size[1]} image'
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
    return isinstance(value, int | float) and abs(value) < 1e15  # of an integer, of any size


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


def _require_images(
    folder: Path, names: Sequence[str], sizes: Sequence[Size], ann_file: Path
) -> None:
    """Require by their headers that the images can be read, and have the sizes that were told."""
    found, step = read_headers([folder / name for name in names], sizes, most=_HEADERS)
    if step > 1:
        told = f'the header of every {step}th of {len(names)} images was looked at'
        print_log(f'{ann_file}: {told}', 'current')
    if found:
        told = name_some([f'{names[n]} ({fault})' for n, fault in found.items()])
        mend = 'replace them, or annotate them as OpenCV reads them'
        raise ValueError(f'{folder}: {len(found)} images are not as annotated: {told}; {mend}')
