# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The talk's two comparisons (SimSiam, tables 4 and 5): ImageNet by epochs, and VOC detection."""

import copy

from mmengine.config import Config

from benchmarks.papers.catalogue import TABLES
from benchmarks.papers.detection import AP_COLUMNS, DEMO_DETECTOR, NOT_COCO
from benchmarks.papers.edits import Edit, batch_size, epochs, put
from benchmarks.papers.nasiam import IMAGENET_LINEAR, cifar10, columns, notes
from benchmarks.papers.spec import Recipe, Row, Table
from benchmarks.papers.titles import FRAMEWORKS

_BEST = 'simsiam'  # which the others are compared with
# Linear top-1 after so many epochs.
_IMAGENET = {
    'simclr': {100: '66.5', 200: '68.3', 400: '69.8', 800: '70.4'},
    'mocov2': {100: '67.4', 200: '69.9', 400: '71.0', 800: '72.2'},
    'byol': {100: '66.5', 200: '70.6', 400: '73.2', 800: '74.3'},
    'swav': {100: '66.5', 200: '69.1', 400: '70.7', 800: '71.8'},
    _BEST: {100: '68.1', 200: '70.0', 400: '70.8', 800: '71.3'},
}
_DEMO_EPOCHS = (5, 10, 20, 40)
# AP50 / AP / AP75 after 200 epochs, trained on the trainval images of VOC07.
_VOC = {
    'simclr': '75.9 / 46.8 / 50.1',
    'mocov2': '77.1 / 48.5 / 52.5',
    'byol': '77.1 / 47.0 / 49.9',
    'swav': '75.5 / 46.5 / 49.6',
    _BEST: '75.5 / 47.0 / 50.2',
}
# BYOL's rate for 256 images, decay and momentum by epochs (SimSiam, section 6.1).
_BYOL = {200: (0.3, 1e-6, 0.99), 400: (0.3, 1e-6, 0.99), 800: (0.2, 1.5e-6, 0.996)}
_REPRODUCTIONS = (
    'As reproduced by SimSiam, appendix C: two views of 224 pixels for all, three layers in the '
    'projector of SimCLR and SwAV, a symmetric loss of MoCo v2; BYOL by the rates of section 6.1. '
    "SwAV's batch, rate, warm-up and crops are its authors' for two views (4096 images, no queue). "
    'In one process, whose BatchNorm sees the whole batch.'
)


def two_views() -> Edit:
    """Train SwAV on two large views, without the small ones of its multi-crop."""

    def edit(cfg: Config) -> None:
        preprocessor = cfg.model.data_preprocessor
        views = [copy.deepcopy(preprocessor['views'][0]) for _ in range(2)]
        made = [preprocessor, *cfg.train_dataloader.dataset.get('pipeline', ())]
        for step in made:
            if 'views' in step:
                step['views'] = copy.deepcopy(views)
                step['num_views'] = 2

    return edit


def _large_crops(cfg: Config) -> None:
    """Let views be parts of 8 % on, in every place that cuts them."""
    for step in (cfg.model.data_preprocessor, *cfg.train_dataloader.dataset.pipeline):
        for view in step.get('views', ()):
            view['scale'] = (0.08, 1.0)


def _swav_of_two_views() -> tuple[Edit, ...]:
    """SwAV's authors' settings for two views and 4096 images, with three layers (appendix C)."""
    neck = dict(
        type='NonLinearNeck',
        in_channels=2048,
        hid_channels=2048,
        out_channels=128,
        num_layers=3,
        with_last_bn=False,
        with_last_bias=True,
        norm_cfg=dict(type='BN1d'),
    )
    warm_up = dict(type='LinearLR', start_factor=1 / 16, by_epoch=True, convert_to_iter_based=True)
    cosine = dict(type='CosineAnnealingLR', by_epoch=True, begin=10, eta_min_ratio=1e-3)
    return (
        two_views(),
        _large_crops,
        batch_size(4096),
        put('model.neck', neck),
        put('model.head.loss.queue_len', 0),
        put('default_hooks.prototypes.queue_epoch', 0),
        put('optim_wrapper.optimizer.lr', 4.8),
        put('param_scheduler', [dict(warm_up, end=10), cosine]),
    )


