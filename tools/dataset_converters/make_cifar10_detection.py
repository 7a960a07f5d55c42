# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Make a small detection set in COCO format by pasting CIFAR-10 images on textured grounds.

    python tools/dataset_converters/make_cifar10_detection.py

It stands in where COCO cannot be had. It is NOT COCO: objects are 32 x 32 photographs, cut along
a random closed curve, enlarged and pasted, so no number measured on it compares with COCO's.

    out/annotations/{train,val}.json   boxes, exact masks (RLE), the pasted CIFAR-10 row
    out/{train,val}/000000.png ...     RGB

Objects of ``train`` come from CIFAR-10's training images, those of ``val`` from its test images.
A box is the tight box of its visible mask. The same arguments give the same bytes.
"""

import argparse
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pycocotools.mask
from PIL import Image

from nasiam_mm.cli.main import as_main, run_process
from nasiam_mm.datasets.known import KNOWN
from nasiam_mm.datasets.source import array_path, load_array, sha256_array

CLASSES = KNOWN['CIFAR10'].classes
SOURCES = {'train': 'train', 'val': 'test'}  # detection split -> CIFAR-10 split
DESCRIPTION = 'CIFAR-10 detection set (made by pasting; NOT COCO)'
MIN_VISIBLE = 0.6  # part of an object's mask that must stay visible
PLACING_TRIALS = 20


@dataclass(frozen=True)
class DetectionSet:
    """What determines the set.

    Attributes:
        train: Number of training images.
        val: Number of validation images.
        size: Side of an image in pixels.
        objects: Least and greatest number of objects in an image.
        scale: Least and greatest side of a pasted photograph in pixels.
        seed: Seed of everything random.
    """

    train: int = 400
    val: int = 100
    size: int = 128
    objects: tuple[int, int] = (1, 4)
    scale: tuple[int, int] = (24, 64)
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.train, self.val) < 1:
            raise ValueError('--train and --val must be at least 1 image')
        if not 1 <= self.objects[0] <= self.objects[1]:
            raise ValueError(f'--objects {self.objects}: give 1 <= least <= greatest')
        if not 8 <= self.scale[0] <= self.scale[1] <= self.size:
            raise ValueError(f'--scale {self.scale}: give 8 <= least <= greatest <= --size')


@dataclass
class PastedObject:
    """One object of a scene: its class, its row in CIFAR-10, its visible mask (H, W)."""

    label: int
    row: int
    mask: np.ndarray
    full_area: int


def textured_ground(rng: np.random.Generator, size: int) -> np.ndarray:
    """Draw a texture (size, size, 3) uint8: three octaves of muted noise and one grating."""
    ground = rng.uniform(60, 190) + np.zeros((size, size, 3)) + rng.uniform(-25, 25, 3)
    for cells, strength in ((4, 60), (16, 45), (64, 30)):
        noise = rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8)
        smooth = Image.fromarray(noise).resize((size, size), Image.Resampling.BICUBIC)
        colour = np.asarray(smooth, dtype=np.float64) / 127.5 - 1
        ground += strength * (0.7 * colour.mean(axis=2, keepdims=True) + 0.3 * colour)
    angle, period = rng.uniform(0, np.pi), rng.uniform(5, 40)
    y, x = np.mgrid[:size, :size]
    wave = np.sin(2 * np.pi * (x * np.cos(angle) + y * np.sin(angle)) / period)
    ground += wave[..., None] * rng.uniform(-20, 20)
    return ground.clip(0, 255).astype(np.uint8)


def cutting_mask(rng: np.random.Generator, side: int) -> np.ndarray:
    """Draw a closed curve, an ellipse with wavy radius; return its inside (side, side) bool."""
    y, x = np.mgrid[:side, :side] * 2.0 / (side - 1) - 1
    turn = rng.uniform(0, np.pi)
    stretch = rng.uniform(0.6, 1.0)
    u = x * np.cos(turn) + y * np.sin(turn)
    v = (y * np.cos(turn) - x * np.sin(turn)) / stretch
    theta = np.arctan2(v, u)
    radius = 0.9 + sum(
        rng.uniform(0, 0.1) * np.cos(k * theta + rng.uniform(0, 2 * np.pi)) for k in (2, 3, 5)
    )
    return np.hypot(u, v) <= radius


def make_scene(
    rng: np.random.Generator,
    images: np.ndarray,
    labels: np.ndarray,
    rows: Iterator[int],
    settings: DetectionSet,
) -> tuple[np.ndarray, list[PastedObject]]:
    """Paste objects one over another on a ground.

    Args:
        rng: Source of randomness of this scene.
        images: (N, 32, 32, 3) uint8 photographs.
        labels: (N,) their classes.
        rows: The photographs to use, in turn.
        settings: Sizes and counts.

    Returns:
        The scene (size, size, 3) uint8 and its objects, masks disjoint and never empty.
    """
    scene = textured_ground(rng, settings.size)
    objects: list[PastedObject] = []
    for _ in range(rng.integers(settings.objects[0], settings.objects[1] + 1)):
        row = next(rows)
        side = int(rng.integers(settings.scale[0], settings.scale[1] + 1))
        photo = Image.fromarray(images[row]).resize((side, side), Image.Resampling.BICUBIC)
        cut = cutting_mask(rng, side)
        for _ in range(PLACING_TRIALS):
            top, left = rng.integers(0, settings.size - side + 1, 2)
            mask = np.zeros(scene.shape[:2], bool)
            mask[top : top + side, left : left + side] = cut
            if all((o.mask & ~mask).sum() >= MIN_VISIBLE * o.full_area for o in objects):
                break
        else:
            continue
        scene[mask] = np.asarray(photo)[cut]
        for other in objects:
            other.mask &= ~mask
        objects.append(PastedObject(int(labels[row]), int(row), mask, int(mask.sum())))
    return scene, objects


def annotation(item: PastedObject, index: int, image_id: int) -> dict:
    """Write one object as a COCO annotation with the tight box of its mask."""
    rle = pycocotools.mask.encode(np.asfortranarray(item.mask, dtype=np.uint8))
    return {
        'id': index,
        'image_id': image_id,
        'category_id': item.label + 1,
        'bbox': pycocotools.mask.toBbox(rle).astype(int).tolist(),
        'area': int(item.mask.sum()),
        'iscrowd': 0,
        'segmentation': {'size': rle['size'], 'counts': rle['counts'].decode('ascii')},
        'cifar10_row': item.row,
    }


def endless_rows(rng: np.random.Generator, count: int) -> Iterator[int]:
    """Walk all rows in random order, then all again in another."""
    while True:
        yield from rng.permutation(count)


def make_split(folder: Path, split: str, info: dict, cifar: Path, settings: DetectionSet) -> None:
    """Write the images and the annotations of one split under ``folder``."""
    images = load_array(array_path(cifar, f'{SOURCES[split]}_images'))
    labels = load_array(array_path(cifar, f'{SOURCES[split]}_labels'))
    count = getattr(settings, split)
    key = [settings.seed, list(SOURCES).index(split)]
    rows = endless_rows(np.random.default_rng([*key, 0]), len(images))
    coco = {
        'info': info,
        'images': [],
        'annotations': [],
        'categories': [{'id': i + 1, 'name': name} for i, name in enumerate(CLASSES)],
    }
    (folder / split).mkdir()
    for image_id in range(1, count + 1):
        rng = np.random.default_rng([*key, image_id])
        scene, objects = make_scene(rng, images, labels, rows, settings)
        name = f'{image_id - 1:06d}.png'
        Image.fromarray(scene).save(folder / split / name)
        coco['images'].append(
            {'id': image_id, 'file_name': name, 'width': settings.size, 'height': settings.size}
        )
        for item in objects:
            # Ids begin at 1: pycocotools reads 0 as "no match".
            index = len(coco['annotations']) + 1
            coco['annotations'].append(annotation(item, index, image_id))
    (folder / 'annotations').mkdir(exist_ok=True)
    text = json.dumps(coco, separators=(',', ':'))
    (folder / 'annotations' / f'{split}.json').write_text(text, encoding='utf-8')


def split_info(split: str, cifar: Path, settings: DetectionSet) -> dict:
    """Return the ``info`` of a split: what it is, what made it, from what."""
    source = array_path(cifar, f'{SOURCES[split]}_images')
    if not source.is_file():
        raise FileNotFoundError(
            f'{source} is missing; prepare CIFAR-10 first, or give its folder by --cifar'
        )
    return {
        'description': DESCRIPTION,
        'source': f'CIFAR-10 {SOURCES[split]} images, sha256 {sha256_array(load_array(source))}',
        'settings': json.loads(json.dumps(asdict(settings))),
    }


def is_made(out: Path, infos: dict[str, dict]) -> bool:
    """Whether ``out`` holds this very set.

    Raises:
        FileExistsError: If it holds something else, or not all of it.
    """
    if not out.exists():
        return False
    mend = 'remove the folder or give another --out'
    for split, info in infos.items():
        try:
            coco = json.loads((out / 'annotations' / f'{split}.json').read_text(encoding='utf-8'))
            same = coco['info'] == info
            names = [image['file_name'] for image in coco['images']]
        except (OSError, ValueError, KeyError, TypeError):
            same, names = False, []
        if not same:
            raise FileExistsError(f'{out} exists and is another set; {mend}')
        missing = [name for name in names if not (out / split / name).is_file()]
        if missing:
            raise FileExistsError(f'{out / split / missing[0]} is missing; {mend}')
    return True


def make_detection_set(cifar: Path, out: Path, settings: DetectionSet) -> bool:
    """Make the set, whole or not at all.

    Args:
        cifar: Folder of the CIFAR-10 arrays.
        out: Folder to make.
        settings: What determines the set.

    Returns:
        Whether it was made now; False where ``out`` holds it already.

    Raises:
        FileNotFoundError: If an array is missing.
        FileExistsError: If ``out`` exists and holds anything else.
    """
    infos = {split: split_info(split, cifar, settings) for split in SOURCES}
    if is_made(out, infos):
        return False
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f'.{out.name}.partial')
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    try:
        for split, info in infos.items():
            make_split(partial, split, info, cifar, settings)
        os.replace(partial, out)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return True


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command line."""
    default = DetectionSet()
    parser.add_argument('--cifar', type=Path, default=Path('data/cifar10'), metavar='DIR')
    parser.add_argument('--out', type=Path, default=Path('data/cifar10_detection'), metavar='DIR')
    for name, text in (('train', 'training images'), ('val', 'validation images')):
        parser.add_argument(f'--{name}', type=int, default=getattr(default, name), help=text)
    parser.add_argument('--size', type=int, default=default.size, help='image side in pixels')
    for name, text in (('objects', 'objects in an image'), ('scale', 'object side in pixels')):
        pair = dict(type=int, nargs=2, metavar=('LEAST', 'GREATEST'), help=text)
        parser.add_argument(f'--{name}', default=getattr(default, name), **pair)
    parser.add_argument('--seed', type=int, default=default.seed)


def run(args: argparse.Namespace) -> None:
    """Make the set."""
    objects, scale = tuple(args.objects), tuple(args.scale)
    wanted = DetectionSet(args.train, args.val, args.size, objects, scale, args.seed)
    made = make_detection_set(args.cifar, args.out, wanted)
    state = 'made' if made else 'already made'
    print(f'{args.out}: {wanted.train} + {wanted.val} images, {state}. {DESCRIPTION}')


main = as_main(__doc__, add_arguments, run)

if __name__ == '__main__':
    run_process(main)
