# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""All frameworks beside each other: the head of each paper, and one that was searched."""

from benchmarks.papers.catalogue import TABLES
from benchmarks.papers.nasiam import (
    CIFAR10_LINEAR,
    CIFAR100_LINEAR,
    IMAGENET_LINEAR,
    columns,
    linear_of,
    notes,
    only_at_paper_scale,
)
from benchmarks.papers.spec import Head, Recipe, Row, Table
from benchmarks.papers.titles import FRAMEWORKS

# Linear top-1 after 100 epochs on ImageNet, ResNet-50: the talk's comparison (SimSiam, table 4);
# MoCo v3 by its authors' page.
_REPORTED = {
    'simclr': '66.5', 'mocov2': '67.4', 'byol': '66.5', 'simsiam': '68.1', 'mocov3': '68.9',
}  # fmt: skip
_TRANSFORMERS = {'vit-tiny': 'ViT-Tiny', 'vit-small': 'ViT-Small'}
_HEADS = (
    'A searched head comes from a search with the seed of its run. Recipes are as shipped: '
    "docs/frameworks.md says where they are not the papers'."
)


def comparison(backbones: dict[str, str], data: str, search: str) -> tuple[Row, ...]:
    """Return two rows for each framework, and for a second backbone of it.

    Args:
        backbones: Name of the framework, or of framework and backbone -> stem of its recipes, such
            as ``'simclr_r18'``.
        data: What the recipes' names end in, such as ``'cifar10'``.
        search: The same of the recipe that searches, where that is another.
    """
    rows: list[Row] = []
    for name, stem in backbones.items():
        reported = _REPORTED.get(stem.removesuffix('_r50'), '') if data == 'imagenet' else ''
        rows.append(Row(name, Recipe(f'nasiam/{stem}_baseline_{data}'), paper=reported))
        searching = stem.replace('vit-small', 'vit-tiny')  # on small images
        head = Head('searched', Recipe(f'nasiam/{searching}_search_{search}'))
        recipe = Recipe(f'nasiam/{stem}_pretrain_{data}', head=head)
        rows.append(Row(f'NASiam ({name})', recipe, (name,)))
    return tuple(rows)


def _backbones(resnet: str, transformer: str | None = None) -> dict[str, str]:
    found = {title: f'{name}_{resnet}' for name, title in FRAMEWORKS.items()}
    if transformer is not None:
        found[f'{FRAMEWORKS["mocov3"]}, {_TRANSFORMERS[transformer]}'] = f'mocov3_{transformer}'
    return found


@TABLES.register_module(name='frameworks')
def frameworks(scale: str) -> Table:
    """Every framework with its own and with a searched head, on CIFAR-10."""
    is_demo = scale == 'demo'
    data = 'cifar10_demo' if is_demo else 'cifar10'
    # A transformer has no demo, as it learns slowly from few images.
    backbones = _backbones('r18', None if is_demo else 'vit-tiny')
    return Table(
        'CIFAR-10, ResNet-18, every framework',
        comparison(backbones, data, data),
        columns(scale, curves=True),
        linear=linear_of(scale, CIFAR10_LINEAR),
        notes=notes(scale, _HEADS),
    )


@TABLES.register_module(name='frameworks-cifar100')
def frameworks_cifar100(scale: str) -> Table:
    """The same on CIFAR-100."""
    only_at_paper_scale('frameworks-cifar100', scale, 'there is no small CIFAR-100')
    return Table(
        'CIFAR-100, ResNet-18, every framework',
        comparison(_backbones('r18', 'vit-tiny'), 'cifar100', 'cifar100'),
        columns(scale, curves=True),
        linear=CIFAR100_LINEAR,
        notes=(_HEADS,),
    )


@TABLES.register_module(name='frameworks-imagenet')
def frameworks_imagenet(scale: str) -> Table:
    """The same on ImageNet, with ResNet-50 and heads searched on CIFAR-100 (as NASiam, table 4)."""
    only_at_paper_scale('frameworks-imagenet', scale, 'there is no small ImageNet')
    return Table(
        'ImageNet, ResNet-50, every framework',
        comparison(_backbones('r50', 'vit-small'), 'imagenet', 'cifar100'),
        {'linear_top1': 'linear top-1', 'linear_top5': 'linear top-5', 'loss': 'last loss'},
        'reported, linear top-1, 100 epochs',
        linear=IMAGENET_LINEAR,
        features=False,
        notes=(
            _HEADS,
            "Reported: by SimSiam's authors (table 4), MoCo v3 by its own. 100 epochs but for the "
            'ViT-Small, which trains for 300. In one process: BatchNorm sees the whole batch.',
        ),
    )
