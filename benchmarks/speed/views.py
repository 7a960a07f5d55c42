# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The two views of a batch: made on the batch at once, and image by image on PIL."""

from collections.abc import Callable

import torch
from mmcv.transforms import Compose
from mmengine.config import Config
from mmengine.runner import Runner
from PIL import Image
from torch import Tensor
from torchvision import transforms

from benchmarks.configs import without_workers
from benchmarks.speed.clock import Build, seconds, turns
from benchmarks.speed.figures import Measurement, Ratio, Side
from benchmarks.speed.setup import Setup
from nasiam_mm.datasets.replay import endless_batches
from nasiam_mm.refusals import one_line
from nasiam_mm.registry import MODELS, TRANSFORMS

OURS, LOADED = 'ours', 'ours, its loader too'
PIL, MMPRETRAIN, LIGHTLY = 'torchvision on PIL', 'mmpretrain MultiView', 'lightly'
CONFIG = 'simsiam_r18_baseline_cifar10'
RATIOS = (
    Ratio('ours / torchvision on PIL', OURS, PIL, at_least=5.0),
    Ratio('ours, its loader too / torchvision on PIL', LOADED, PIL),
    Ratio('ours / mmpretrain MultiView', OURS, MMPRETRAIN),
    Ratio('ours / lightly', OURS, LIGHTLY),
)


def random_images(setup: Setup) -> Tensor:
    """Images of random bytes, uint8 (N, 3, 32, 32)."""
    draw = torch.Generator().manual_seed(0)
    shape = (setup.view_images, 3, 32, 32)
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=draw)


def our_views(setup: Setup, images: Tensor) -> Callable[[], object]:
    """Build our preprocessor from the config of the recipes."""
    preprocessor = MODELS.build(setup.config(CONFIG).model.data_preprocessor)
    preprocessor.to(setup.device)
    data = {'inputs': images, 'view_seed': torch.arange(len(images))}
    return lambda: preprocessor(data, True)


def our_loaded_views(setup: Setup) -> Callable[[], object]:
    """Build our loader as well: dataset, sampler, packing, collating, in this process."""
    cfg = setup.config(CONFIG)
    without_workers(cfg._cfg_dict)
    cfg.train_dataloader.batch_size = setup.view_images
    preprocessor = MODELS.build(cfg.model.data_preprocessor).to(setup.device)
    batches = endless_batches(Runner.build_dataloader(cfg.train_dataloader, seed=0), 0)
    return lambda: preprocessor(next(batches), True)


def pil_views(setup: Setup, images: Tensor) -> Callable[[], object]:
    """Build the pipeline of the papers' code: torchvision's transforms on PIL images."""
    preprocessor = setup.config(CONFIG).model.data_preprocessor
    recipe, jitter = preprocessor.views, preprocessor.views.jitter
    strengths = (jitter[key] for key in ('brightness', 'contrast', 'saturation', 'hue'))
    augment = transforms.Compose(
        [
            transforms.RandomResizedCrop(recipe.size, scale=recipe.scale),
            transforms.RandomApply([transforms.ColorJitter(*strengths)], p=jitter.prob),
            transforms.RandomGrayscale(p=recipe.gray_prob),
            transforms.RandomHorizontalFlip(p=recipe.flip_prob),
            transforms.ToTensor(),
            transforms.Normalize(
                [value / 255 for value in preprocessor.mean],
                [value / 255 for value in preprocessor.std],
            ),
        ]
    )
    arrays = images.permute(0, 2, 3, 1).contiguous().numpy()

    def run() -> list[Tensor]:
        pairs = [[augment(image), augment(image)] for image in map(Image.fromarray, arrays)]
        return [torch.stack(view) for view in zip(*pairs, strict=True)]

    return run


