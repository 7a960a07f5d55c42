# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims: crops of a file are those of the whole image, decoded no larger than they need."""

import io

import cv2
import numpy as np
import pytest
import torch
from mmcv.transforms import LoadImageFromFile
from mmengine.dataset import default_collate
from PIL import Image

from nasiam_mm.datasets import decode_crops
from nasiam_mm.datasets.decode_crops import DecodeCrops, jpeg_shape, reduction, resize_box
from nasiam_mm.models.batched_views import resized_crop
from nasiam_mm.registry import DATASETS, MODELS, TRANSFORMS
from nasiam_mm.views.view_params import CropBox, sample_crop_boxes
from tests.reduced import image_folder

STEP = 1 / 255
SMALL = dict(size=64, scale=(0.2, 1.0))


def photo(height, width, seed=0):
    """Smooth shapes, edges and a little grain, uint8 RGB."""
    rng = np.random.default_rng(seed)
    image = np.zeros((height, width, 3), dtype=np.float32)
    for cells, strength in ((4, 60), (12, 30), (40, 12)):
        noise = rng.normal(size=(cells, cells, 3)).astype(np.float32)
        image += strength * cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    image[height // 3 : height // 2] += 40
    image += rng.normal(size=(height, width, 1)) * 3
    return (128 + image).clip(0, 255).astype(np.uint8)


def write(path, image, **options):
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(path, quality=92, **options)
    return str(path)


def turned(orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif


def decoded(path):
    """The image as mmcv's loader gives it, turned to RGB: (1, 3, H, W) uint8."""
    image = LoadImageFromFile()(dict(img_path=path))['img'][..., ::-1]
    return torch.from_numpy(image.copy()).permute(2, 0, 1)[None]


def expected_crops(path, seed, recipes):
    """Float crops of the whole decoded image by the function of the full-image path."""
    image = decoded(path)
    boxes = sample_crop_boxes(seed, recipes, *image.shape[2:])
    crops = [
        resized_crop(image, CropBox(*torch.tensor(box)[:, None]), recipe.size)[0]
        for box, recipe in zip(boxes, recipes, strict=True)
    ]
    return torch.stack(crops)


def largest_error(transform, path, seeds):
    errors = [
        transform(dict(img_path=path, view_seed=seed))['img'] / 255
        - expected_crops(path, seed, transform.recipes)
        for seed in seeds
    ]
    return torch.stack(errors).abs()


FILES = {
    'plain.jpg': dict(),
    'progressive.jpg': dict(progressive=True),
    'full chroma.jpg': dict(subsampling=0),
    'turned.jpg': dict(exif=turned(6)),
    'mirrored.jpg': dict(exif=turned(2)),
    'upright.jpg': dict(exif=turned(1)),
    'lossless.png': dict(),
}


@pytest.mark.parametrize('name', FILES)
def test_crops_at_full_size_are_within_a_step(name, tmp_path):
    path = write(tmp_path / name, photo(121, 150), **FILES[name])
    transform = DecodeCrops(views=SMALL)
    assert largest_error(transform, path, range(12)).max() <= STEP * 1.01


@pytest.mark.parametrize('mode', ['L', 'CMYK', 'P', 'RGBA'])
def test_other_kinds_of_pixels(mode, tmp_path):
    suffix = 'jpg' if mode in ('L', 'CMYK') else 'png'
    path = write(tmp_path / f'image.{suffix}', Image.fromarray(photo(90, 110)).convert(mode))
    transform = DecodeCrops(views=SMALL, num_views=3)
    result = transform(dict(img_path=path, view_seed=5))
    assert result['img'].shape == (3, 3, 64, 64) and result['img'].dtype == torch.uint8
    assert (result['ori_shape'], result['img_shape']) == ((90, 110), (64, 64))
    assert largest_error(transform, path, range(6)).max() <= STEP * 1.01


@pytest.mark.parametrize('height, width', [(520, 701), (513, 519), (1100, 1203)])
def test_crops_of_a_scaled_decoding(height, width, tmp_path, monkeypatch):
    path = write(tmp_path / 'large.jpg', photo(height, width))
    factors = set()

    def watched(boxes, sizes):
        factors.add(reduction(boxes, sizes))
        return reduction(boxes, sizes)

    monkeypatch.setattr(decode_crops, 'reduction', watched)
    error = largest_error(DecodeCrops(views=SMALL), path, range(8))
    assert factors - {1}
    # The reduced DCT is another low-pass than averaging: small, and no shift of the grid.
    assert error.mean() < 0.6 * STEP and error.max() < 10 * STEP


@pytest.mark.parametrize('factor', [2, 4, 8])
def test_a_box_between_pixels_is_not_shifted(factor):
    """On a ramp of one step a pixel a shift shows in the mean, wherever rounding falls."""
    rows, columns = np.mgrid[0:240, 0:240] + 0.5
    ramp = np.stack([rows, columns, (rows + columns) / 2], axis=2)
    blocks = ramp.reshape(240 // factor, factor, 240 // factor, factor, 3).mean(axis=(1, 3))
    top, left, height, width = 13, 29, 171, 187
    box = (top, left, height, width)
    crop = torch.empty((3, 64, 64), dtype=torch.uint8)
    resize_box(blocks.astype(np.uint8), box, factor, crop)
    small = crop.permute(1, 2, 0).numpy()
    centre = (np.arange(64) + 0.5) / 64
    down, across = np.meshgrid(top + height * centre, left + width * centre, indexing='ij')
    expected = np.stack([down, across, (down + across) / 2], axis=2)
    inner = slice(8, -8)  # the triangle is cut off at the border
    error = (small - expected)[inner, inner]
    assert np.abs(error).max() < 1.2 and np.abs(error.mean(axis=(0, 1))).max() < 0.15


@pytest.mark.parametrize(
    'sides, factor',
    [((100, 90), 1), ((127, 500), 1), ((128, 128), 2), ((255, 900), 2), ((256, 256), 4),
     ((512, 513), 8), ((4000, 4000), 8), ((20, 900), 1)],
)  # fmt: skip
def test_reduction_leaves_every_box_its_size(sides, factor):
    # A small view of a small box allows what a large one of a large box does.
    assert reduction([(0, 0, *sides), (0, 0, 96, 96)], [64, 12]) == factor
    assert reduction([(0, 0, *sides), (0, 0, 23, 96)], [64, 12]) == 1
    assert reduction([(0, 0, *sides), (5, 3, 4000, 4000)], [64, 64]) == factor


MIXED = [SMALL, SMALL, *[dict(size=24, scale=(0.05, 0.14))] * 3]


def test_crops_of_several_sizes_are_a_list_and_each_its_own(tmp_path):
    path = write(tmp_path / 'image.jpg', photo(121, 150))
    transform = DecodeCrops(views=MIXED, num_views=5)
    for seed in range(6):
        result = transform(dict(img_path=path, view_seed=seed))
        assert [crop.shape[1:] for crop in result['img']] == [(64, 64)] * 2 + [(24, 24)] * 3
        assert result['img_shape'] == (64, 64)
        boxes = sample_crop_boxes(seed, transform.recipes, 121, 150)
        for crop, box, recipe in zip(result['img'], boxes, transform.recipes, strict=True):
            box = CropBox(*torch.tensor(box)[:, None])
            expected = resized_crop(decoded(path), box, recipe.size)[0]
            assert (crop / 255 - expected).abs().max() <= STEP * 1.01
    # The first two are those of two views.
    two = DecodeCrops(views=SMALL)(dict(img_path=path, view_seed=5))['img']
    assert torch.equal(two, torch.stack(result['img'][:2]))


def test_the_decoder_is_asked_for_the_small_image(tmp_path, monkeypatch):
    flags = []
    decode = cv2.imdecode
    monkeypatch.setattr(
        decode_crops.cv2, 'imdecode', lambda data, flag: flags.append(flag) or decode(data, flag)
    )
    whole = dict(size=64, scale=(1.0, 1.0), ratio=(1.0, 1.0))
    for side in (64, 129, 300, 600):
        path = write(tmp_path / f'{side}.jpg', photo(side, side))
        DecodeCrops(views=whole)(dict(img_path=path, view_seed=0))
    reduced = [getattr(cv2, f'IMREAD_REDUCED_COLOR_{n}') for n in (2, 4, 8)]
    in_rgb = [
        flag - cv2.IMREAD_COLOR + cv2.IMREAD_COLOR_RGB for flag in (cv2.IMREAD_COLOR, *reduced)
    ]
    assert flags == in_rgb


def test_size_in_the_header():
    def header(name, **options):
        buffer = io.BytesIO()
        Image.fromarray(photo(31, 47)).save(buffer, name, **options)
        return jpeg_shape(buffer.getvalue())

    assert header('JPEG') == header('JPEG', exif=turned(1)) == (31, 47)
    assert header('JPEG', exif=turned(8)) is None and header('PNG') is None
    assert header('JPEG', exif=b'Exif\x00\x00no TIFF') is None
    assert jpeg_shape(b'') is None


def test_a_plain_header_is_read_without_pillow(monkeypatch):
    plain = [dict(), dict(progressive=True), dict(subsampling=0), dict(comment=b'by hand')]
    unusual = [dict(exif=turned(8)), dict(exif=turned(1)), dict(icc_profile=b'colours')]

    def encoded(**options):
        buffer = io.BytesIO()
        Image.fromarray(photo(31, 47)).save(buffer, 'JPEG', **options)
        return buffer.getvalue()

    whole = [encoded(**options) for options in plain]
    told = [jpeg_shape(data) for data in [*whole, *(encoded(**options) for options in unusual)]]
    assert told == [(31, 47)] * 4 + [None, (31, 47), (31, 47)]
    # What is cut off, or too large, is left to Pillow, which refuses a bomb.
    cut = [data[:length] for data in whole for length in (2, 9, 100, len(data) // 4)]
    at = whole[0].index(b'\xff\xc0') + 5
    bomb = whole[0][:at] + b'\xff\xff\xff\xff' + whole[0][at + 4 :]
    assert jpeg_shape(bomb) is None
    opened = []
    monkeypatch.setattr(decode_crops.Image, 'open', lambda *args, **kw: opened.append(1) or 1 / 0)
    assert [jpeg_shape(data) for data in whole] == [(31, 47)] * 4
    for data in (b'', *cut[:3], bomb):
        with pytest.raises(ZeroDivisionError):
            jpeg_shape(data)
    assert len(opened) == 5


def test_a_header_that_misleads_changes_nothing(tmp_path, monkeypatch):
    path = write(tmp_path / 'turned.jpg', photo(400, 500), exif=turned(6))
    transform = DecodeCrops(views=SMALL)
    expected = transform(dict(img_path=path, view_seed=3))
    monkeypatch.setattr(decode_crops, 'jpeg_shape', lambda data: (400, 500))
    result = transform(dict(img_path=path, view_seed=3))
    assert torch.equal(result['img'], expected['img'])
    assert result['ori_shape'] == expected['ori_shape'] == (500, 400)


def test_dataset_and_preprocessor_make_the_views_of_the_whole_image(tmp_path):
    """Flip only, then all operations: both paths from one seed, from the file to the views."""
    folder = image_folder(tmp_path)
    norm = dict(mean=[0.0] * 3, std=[255.0] * 3)
    for extra, limit in ((dict(jitter=None, gray_prob=0), 1.01), (dict(blur_prob=0.5), 8)):
        views = dict(size=24, scale=(0.2, 1.0), **extra)
        data = dict(type='ImageNet', data_root=folder, split='train', pipeline=[])
        steps = [dict(type='DecodeCrops', views=views), dict(type='PackInputs')]
        dataset = DATASETS.build(
            dict(type='ReplayDataset', dataset=data, pipeline=steps, with_view_seed=True)
        )
        preprocessor = MODELS.build(dict(type='TwoViewPreprocessor', views=views, **norm))
        samples = [dataset[(index, 1000 + index)] for index in range(16)]
        seeds = torch.tensor([sample['view_seed'] for sample in samples])
        assert seeds.tolist() == list(range(1000, 1016))
        crops = torch.stack([sample['inputs'] for sample in samples])
        paths = [sample['data_samples'].img_path for sample in samples]
        whole = torch.cat([decoded(path) for path in paths])
        ours = preprocessor(dict(inputs=crops, view_seed=seeds), training=True)['inputs']
        theirs = preprocessor(dict(inputs=whole, view_seed=seeds), training=True)['inputs']
        error = torch.stack([a - b for a, b in zip(ours, theirs, strict=True)]).abs()
        # Contrast, saturation and hue may enlarge the step of a crop's rounding.
        assert error.max() <= limit * STEP and error.mean() < 0.5 * STEP


def test_views_of_several_sizes_from_the_file_on(tmp_path):
    views = [dict(size=24, jitter=None, gray_prob=0)] * 2
    views += [dict(views[0], size=10, scale=(0.05, 0.14))] * 3
    several = dict(views=views, num_views=5)
    norm = dict(mean=[0.0] * 3, std=[255.0] * 3)
    data = dict(type='ImageNet', data_root=image_folder(tmp_path), split='train', pipeline=[])
    steps = [dict(type='DecodeCrops', **several), dict(type='PackInputs')]
    dataset = DATASETS.build(
        dict(type='ReplayDataset', dataset=data, pipeline=steps, with_view_seed=True)
    )
    preprocessor = MODELS.build(dict(type='TwoViewPreprocessor', **several, **norm))
    samples = [dataset[(index, 1000 + index)] for index in range(8)]
    packed = default_collate(samples)
    assert [crop.shape for crop in packed['inputs']] == [(8, 3, 24, 24)] * 2 + [(8, 3, 10, 10)] * 3
    ours = preprocessor(packed, training=True)['inputs']
    whole = torch.cat([decoded(sample['data_samples'].img_path) for sample in samples])
    seeds = packed['view_seed']
    theirs = preprocessor(dict(inputs=whole, view_seed=seeds), training=True)['inputs']
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == b.shape and (a - b).abs().max() <= 1.01 * STEP
    # A view is of its image alone.
    part = dict(inputs=[crop[3:5] for crop in packed['inputs']], view_seed=seeds[3:5])
    for a, b in zip(preprocessor(part, training=True)['inputs'], ours, strict=True):
        assert torch.equal(a, b[3:5])
    for spoilt in (packed['inputs'][:4], packed['inputs'][::-1]):
        with pytest.raises(ValueError, match='uint8 crops of 5 views, sizes .24, 24, 10, 10, 10.'):
            preprocessor(dict(inputs=spoilt, view_seed=seeds), training=True)


def test_broken_files_and_settings_are_refused_in_one_line(tmp_path):
    transform = TRANSFORMS.build(dict(type='DecodeCrops', views=SMALL))
    path = write(tmp_path / 'image.jpg', photo(70, 70))
    with pytest.raises(ValueError, match='into the pipeline of ReplayDataset'):
        transform(dict(img_path=path))
    for content in (b'', b'no image'):
        (tmp_path / 'broken.jpg').write_bytes(content)
        with pytest.raises(
            ValueError, match=r'broken.jpg is no image.*; replace the file'
        ) as error:
            transform(dict(img_path=str(tmp_path / 'broken.jpg'), view_seed=0))
        assert '\n' not in str(error.value)
    with pytest.raises(ValueError, match='num_views=2, but views lists 1'):
        DecodeCrops(views=[SMALL])
