# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Every kind of broken detection set is refused in one line that names the place."""

import json
import math

import numpy as np
import pycocotools.mask
import pytest

from nasiam_mm.detection.dataset_check import check_coco, check_dataset, run_lengths

CLASSES = ('cat', 'dog')


@pytest.fixture
def coco(tmp_path):
    """A whole set of two images: polygon, run-length code, and a crowd."""
    (tmp_path / 'images').mkdir()
    for name in ('a.png', 'b.png'):
        (tmp_path / 'images' / name).write_bytes(b'png')
    rle = {'size': [30, 40], 'counts': [31, 5, 25, 5, 1134]}
    box = {'category_id': 2, 'bbox': [1, 2, 5, 5.5], 'area': 20, 'iscrowd': 0}
    return {
        'info': {'description': 'toy'},
        'images': [
            {'id': i, 'file_name': name, 'width': 40, 'height': 30}
            for i, name in enumerate(('a.png', 'b.png'))
        ],
        'categories': [{'id': 2, 'name': 'cat'}, {'id': 5, 'name': 'dog'}],
        'annotations': [
            {'id': 1, 'image_id': 0, 'segmentation': [[1, 2, 6, 2, 6, 7]], **box},
            {'id': 2, 'image_id': 1, 'segmentation': rle, **box},
        ],
    }


def check(coco, folder, masks=True):
    ann_file = folder / 'ann.json'
    ann_file.write_text(json.dumps(coco))
    return check_coco(ann_file, folder / 'images', CLASSES, masks)


def test_whole_set_passes_and_names_itself(coco, tmp_path):
    assert check(coco, tmp_path) == 'toy'
    del coco['info']
    assert check(coco, tmp_path) == 'ann.json'


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('bbox', None, "has no 'bbox'"),
        ('bbox', [1, 2, 3], 'not four finite numbers'),
        ('bbox', [1, 2, math.nan, 3], 'not four finite numbers'),
        ('bbox', ['1', 2, 3, 4], 'not four finite numbers'),
        ('bbox', [1, 2, -3, 4], 'negative side'),
        ('bbox', [400, 2, 3, 4], 'lies outside its 40 x 30 image'),
        ('image_id', 7, 'image_id 7 is not among the images'),
        ('category_id', 1, 'category_id 1 is not among the categories'),
        ('id', 1, 'its id is used twice'),
        ('segmentation', None, 'has no segmentation'),
        ('segmentation', [[1, 2, 3]], 'not a list of polygons'),
        ('segmentation', [[1, 2, 3, 4]], 'no polygon of three points'),
        ('segmentation', [[1, 2, 6, 2, 6, 7], []], 'no polygon of three points'),
        ('segmentation', {'size': 30, 'counts': [1200]}, 'run-length code'),
        ('segmentation', {'size': [30, 40]}, 'run-length code'),
        ('segmentation', {'size': [30, 40], 'counts': 7}, 'run-length code'),
        ('segmentation', {'size': [30, 40], 'counts': [5, 10]}, 'run-length code'),
        ('segmentation', {'size': [30, 40], 'counts': '@@@'}, 'run-length code'),
        ('area', 'big', "area 'big' is not a finite number"),
        ('iscrowd', None, "has no 'iscrowd'"),
        ('image_id', [1], 'image_id [1] is not an id'),
        (
            'segmentation',
            {'size': [40, 30], 'counts': [1200]},
            'run-length code of its image, 30 x 40',
        ),
    ],
)
def test_broken_annotation_is_named(coco, tmp_path, key, value, message):
    if value is None:
        del coco['annotations'][1][key]
    else:
        coco['annotations'][1][key] = value
    with pytest.raises(ValueError, match=r'ann\.json: annotation \d: ') as error:
        check(coco, tmp_path)
    assert message in str(error.value)


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('id', 0, 'image 0: its id is used twice'),
        ('width', '40', "width '40' and height 30 are not pixels"),
        ('height', 0, 'width 40 and height 0 are not pixels'),
        ('file_name', 7, 'file_name 7 is no name'),
    ],
)
def test_broken_image_is_named(coco, tmp_path, key, value, message):
    coco['images'][1][key] = value
    with pytest.raises(ValueError, match=r'ann\.json: image \d: ') as error:
        check(coco, tmp_path)
    assert message in str(error.value)


