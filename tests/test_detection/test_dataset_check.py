# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Every kind of broken detection set is refused in one line that names the place."""

import json
import math

import numpy as np
import pycocotools.mask
import pytest
from mmdet.registry import DATASETS
from PIL import Image

from nasiam_mm.detection.dataset_check import check_coco, check_dataset
from nasiam_mm.detection.run_lengths import run_lengths

CLASSES = ('cat', 'dog')


@pytest.fixture
def coco(tmp_path):
    """A whole set of two images: polygon, run-length code, and a crowd."""
    (tmp_path / 'images').mkdir()
    for name in ('a.png', 'b.png'):
        Image.new('L', (40, 30)).save(tmp_path / 'images' / name)
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
    for info in (None, [], {'description': {}}):
        assert check({**coco, 'info': info}, tmp_path) == 'ann.json'


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('bbox', None, "has no 'bbox'"),
        ('bbox', [1, 2, 3], 'not four finite numbers'),
        ('bbox', [1, 2, math.nan, 3], 'not four finite numbers'),
        ('bbox', ['1', 2, 3, 4], 'not four finite numbers'),
        ('bbox', [1, 10**400, 3, 4], 'not four finite numbers'),
        ('bbox', ['x' * 6000] * 4, 'not four finite numbers'),
        ('image_id', 'y' * 6000, 'is not among the images'),
        ('segmentation', {'size': [30, 40], 'counts': 'o' * 10**6}, 'run-length code'),
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
    assert message in str(error.value) and len(str(error.value)) <= 500


@pytest.mark.parametrize(
    ('key', 'value', 'message'),
    [
        ('id', 0, 'image 0: its id is used twice'),
        ('width', '40', "width '40' and height 30 are not pixels"),
        ('height', 0, 'width 40 and height 0 are not pixels'),
        ('height', 10**400, 'are not pixels'),
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


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        ('[' * 10**5, 'not valid JSON'),
        ('9' * 5000, 'not valid JSON'),
        ('{"images": [1], "annotations": [1], "categories": [1]}', "'images' holds what is no obj"),
        ('{"images": [{}], "annotations": [{}], "categories": [{}]}', "lacks 'width'"),
    ],
)
def test_json_that_is_no_set(tmp_path, text, message):
    (tmp_path / 'ann.json').write_text(text)
    with pytest.raises(ValueError, match=message) as error:
        check_coco(tmp_path / 'ann.json', tmp_path, CLASSES)
    assert len(str(error.value)) <= 500


def test_odd_entries(coco, tmp_path):
    for info in ([], {'description': 7}, None):
        coco['info'] = info
        assert check(coco, tmp_path) == 'ann.json'
    coco['categories'][0]['id'] = [2]
    with pytest.raises(ValueError, match=r'category \[2\] has no id and name'):
        check(coco, tmp_path)


DROPS = {
    'a crowd': {'iscrowd': 1},
    'to be ignored': {'ignore': True},
    'of other classes': {'category_id': 7},
    'smaller than a pixel': {'bbox': [1, 2, 0.5, 9]},
    'smaller than a pixel, by area': {'area': 0},
    'smaller than a pixel, inside': {'bbox': [-5, 2, 5, 9]},
}


@pytest.mark.parametrize('reason', DROPS)
def test_a_set_of_which_nothing_is_kept_is_refused(coco, tmp_path, reason):
    coco['categories'].append({'id': 7, 'name': 'fish'})
    coco['annotations'][0].update(DROPS[reason])
    assert check(coco, tmp_path) == 'toy'
    assert kept(coco, tmp_path) == 1
    coco['annotations'][1].update(DROPS[reason])
    with pytest.raises(ValueError, match=f'nothing to learn: 2 {reason.split(",")[0]}; mend'):
        check(coco, tmp_path)
    assert kept(coco, tmp_path) == 0


def test_images_that_the_filter_drops_do_not_count(coco, tmp_path):
    leaf = {'type': 'CocoDataset', 'ann_file': str(tmp_path / 'ann.json')}
    leaf |= {'data_prefix': {'img': str(tmp_path / 'images')}, 'filter_cfg': {'min_size': 32}}
    check(coco, tmp_path)
    with pytest.raises(ValueError, match='2 in images below filter_cfg.min_size 32'):
        check_dataset(leaf, CLASSES, True)
    assert check_dataset({**leaf, 'test_mode': True}, CLASSES, True) == 'toy'


def kept(coco, folder):
    """Count the instances that mmdet's own class gives to learn from."""
    (folder / 'ann.json').write_text(json.dumps(coco))
    dataset = DATASETS.build({
        'type': 'CocoDataset', 'ann_file': str(folder / 'ann.json'), '_scope_': 'mmdet',
        'metainfo': {'classes': CLASSES}, 'pipeline': [], 'data_prefix': {'img': ''},
    })  # fmt: skip
    items = [dataset.get_data_info(n) for n in range(len(dataset))]
    return sum(not found['ignore_flag'] for item in items for found in item['instances'])


def test_images_are_what_their_annotation_says(coco, tmp_path):
    exif = Image.Exif()
    exif[0x112] = 6
    path = tmp_path / 'images/b.png'
    Image.new('L', (40, 30)).save(path, 'jpeg', exif=exif)
    told = r'1 images are not as annotated: b.png \(30 x 40, not 40 x 30: turned, as by EXIF\)'
    with pytest.raises(ValueError, match=told):
        check(coco, tmp_path)
    Image.new('L', (41, 30)).save(path)
    with pytest.raises(ValueError, match='41 x 30, not 40 x 30'):
        check(coco, tmp_path)
    path.write_text('text')
    (tmp_path / 'images/a.png').write_text('text')
    told = r'2 images .*: a.png \(no image that OpenCV reads\), b.png \(no image'
    with pytest.raises(ValueError, match=told):
        check(coco, tmp_path)