def mmpretrain_views(setup: Setup, images: Tensor) -> Callable[[], object]:
    """Build mmpretrain's stock pipeline: ``MultiView``, packing, its preprocessor."""
    cfg = setup.config(CONFIG)
    preprocessor = cfg.model.data_preprocessor
    recipe = preprocessor.views
    jitter = {key: value for key, value in recipe.jitter.items() if key != 'prob'}
    view = [
        dict(
            type='mmpretrain.RandomResizedCrop',
            scale=recipe.size,
            crop_ratio_range=recipe.scale,
            backend='pillow',
        ),
        dict(
            type='RandomApply',
            transforms=[dict(type='mmpretrain.ColorJitter', **jitter)],
            prob=recipe.jitter.prob,
        ),
        dict(
            type='mmcv.RandomGrayscale',
            prob=recipe.gray_prob,
            keep_channels=True,
            channel_weights=(0.114, 0.587, 0.2989),
        ),
        dict(type='mmcv.RandomFlip', prob=recipe.flip_prob),
    ]
    pipeline = Compose(
        [
            TRANSFORMS.build(dict(type='mmpretrain.MultiView', num_views=2, transforms=[view])),
            TRANSFORMS.build(dict(type='mmpretrain.PackInputs')),
        ]
    )
    normalise = MODELS.build(
        dict(type='SelfSupDataPreprocessor', mean=preprocessor.mean, std=preprocessor.std)
    )
    arrays = images.permute(0, 2, 3, 1).contiguous().numpy()

    def run() -> object:
        samples = [pipeline({'img': array}) for array in arrays]
        inputs = [torch.stack(view) for view in zip(*(s['inputs'] for s in samples), strict=True)]
        return normalise({'inputs': inputs, 'data_samples': [s['data_samples'] for s in samples]})

    return run


def lightly_views(setup: Setup, images: Tensor) -> Callable[[], object]:
    """Build lightly's ``SimCLRTransform`` with the same setup, without blur."""
    from lightly.transforms import SimCLRTransform

    preprocessor = setup.config(CONFIG).model.data_preprocessor
    recipe: Config = preprocessor.views
    augment = SimCLRTransform(
        input_size=recipe.size,
        min_scale=recipe.scale[0],
        cj_prob=recipe.jitter.prob,
        cj_bright=recipe.jitter.brightness,
        cj_contrast=recipe.jitter.contrast,
        cj_sat=recipe.jitter.saturation,
        cj_hue=recipe.jitter.hue,
        cj_strength=1.0,
        random_gray_scale=recipe.gray_prob,
        gaussian_blur=0.0,
        hf_prob=recipe.flip_prob,
    )
    arrays = images.permute(0, 2, 3, 1).contiguous().numpy()

    def run() -> list[Tensor]:
        pairs = [augment(Image.fromarray(array)) for array in arrays]
        return [torch.stack(view) for view in zip(*pairs, strict=True)]

    return run


def measure_views(setup: Setup) -> list[Measurement]:
    """Count the views per second of each pipeline, in turn; the peers' run on the CPU always."""
    found = Measurement('Two views', 'views/s per core', ratios=list(RATIOS))
    images = random_images(setup)
    builders: dict[str, Build] = {
        OURS: lambda: our_views(setup, images),
        LOADED: lambda: our_loaded_views(setup),
        PIL: lambda: pil_views(setup, images),
        MMPRETRAIN: lambda: mmpretrain_views(setup, images),
    }
    if setup.lightly:
        builders[LIGHTLY] = lambda: lightly_views(setup, images)
    else:
        found.not_run[LIGHTLY] = 'not asked for; give --peers lightly'
    runs = {}
    for name, build in builders.items():
        try:
            runs[name] = build()
            runs[name]()
            found.sides[name] = Side()
        except Exception as error:  # a peer may fail in any way; the others go on
            runs.pop(name, None)
            found.not_run[name] = f'{type(error).__name__}: {one_line(error)}'
    for name, run in turns(runs, setup.repeats, found.is_near):
        device = setup.device if name in (OURS, LOADED) else 'cpu'
        found.sides[name].samples.append(2 * len(images) / seconds(run, device))
    return [found]
