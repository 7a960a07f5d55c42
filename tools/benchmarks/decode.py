# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What the views of ImageNet cost: mmpretrain's pipeline against crops and a device.

Makes photo-like JPEGs of ImageNet's typical size and times in turn, per image,
what a loader worker does (read, decode, views, collate) with the stock dataset
config and with the shipped one, the bare decoding as the floor of both, and the
data preprocessors of both. Process time on the CPU, events for the preprocessors
on a GPU. The last line is JSON.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np

DATASETS = Path(__file__).resolve().parents[2] / 'configs/_base_/datasets'
CORES = 16


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument('--images', type=int, default=16, help='images of a batch')
    parser.add_argument('--height', type=int, default=375)
    parser.add_argument('--width', type=int, default=500)
    parser.add_argument('--quality', type=int, default=90)
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--repeats', type=int, default=7)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--device', default='cpu', choices=['cpu', 'cuda'])
    return parser.parse_args()


def photo(rng: np.random.Generator, height: int, width: int) -> np.ndarray:
    """Make an image whose detail falls with its frequency, with grain, uint8 (H, W, 3)."""
    import cv2

    image = np.full((height, width, 3), 128, dtype=np.float32)
    for cells, strength in ((4, 60), (16, 40), (64, 25), (200, 14)):
        shape = (max(2, cells * height // 500), max(2, cells * width // 500), 3)
        noise = rng.normal(size=shape).astype(np.float32)
        image += strength * cv2.resize(noise, (width, height), interpolation=cv2.INTER_CUBIC)
    image += 8 * rng.normal(size=(height, width, 1))
    return image.clip(0, 255).astype(np.uint8)


def write_photos(folder: Path, args: argparse.Namespace) -> list[dict]:
    """Write the JPEGs; return samples as a data set without pipeline gives them."""
    from PIL import Image

    rng = np.random.default_rng(args.seed)
    samples = []
    for number in range(args.images):
        path = folder / f'{number}.jpg'
        Image.fromarray(photo(rng, args.height, args.width)).save(path, quality=args.quality)
        samples.append(dict(img_path=str(path), gt_label=0, sample_idx=number))
    return samples


def timed_parts(samples: list[dict], device: str) -> dict[str, Callable[[int], object]]:
    """Return what is timed, each a function of the round's number, on the whole batch."""
    import cv2
    from mmengine import fileio
    from mmengine.config import Config
    from mmengine.dataset import default_collate

    from nasiam_mm.datasets import ReplayDataset
    from nasiam_mm.registry import MODELS

    def decode(number: int) -> None:
        for sample in samples:
            data = np.frombuffer(fileio.get(sample['img_path']), np.uint8)
            cv2.imdecode(data, cv2.IMREAD_COLOR)

    parts: dict[str, Callable[[int], object]] = {'decoding alone': decode}
    for name, base in (('stock', 'imagenet_pretrain_stock'), ('crops', 'imagenet_pretrain')):
        cfg = Config.fromfile(DATASETS / f'{base}.py')
        with_view_seed = cfg.train_dataloader.dataset.get('with_view_seed', False)
        dataset = ReplayDataset(samples, with_view_seed, cfg.two_views)
        preprocessor = MODELS.build(cfg.data_preprocessor).to(device)

        def load(number: int, dataset=dataset) -> dict:
            first = number * len(samples)
            batch = [dataset[(i, first + i)] for i in range(len(samples))]
            return default_collate(batch)

        # Batches of other rounds have other seeds: another share of blurred and grey views.
        def preprocess(number: int, load=load, preprocessor=preprocessor) -> Callable[[], object]:
            batch = load(number)
            return lambda: preprocessor(batch, training=True)

        parts[f'{name}, worker'] = load
        parts[f'{name}, preprocessor'] = preprocess
    return parts


def milliseconds(run: Callable[[], object], device: str) -> float:
    """Time one call: by events on a GPU, else in process time."""
    import torch

    if device == 'cuda':
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        begin.record()
        run()
        end.record()
        torch.cuda.synchronize()
        return begin.elapsed_time(end)
    begin = time.process_time()
    run()
    return 1e3 * (time.process_time() - begin)


def main() -> None:
    """Write the images, time, print."""
    args = parse_args()

    import cv2
    import PIL
    import torch
    import torchvision
    from mmengine.registry import init_default_scope

    init_default_scope('nasiam_mm')
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        samples = write_photos(Path(folder), args)
        kilobytes = [Path(sample['img_path']).stat().st_size / 1e3 for sample in samples]
        parts = timed_parts(samples, args.device)
        # In turn, so that a drift of the machine's speed meets all alike; round 0 warms up.
        for number in range(args.repeats + 1):
            times = {}
            for name, part in parts.items():
                is_preprocessor = name.endswith('preprocessor')
                run = part(number) if is_preprocessor else partial(part, number)
                device = args.device if is_preprocessor else 'cpu'
                times[name] = milliseconds(run, device) / args.images
            rounds.append(times)
    rounds = rounds[1:]

    median = {name: statistics.median(times[name] for times in rounds) for name in parts}
    spread = {name: sorted(times[name] for times in rounds) for name in parts}
    ratios = sorted(times['stock, worker'] / times['crops, worker'] for times in rounds)
    print(f'{"part":<24}{"ms/image":>10}{"range":>18}{"images/s/core":>16}{f"{CORES} cores":>10}')
    for name in parts:
        extent = f'{spread[name][0]:.2f} to {spread[name][-1]:.2f}'
        rate = 1e3 / median[name]
        is_cores = not (name.endswith('preprocessor') and args.device == 'cuda')
        cores = f'{rate:>16.0f}{CORES * rate:>10.0f}' if is_cores else f'{"-":>16}{"-":>10}'
        print(f'{name:<24}{median[name]:>10.2f}{extent:>18}{cores}')
    print(
        json.dumps(
            {
                'milliseconds_per_image': {k: round(v, 3) for k, v in median.items()},
                'range': {k: [round(v[0], 3), round(v[-1], 3)] for k, v in spread.items()},
                'stock_over_crops': round(statistics.median(ratios), 3),
                'stock_over_crops_range': [round(ratios[0], 3), round(ratios[-1], 3)],
                'images_per_second_on_16_cores': {
                    name: round(CORES * 1e3 / median[f'{name}, worker'])
                    for name in ('stock', 'crops')
                },
                'image': [args.height, args.width],
                'kilobytes': round(statistics.mean(kilobytes), 1),
                'images': args.images,
                'repeats': args.repeats,
                'seed': args.seed,
                'threads': args.threads,
                'device': args.device,
                'torch': torch.__version__,
                'torchvision': torchvision.__version__,
                'opencv': cv2.__version__,
                'pillow': PIL.__version__,
            }
        )
    )


if __name__ == '__main__':
    main()
