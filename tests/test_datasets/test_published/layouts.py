# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Small sets in the forms that their authors publish them in; images are one grey each."""

import json
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.io import savemat


def image(path: Path, value: int, side: int = 8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    grey = np.full((side, side + 2, 3), value, np.uint8)
    Image.fromarray(grey).save(path, **({'quality': 95} if path.suffix == '.jpg' else {}))


def text(path: Path, *lines: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(''.join(f'{line}\n' for line in lines))


def imagenet(root: Path) -> None:
    for part in ('train', 'val'):
        for n, wnid in enumerate(('n01440764', 'n01443537', 'n01484850')):
            for k in range(4):
                image(root / part / wnid / f'{part}_{k}.JPEG', 40 * n + k)


def inat(root: Path) -> None:
    names = ('00000_Animalia_Annelida_C_O_F_G_s', '00001_Animalia_Arthropoda_C_O_F_G_s')
    for part in ('2021_train_mini', '2021_train', '2021_valid'):
        for n, name in enumerate(names):
            for k in range(4 if part == '2021_train_mini' else 6):
                image(root / part / name / f'{k:x}ab.jpg', 90 * n + k)


def caltech(root: Path) -> None:
    for n, name in enumerate(('BACKGROUND_Google', 'accordion', 'zebra')):
        for k in range(6):
            path = root / 'caltech101/101_ObjectCategories' / name
            image(path / f'image_{k + 1:04}.jpg', 90 * n + k)


def dtd(root: Path) -> None:
    for n, name in enumerate(('banded', 'zigzagged')):
        for k in range(12):
            image(root / 'dtd/dtd/images' / name / f'{name}_{k:04}.jpg', 90 * n + k)
    for part, numbers in (('train', range(4)), ('val', range(4, 8)), ('test', range(8, 12))):
        lines = [f'{name}/{name}_{k:04}.jpg' for name in ('banded', 'zigzagged') for k in numbers]
        text(root / f'dtd/dtd/labels/{part}1.txt', *lines)


def eurosat(root: Path) -> None:
    for n, name in enumerate(('AnnualCrop', 'Forest', 'SeaLake')):
        for k in range(10):
            image(root / 'eurosat/2750' / name / f'{name}_{k + 1}.jpg', 60 * n + k)


def flowers(root: Path) -> None:
    for k in range(12):
        image(root / f'flowers-102/jpg/image_{k + 1:05}.jpg', 20 * k)
    savemat(root / 'flowers-102/imagelabels.mat', {'labels': np.arange(12) % 3 + 1})
    # The training part does not come first.
    ids = {'trnid': np.arange(7, 13), 'valid': np.arange(1, 4), 'tstid': np.arange(4, 7)}
    savemat(root / 'flowers-102/setid.mat', ids)


def food(root: Path) -> None:
    for part, numbers in (('train', range(5)), ('test', range(5, 8))):
        lists = {name: [f'{name}/{k}' for k in numbers] for name in ('waffles', 'apple_pie')}
        path = root / 'food-101/meta' / f'{part}.json'
        text(path, json.dumps(lists))
        for n, name in enumerate(('apple_pie', 'waffles')):
            for k in numbers:
                image(root / 'food-101/images' / name / f'{k}.jpg', 90 * n + k)


def pets(root: Path) -> None:
    base = root / 'oxford-iiit-pet'
    for part, numbers in (('trainval', range(4)), ('test', range(4, 6))):
        lines = []
        for n, name in enumerate(('Abyssinian', 'american_bulldog')):
            for k in numbers:
                image(base / f'images/{name}_{k}.jpg', 90 * n + k)
                lines.append(f'{name}_{k} {n + 1} {n + 1} 1')
        text(base / f'annotations/{part}.txt', *lines)
    (base / 'annotations/trimaps').mkdir()


def signs(root: Path) -> None:
    base = root / 'gtsrb'
    for n in range(2):
        for k in range(4):
            image(base / f'GTSRB/Training/{n:05}/{k}.ppm', 90 * n + k)
        image(base / f'GTSRB/Final_Test/Images/{n:05}.ppm', 90 * n)
    text(base / 'GT-final_test.csv', 'Filename;ClassId', '00000.ppm;0', '00001.ppm;1')


def svhn(root: Path) -> None:
    root.mkdir(parents=True, exist_ok=True)
    for part, count in (('train', 20), ('test', 10)):
        values = np.arange(count) % 10
        images = np.broadcast_to(20 * values, (32, 32, 3, count)).astype(np.uint8)
        labels = np.where(values == 0, 10, values)[:, None]  # as it writes the digit 0
        savemat(root / f'{part}_32x32.mat', {'X': images, 'y': labels})


def aircraft(root: Path) -> None:
    base = root / 'fgvc-aircraft-2013b/data'
    text(base / 'variants.txt', '707-320', 'A300B4', 'Yak-42')
    for part, first in (('train', 0), ('val', 6), ('test', 12)):
        lines = []
        for k in range(6):
            name = ('707-320', 'A300B4', 'Yak-42')[k % 3]
            image(base / f'images/{first + k:07}.jpg', 80 * (k % 3) + k)
            lines.append(f'{first + k:07} {name}')
        text(base / f'images_variant_{part}.txt', *lines)


def medical(root: Path, name: str = 'bloodmnist', grey: bool = False) -> None:
    root.mkdir(parents=True, exist_ok=True)
    arrays = {}
    for part, count in (('train', 16), ('val', 8), ('test', 8)):
        labels = np.arange(count, dtype=np.uint8)[:, None] % 4
        shape = (count, 28, 28) if grey else (count, 28, 28, 3)
        images = np.broadcast_to((60 * labels).reshape(-1, *[1] * (len(shape) - 1)), shape)
        arrays |= {f'{part}_images': images.astype(np.uint8), f'{part}_labels': labels}
    np.savez(root / f'{name}.npz', **arrays)


def cars(root: Path) -> None:
    base = root / 'stanford_cars'
    (base / 'devkit').mkdir(parents=True)
    fields = [('fname', object), ('class', object)]
    for part, place, count in (
        ('train', 'devkit/cars_train_annos.mat', 8),
        ('test', 'cars_test_annos_withlabels.mat', 4),
    ):
        rows = [(f'{k:05}.jpg', k % 2 + 1) for k in range(count)]
        for k, (name, _) in enumerate(rows):
            image(base / f'cars_{part}' / name, 90 * (k % 2) + k)
        savemat(base / place, {'annotations': np.array(rows, fields)})
    names = np.array(['AM General Hummer', 'Acura RL'], object)
    savemat(base / 'devkit/cars_meta.mat', {'class_names': names})


def stl10(root: Path) -> None:
    base = root / 'stl10_binary'
    base.mkdir(parents=True)
    for part, count in (('train', 10), ('test', 5)):
        values = np.arange(count) % 5
        np.broadcast_to(50 * values[:, None], (count, 3 * 96 * 96)).astype(np.uint8).tofile(
            base / f'{part}_X.bin'
        )
        (values + 1).astype(np.uint8).tofile(base / f'{part}_y.bin')
    text(base / 'class_names.txt', 'airplane', 'bird', 'car', 'cat', 'deer')