OBJECT = (
    '<object><name>cat</name>{}<bndbox><xmin>{}</xmin><ymin>1</ymin><xmax>{}</xmax><ymax>9</ymax>'
    '</bndbox></object>'
)
XML = '<annotation><size><width>40</width><height>30</height></size>{}</annotation>'
WHOLE = XML.format(OBJECT.format('', 1, 9))


@pytest.fixture
def voc(tmp_path):
    """A set of two images in the layout of Pascal VOC, as mmdet's config names it."""
    for folder in ('JPEGImages', 'Annotations', 'ImageSets/Main'):
        (tmp_path / 'VOC2007' / folder).mkdir(parents=True)
    (tmp_path / 'VOC2007/ImageSets/Main/trainval.txt').write_text('000001\n000002\n')
    for name in ('000001', '000002'):
        Image.new('L', (40, 30)).save(tmp_path / f'VOC2007/JPEGImages/{name}.jpg')
        (tmp_path / f'VOC2007/Annotations/{name}.xml').write_text(WHOLE)
    return {
        'type': 'VOCDataset',
        'data_root': str(tmp_path),
        'ann_file': 'VOC2007/ImageSets/Main/trainval.txt',
        'data_prefix': {'sub_data_root': 'VOC2007/'},
    }


def test_voc_behind_wrappers(voc, tmp_path):
    wrapped = {'type': 'RepeatDataset', 'dataset': {'type': 'ConcatDataset', 'datasets': [voc]}}
    assert check_dataset(wrapped, CLASSES, masks=False) == 'VOC2007'
    (tmp_path / 'VOC2007/Annotations/000002.xml').unlink()
    with pytest.raises(FileNotFoundError, match=r'Annotations/000002\.xml: missing'):
        check_dataset(wrapped, CLASSES, masks=False)
    (tmp_path / 'VOC2007/ImageSets/Main/trainval.txt').write_bytes(b'\xff\xfe')
    with pytest.raises(ValueError, match='trainval.txt: is no text in UTF-8'):
        check_dataset(wrapped, CLASSES, masks=False)
    with pytest.raises(ValueError, match='LVISDataset is not checked here'):
        check_dataset({'type': 'LVISDataset', 'ann_file': 'x'}, CLASSES, masks=False)


@pytest.mark.parametrize(
    ('text', 'message'),
    [
        (' ', 'no element found'),
        (WHOLE[:-5], 'unclosed token'),
        (XML.format('').replace('40', 'wide'), 'invalid literal'),
        (XML.replace('<width>40</width>', ''), '<size> has no <width>'),
        (XML.format('<object/>'), '<object> has no <name>'),
        (XML.format('<object><name>cat</name></object>'), 'an object has no <bndbox>'),
        (WHOLE.replace('<xmin>1</xmin>', ''), '<bndbox> has no <xmin>'),
        (WHOLE.replace('<xmin>1', '<xmin>nan'), 'cannot convert float NaN'),
        (WHOLE.replace('<xmin>1', '<xmin>1e999'), 'cannot convert float infinity'),
        (XML.format(OBJECT.format('', 9, 1)), 'a box has a negative side'),
        (XML.format(OBJECT.format('', 45, 49)), 'a box lies outside its 40 x 30 image'),
        (WHOLE.replace('cat', 'Cat'), "class 'Cat' is written 'cat' in metainfo.classes"),
        (WHOLE + ' ' * 2**20, 'more than 1048576 bytes'),
        ('x' * 9000, 'syntax error'),
    ],
)
def test_broken_voc_annotations_are_named_together(voc, tmp_path, text, message):
    for name in ('000001', '000002'):
        (tmp_path / f'VOC2007/Annotations/{name}.xml').write_text(text)
    with pytest.raises(ValueError, match='2 broken annotations: 000001.xml') as error:
        check_dataset(voc, CLASSES, masks=False)
    assert message in str(error.value) and len(str(error.value)) <= 500


@pytest.mark.parametrize(
    ('text', 'limits', 'reason'),
    [
        (XML.format(''), {}, 'no instance'),
        (WHOLE.replace('cat', 'fish'), {}, "2 of other classes, such as 'fish'"),
        (XML.format(OBJECT.format('<difficult>1</difficult>', 1, 9)), {}, '2 difficult'),
        (WHOLE, {'bbox_min_size': 9}, '2 below filter_cfg.bbox_min_size'),
        (WHOLE, {'min_size': 32}, '2 in images below filter_cfg.min_size'),
    ],
)
def test_voc_of_which_nothing_is_kept_is_refused(voc, tmp_path, text, limits, reason):
    for name in ('000001', '000002'):
        (tmp_path / f'VOC2007/Annotations/{name}.xml').write_text(text)
    with pytest.raises(ValueError, match=f'nothing to learn: {reason}'):
        check_dataset({**voc, 'filter_cfg': limits}, CLASSES, masks=False)


def test_the_size_in_a_voc_annotation_is_that_of_the_image(voc, tmp_path):
    path = tmp_path / 'VOC2007/Annotations/000001.xml'
    path.write_text(WHOLE.replace('<width>40', '<width>30').replace('<height>30', '<height>40'))
    with pytest.raises(
        ValueError, match=r'000001.jpg \(40 x 30, not 30 x 40: turned, as by EXIF\)'
    ):
        check_dataset(voc, CLASSES, masks=False)
    start, end = WHOLE.index('<size>'), WHOLE.index('</size>') + 7
    path.write_text(WHOLE[:start] + WHOLE[end:])
    assert check_dataset(voc, CLASSES, masks=False) == 'VOC2007'
