# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The header tells the size that OpenCV decodes, and each kind of file that it does not."""

import os

import cv2
import numpy as np
import pytest
from PIL import Image

from nasiam_mm.datasets.decode_crops import DecodeCrops, LoadImage
from nasiam_mm.datasets.folder import read_image
from nasiam_mm.datasets.headers import name_some, read_header, read_headers


@pytest.fixture
def photo(tmp_path):
    """A JPEG of 40 x 30."""
    pixels = np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / 'photo.jpg')
    return tmp_path / 'photo.jpg'


@pytest.mark.parametrize('suffix', ['jpg', 'png', 'webp', 'bmp'])
@pytest.mark.parametrize('orientation', range(1, 9))
def test_the_size_is_that_which_opencv_gives(photo, suffix, orientation):
    exif = Image.Exif()
    exif[0x112] = orientation
    path = photo.with_name(f'other.{suffix}')
    given = {} if suffix == 'bmp' else {'exif': exif}
    Image.open(photo).save(path, **given)
    assert read_header(path) == cv2.imread(str(path)).shape[1::-1]


def test_a_film_behind_a_photo_is_no_fault(photo):
    photo.write_bytes(photo.read_bytes() + bytes(10_000))
    assert read_header(photo) == (40, 30)


FAULTS = {
    'text': (lambda path: path.write_text('text'), 'no image that OpenCV reads'),
    'empty': (lambda path: path.write_bytes(b''), 'no image that OpenCV reads'),
    'cut': (lambda path: path.write_bytes(path.read_bytes()[:-200]), 'cut short'),
    'zeros': (
        lambda path: path.write_bytes(path.read_bytes()[:-600] + bytes(6000)),
        'cut short',
    ),
    'pipe': (lambda path: (path.unlink(), os.mkfifo(path)), 'no regular file'),
    'folder': (lambda path: (path.unlink(), path.mkdir()), 'no regular file'),
    'device': (lambda path: (path.unlink(), path.symlink_to('/dev/zero')), 'no regular file'),
    'bomb': (lambda path: Image.new('1', (13500, 13500)).save(path, 'png'), '178 million pixels'),
    'gone': (lambda path: path.unlink(), 'No such file'),
}


@pytest.mark.parametrize('fault', FAULTS)
def test_each_fault_is_told_with_the_path(photo, fault):
    make, told = FAULTS[fault]
    make(photo)
    for read in (read_header, read_image):
        with pytest.raises((ValueError, FileNotFoundError), match=told) as caught:
            read(photo)
        assert str(photo) in str(caught.value) and '\n' not in str(caught.value)
    faults, step = read_headers([photo, photo])
    assert list(faults) == [0, 1] and told in faults[0] and step == 1


@pytest.mark.parametrize('fault', ['text', 'empty', 'cut', 'bomb'])
def test_pipelines_name_the_file_too(photo, fault):
    FAULTS[fault][0](photo)
    for step in (DecodeCrops(), LoadImage()):
        with pytest.raises(ValueError) as caught:
            step({'img_path': str(photo), 'view_seed': 0})
        assert str(photo) in str(caught.value) and '\n' not in str(caught.value)


def test_a_photo_beyond_the_limit_is_refused_whatever_its_kind(photo):
    with Image.open(photo) as image:
        data = bytearray(photo.read_bytes())
        start = data.index(b'\xff\xc0') + 5
        data[start : start + 4] = (60000).to_bytes(2) * 2
        assert image.size == (40, 30)
    photo.write_bytes(data)
    with pytest.raises(ValueError, match='178 million pixels'):
        DecodeCrops()({'img_path': str(photo), 'view_seed': 0})


def test_sizes_are_compared_and_a_cap_skips_evenly(photo):
    exif = Image.Exif()
    exif[0x112] = 6
    turned = photo.with_name('turned.jpg')
    Image.open(photo).save(turned, exif=exif)
    faults, _ = read_headers([photo, turned, photo], [(40, 30), (40, 30), (41, 30)])
    assert faults == {1: '30 x 40, not 40 x 30: turned, as by EXIF', 2: '40 x 30, not 41 x 30'}
    faults, step = read_headers(['/none'] * 10, most=4)
    assert list(faults) == [0, 3, 6, 9] and step == 3
    assert read_headers([]) == ({}, 1)


def test_long_names_are_cut_in_the_middle():
    told = name_some(['/x' * 400 + f'/{n}.jpg' for n in range(5)])
    assert len(told) < 500 and told.endswith('/2.jpg and 2 more')
