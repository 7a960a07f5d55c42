# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What SimSiam's predictor and stop-gradient do in SimCLR and SwAV (SimSiam, section 6.2)."""

from mmengine.config import Config

from benchmarks.papers.edits import Edit, put
from benchmarks.papers.nasiam import cifar10
from benchmarks.papers.spec import Recipe, Row
from benchmarks.papers.titles import FRAMEWORKS

_MODELS = ('benchmarks.papers.ablation_models', 'benchmarks.papers.relation_models')


def relations(scale: str) -> list[Row]:
    """Return the rows of both frameworks, each compared with its own first one."""
    ours = put('custom_imports', dict(imports=list(_MODELS)))
    simclr, swav = (Recipe(cifar10(stem, 'baseline', scale)) for stem in ('simclr', 'swav'))
    # So that the three differ in nothing else.
    no_queue = (
        put('model.head.loss.queue_len', 0),
        put('default_hooks.prototypes.queue_epoch', 0),
    )
    contrasts, clusters = FRAMEWORKS['simclr'], FRAMEWORKS['swav']

    def related(recipe: Recipe, *edits: Edit) -> Recipe:
        return Recipe(recipe.config, (*edits, ours))

    of_simclr = put('model.type', 'RelatedSimCLR'), predictor('model')
    of_swav = *no_queue, put('model.head.loss.type', 'RelatedSwAVLoss')
    return [
        Row(contrasts, simclr, paper='66.5'),
        Row(f'{contrasts}, predictor', related(simclr, *of_simclr), (contrasts,), '66.4'),
        Row(
            f'{contrasts}, predictor and stop-gradient',
            related(simclr, *of_simclr, put('model.stop_gradient', True)),
            (contrasts,),
            '66.0',
        ),
        Row(f'{clusters}, no queue', Recipe(swav.config, no_queue), paper='66.5'),
        Row(
            f'{clusters}, predictor',
            related(swav, *of_swav, predictor('model.head.loss')),
            (f'{clusters}, no queue',),
            '65.2',
        ),
        Row(
            f'{clusters}, no stop-gradient',
            related(swav, *of_swav, put('model.head.loss.stop_gradient', False)),
            (f'{clusters}, no queue',),
            'NaN',
        ),
    ]


def predictor(place: str) -> Edit:
    """Put SimSiam's bottleneck, of a quarter of the width, into a part of the model."""

    def edit(cfg: Config) -> None:
        width = cfg.model.neck.out_channels
        head = dict(type='AblationMLP', in_channels=width, out_channels=width, output_bn=False)
        put(f'{place}.predictor', dict(head, hid_channels=width // 4, with_avg_pool=False))(cfg)

    return edit
