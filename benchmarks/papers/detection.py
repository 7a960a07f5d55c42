# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Transfer to detection: a detector on each pretrained backbone, and on random weights."""

from benchmarks.papers.catalogue import TABLES
from benchmarks.papers.nasiam import DEMO_NOTE, cifar10
from benchmarks.papers.spec import Head, Recipe, Row, Table
from benchmarks.papers.titles import FRAMEWORKS

# mmselfsup's model zoo, ImageNet pretraining: SimSiam 100 epochs, the others 200.
_REFERENCE = {
    'simclr': '38.7 / 34.9',
    'simsiam': '38.6 / 34.6',
    'mocov2': '40.2 / 36.1',
    'byol': '40.9 / 36.8',
    'swav': '40.2 / 36.3',
}
_RANDOM_DRAW = 1


AP_COLUMNS = {
    'box_ap': 'box AP',
    'box_ap50': 'box AP50',
    'box_ap75': 'box AP75',
    'mask_ap': 'mask AP',
    'mask_ap50': 'mask AP50',
    'mask_ap75': 'mask AP75',
}
NOT_COCO = (
    '**The set is made from CIFAR-10 and is not COCO**: its photographs of 32 x 32 pixels, '
    'enlarged and pasted on textures, 400 images to train on and 100 to evaluate on. No figure '
    'here compares with a published one.'
)
DEMO_DETECTOR = 'detection/mask-rcnn_r18-fpn_cifar10det_demo'


@TABLES.register_module(name='detection')
def detection(scale: str) -> Table:
    """Mask R-CNN on backbones pretrained with each kind of head, against random weights."""
    is_demo = scale == 'demo'
    if is_demo:
        detector = Recipe(DEMO_DETECTOR)
    else:
        detector = Recipe('detection/mask-rcnn_r50-fpn_ms-1x_coco')
    scratch = 'random initialisation'
    rows = [Row(scratch, detector)]
    for stem in ('simclr', 'simsiam') if is_demo else FRAMEWORKS:
        name = FRAMEWORKS[stem]
        if is_demo:
            configs = [cifar10(stem, kind, scale) for kind in ('search', 'baseline', 'pretrain')]
        else:
            configs = [
                f'nasiam/{stem}_r50_{kind}'
                for kind in ('search_cifar100', 'baseline_imagenet', 'pretrain_imagenet')
            ]
        search, baseline, pretrain = Recipe(configs[0]), Recipe(configs[1]), configs[2]
        standard, chance = f'{name} standard', f'{name} random genotype'
        random = Recipe(pretrain, head=Head('random', search, draw=_RANDOM_DRAW))
        searched = Recipe(pretrain, head=Head('searched', search))
        rows += [
            Row(standard, baseline, (scratch,), '' if is_demo else _REFERENCE.get(stem, '')),
            Row(chance, random, (scratch, standard)),
            Row(f'{name} searched', searched, (scratch, standard, chance)),
        ]
    return Table(
        'Transfer to detection: Mask R-CNN on the CIFAR-10 detection set (NOT COCO)'
        if is_demo
        else 'Transfer to detection: Mask R-CNN R50-FPN on COCO, 12 epochs',
        tuple(rows),
        AP_COLUMNS,
        '' if is_demo else 'reference, box / mask AP (mmselfsup)',
        features=False,
        detection=detector,
        notes=_notes(is_demo),
    )


def _notes(is_demo: bool) -> tuple[str, ...]:
    heads = (
        'A searched head comes from a search with the seed of its run; the random genotype is the '
        'first of table `heads`, one draw and the same for all seeds. The seed is that of '
        'pretraining and of the detector.'
    )
    if is_demo:
        return (NOT_COCO, DEMO_NOTE, heads)
    return (
        'The reference pretrains SimSiam for 100 epochs and the others for 200, with the standard '
        'heads, and detects on 8 GPUs x 2 images with SyncBN; here one process holds 16 images, '
        'so its BatchNorm sees as many.',
        heads,
    )