def test_empty_image_is_named(coco, tmp_path):
    (tmp_path / 'images/b.png').write_bytes(b'')
    with pytest.raises(ValueError, match=r'images/b\.png: empty, as are 0 more'):
        check(coco, tmp_path)


def test_run_lengths_are_those_of_pycocotools():
    rng = np.random.default_rng(0)
    for density in (0.0, 0.01, 0.5, 1.0):
        mask = np.asfortranarray(rng.random((37, 53)) < density, dtype=np.uint8)
        flat = mask.ravel(order='F')
        # The first run is of zeros, though there be none.
        edges = np.flatnonzero(np.diff(flat, prepend=0))
        runs = np.diff([0, *edges, flat.size]).tolist()
        text = pycocotools.mask.encode(mask)['counts'].decode()
        assert run_lengths(text) == runs == run_lengths(runs)
    # The last character says that one more follows.
    assert run_lengths(text[:-1] + chr(48 + (ord(text[-1]) - 48 | 32))) is None
    assert run_lengths('é') is run_lengths([1, -1]) is run_lengths([1.5]) is None


def test_masks_are_asked_for_only_where_needed(coco, tmp_path):
    del coco['annotations'][0]['segmentation']
    assert check(coco, tmp_path, masks=False) == 'toy'


def test_class_of_another_name(coco, tmp_path):
    coco['categories'][1]['name'] = 'Dog'
    with pytest.raises(ValueError, match="no category 'dog'"):
        check(coco, tmp_path)


@pytest.mark.parametrize('key', ['images', 'annotations', 'categories'])
def test_missing_or_empty_part(coco, tmp_path, key):
    for broken in ([], None):
        coco[key] = broken
        with pytest.raises(ValueError, match=f"has no '{key}'"):
            check(coco, tmp_path)


def test_truncated_json_and_missing_files(coco, tmp_path):
    check(coco, tmp_path)
    (tmp_path / 'images' / 'b.png').unlink()
    with pytest.raises(FileNotFoundError, match=r'images/b\.png: missing, as are 0 more'):
        check_coco(tmp_path / 'ann.json', tmp_path / 'images', CLASSES)
    (tmp_path / 'ann.json').write_text(json.dumps(coco)[:-20])
    with pytest.raises(ValueError, match='not valid JSON'):
        check_coco(tmp_path / 'ann.json', tmp_path / 'images', CLASSES)
    with pytest.raises(FileNotFoundError, match=r'none\.json: no such annotation file'):
        check_dataset({'type': 'CocoDataset', 'ann_file': tmp_path / 'none.json'}, CLASSES, True)


def test_voc_behind_wrappers(tmp_path):
    for folder in ('JPEGImages', 'Annotations', 'ImageSets/Main'):
        (tmp_path / 'VOC2007' / folder).mkdir(parents=True)
    (tmp_path / 'VOC2007/ImageSets/Main/trainval.txt').write_text('000001\n000002\n')
    for name in ('000001', '000002'):
        (tmp_path / f'VOC2007/JPEGImages/{name}.jpg').write_bytes(b'jpg')
        (tmp_path / f'VOC2007/Annotations/{name}.xml').write_bytes(b'xml')
    part = {
        'type': 'VOCDataset',
        'data_root': str(tmp_path),
        'ann_file': 'VOC2007/ImageSets/Main/trainval.txt',
        'data_prefix': {'sub_data_root': 'VOC2007/'},
    }
    wrapped = {'type': 'RepeatDataset', 'dataset': {'type': 'ConcatDataset', 'datasets': [part]}}
    assert check_dataset(wrapped, (), masks=False) == 'VOC2007'
    (tmp_path / 'VOC2007/Annotations/000002.xml').unlink()
    with pytest.raises(FileNotFoundError, match=r'Annotations/000002\.xml: missing'):
        check_dataset(wrapped, (), masks=False)
    with pytest.raises(ValueError, match='LVISDataset is not checked here'):
        check_dataset({'type': 'LVISDataset', 'ann_file': 'x'}, (), masks=False)
