# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What the views of ImageNet cost: mmpretrain's pipeline against crops and a device.

On photo-like JPEGs of ImageNet's typical size: what a loader worker does (read, decode, views,
collate) with the stock data config and with the shipped one, the bare decoding as the floor of
both, and the data preprocessors of both.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from tempfile import TemporaryDirectory

import cv2
import numpy as np
from mmengine import fileio
from mmengine.config import Config
from mmengine.dataset import Compose, default_collate
from mmengine.registry import init_default_scope
from PIL import Image

from benchmarks.speed.clock import rounds, seconds
from benchmarks.speed.figures import Measurement, Ratio, Side
from benchmarks.speed.setup import Setup
from nasiam_mm.datasets import ReplayDataset, resolve_data
from nasiam_mm.datasets.known import KNOWN
from nasiam_mm.registry import MODELS

IMAGES, HEIGHT, WIDTH, QUALITY = 16, 375, 500, 90
CONFIGS = {'stock': 'imagenet_pretrain_stock', 'crops': 'imagenet_pretrain'}
FLOOR = 'decoding alone'


def photo(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Make an image whose detail falls with its frequency, with grain, uint8 (H, W, 3)."""
    image = np.full((height, width, 3), 128, dtype=np.float32)
    for cells, strength in ((4, 60), (16, 40), (64, 25), (200, 14)):
        shape = (max(2, cells * height // 500), max(2, cells * width // 500), 3)
        noise = rng.normal(size=shape).astype(np.float32)
        image += strength * cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    image += 8 * rng.normal(size=(height, width, 1))
    return image.clip(0, 255).astype(np.uint8)


class Samples(list):
    """Samples as ``Images`` of files gives them, whose own pipeline is empty."""

    pipeline = Compose([])


def write_photos(folder: Path, count: int) -> Samples:
    """Write the JPEGs; return their samples."""
    rng = np.random.default_rng(0)
    samples = Samples()
    for number in range(count):
        path = folder / f'{number}.jpg'
        Image.fromarray(photo(rng, HEIGHT, WIDTH)).save(path, quality=QUALITY)
        samples.append(dict(img_path=str(path), gt_label=0, sample_idx=number))
    return samples


def decode(samples: list[dict]) -> None:
    """Read and decode, and no more."""
    for sample in samples:
        cv2.imdecode(np.frombuffer(fileio.get(sample['img_path']), np.uint8), cv2.IMREAD_COLOR)


def measure_decoding(setup: Setup) -> Iterator[Measurement]:
    """Time workers and preprocessors in turn; the workers' part runs on the CPU always."""
    init_default_scope('nasiam_mm')
    cv2.setNumThreads(1)
    bases = Path(setup.root, 'configs/_base_/data')
    workers = Measurement(f'ImageNet, a worker, {WIDTH}x{HEIGHT}', 'ms/image')
    device = Measurement(f'ImageNet, the preprocessor, {WIDTH}x{HEIGHT}', 'ms/image')
    workers.ratios += [
        Ratio('stock / crops', 'stock', 'crops'),
        # 2.0 ms where decoding alone takes 1.0.
        Ratio('crops / floor', 'crops', FLOOR, at_most=2.0),
    ]
    device.ratios += [Ratio('stock / crops', 'stock', 'crops')]
    with TemporaryDirectory() as folder:
        KNOWN['ImageNet'].write(folder)
        samples = write_photos(Path(folder), min(IMAGES, setup.view_images // 16))
        loads: dict[str, Callable[[int], object]] = {FLOOR: lambda number: decode(samples)}
        preprocessors = {}
        for name, base in CONFIGS.items():
            cfg = Config.fromfile(bases / f'{base}.py')
            cfg.data.root = folder
            resolve_data(cfg)
            with_view_seed = cfg.train_dataloader.dataset.get('with_view_seed', False)
            loads[name] = partial(_load, ReplayDataset(samples, with_view_seed, cfg._two_views))
            preprocessors[name] = MODELS.build(cfg._data_preprocessor).to(setup.device)
        # Batches of other rounds have other seeds: another share of blurred and grey views.
        numbers = (1 + number for number in rounds(setup.repeats, workers.is_near))
        for number in chain([0], numbers):
            order = -1 if number % 2 else 1
            for name, load in list(loads.items())[::order]:
                spent = seconds(partial(load, number), 'cpu')
                _note(workers, name, spent, len(samples), number)
            for name, preprocess in list(preprocessors.items())[::order]:
                batch = loads[name](number)
                spent = seconds(partial(preprocess, batch, training=True), setup.device)
                _note(device, name, spent, len(samples), number)
    yield workers
    yield device


def _load(dataset: ReplayDataset, number: int) -> dict:
    first = number * len(dataset)
    return default_collate([dataset[(i, first + i)] for i in range(len(dataset))])


def _note(found: Measurement, name: str, spent: float, images: int, number: int) -> None:
    # Round 0 warms up.
    side = found.sides.setdefault(name, Side())
    side.samples += [1000 * spent / images] if number else []