def reproduction(stem: str, number: int, scale: str) -> Recipe:
    """Return the recipe of a framework's own head for a number of epochs."""
    if scale == 'demo':
        edits = (two_views(),) if stem == 'swav' else ()
        return Recipe(cifar10(stem, 'baseline', scale), (*edits, epochs(number)))
    edits: tuple[Edit, ...] = ()
    if stem == 'swav':
        edits = _swav_of_two_views()
    elif stem == 'simclr':
        edits = (put('model.neck.num_layers', 3),)
    elif stem == 'byol' and number in _BYOL:
        rate, decay, momentum = _BYOL[number]
        edits = (
            put('optim_wrapper.optimizer.lr', rate * 4096 / 256),
            put('optim_wrapper.optimizer.weight_decay', decay),
            put('model.base_momentum', round(1 - momentum, 6)),
        )
    return Recipe(f'nasiam/{stem}_r50_baseline_imagenet', (*edits, epochs(number)))


@TABLES.register_module(name='talk-imagenet')
def talk_imagenet(scale: str) -> Table:
    """SimCLR, MoCo, BYOL, SwAV and SimSiam after 100 to 800 epochs (the talk; SimSiam, table 4)."""
    is_demo = scale == 'demo'
    rows = []
    for stem, figures in _IMAGENET.items():
        for number in _DEMO_EPOCHS if is_demo else figures:
            against = () if stem == _BEST else (f'{FRAMEWORKS[_BEST]}, {number} epochs',)
            name = f'{FRAMEWORKS[stem]}, {number} epochs'
            paper = '' if is_demo else figures[number]
            rows.append(Row(name, reproduction(stem, number, scale), against, paper))
    linear = {'linear_top1': 'linear top-1', 'linear_top5': 'linear top-5', 'loss': 'last loss'}
    by_epochs = 'SwAV has two views here, as the others. Epochs are those that the row names.'
    return Table(
        'Five frameworks by epochs, CIFAR-10' if is_demo else 'Five frameworks by epochs, ImageNet',
        tuple(rows),
        columns(scale, curves=True) if is_demo else linear,
        '' if is_demo else 'paper, linear top-1 (SimSiam, table 4)',
        linear='' if is_demo else IMAGENET_LINEAR,
        features=is_demo,
        notes=notes(scale, by_epochs) if is_demo else (_REPRODUCTIONS,),
    )


@TABLES.register_module(name='talk-voc')
def talk_voc(scale: str) -> Table:
    """Detection on their backbones of 200 epochs (the talk; SimSiam, table 5, VOC 07)."""
    is_demo = scale == 'demo'
    detector = Recipe(DEMO_DETECTOR if is_demo else 'detection/faster-rcnn_r50-c4_ms-9k_voc07')
    scratch = 'random initialisation'
    rows = [Row(scratch, detector, paper='' if is_demo else '35.9 / 16.8 / 13.0')]
    for stem, figures in _VOC.items():
        recipe = reproduction(stem, 5 if is_demo else 200, scale)
        rows.append(Row(FRAMEWORKS[stem], recipe, (scratch,), '' if is_demo else figures))
    if not is_demo:
        best = reproduction(_BEST, 200, scale)
        optimal = (
            put('optim_wrapper.optimizer.lr', 0.5),
            put('optim_wrapper.optimizer.weight_decay', 1e-5),
        )
        recipe = Recipe(best.config, (*best.edits, *optimal))
        against = (scratch, FRAMEWORKS[_BEST])
        name = f'{FRAMEWORKS[_BEST]}, optimal'
        rows.append(Row(name, recipe, against, '77.3 / 48.5 / 52.5'))
    boxes = {name: AP_COLUMNS[name] for name in ('box_ap50', 'box_ap', 'box_ap75')}
    told = (
        'The talk heads the two last columns the other way round; these are those of the paper. '
        'Its row of supervised weights (74.4 / 42.4 / 42.7) is not made here: no recipe trains '
        'them. There the rate of each fine-tuning was searched, here it is 0.02 for all.'
    )
    return Table(
        'Detection on the CIFAR-10 detection set (NOT VOC), five frameworks'
        if is_demo
        else 'Faster R-CNN R50-C4 on VOC 07, five frameworks',
        tuple(rows),
        boxes,
        '' if is_demo else 'paper, AP50 / AP / AP75 (SimSiam, table 5)',
        features=False,
        detection=detector,
        notes=notes(scale, NOT_COCO) if is_demo else (_REPRODUCTIONS, told),
    )
