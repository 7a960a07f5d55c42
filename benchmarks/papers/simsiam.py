# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""SimSiam's ablations, and the sweeps of the CIFAR-10 study (study 003)."""

from benchmarks.papers.catalogue import TABLES
from benchmarks.papers.edits import (
    Edit,
    batch_size,
    part_of_training_set,
    predictor_lr,
    put,
    warm_up,
)
from benchmarks.papers.nasiam import cifar10, columns, linear_of, notes
from benchmarks.papers.relations import relations
from benchmarks.papers.spec import Recipe, Row, Table

_LABEL_FRACTIONS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)
_PREDICTOR_FACTORS = (0.1, 0.3, 3.0, 10.0)
_WEIGHT_DECAYS = (0.0, 1e-5, 1e-4, 1e-3, 5e-3)
# SimSiam, figure 4 and table 1 onwards: linear top-1 on ImageNet, ResNet-50, 100 epochs.
_BATCH_SIZES = {
    64: '66.1', 128: '67.3', 256: '68.1', 512: '68.1', 1024: '68.0', 2048: '67.9', 4096: '64.0',
}  # fmt: skip
_DEMO_BATCH_SIZES = (32, 64, 128, 256, 512)


@TABLES.register_module(name='simsiam-ablations')
def simsiam_ablations(scale: str) -> Table:
    """Every part of SimSiam left out or exchanged, and added to others (SimSiam, 4 to 6.2)."""
    config = cifar10('simsiam', 'baseline', scale)
    # Widths of projector and predictor, and iterations per epoch, of the shipped recipes.
    wide, narrow, per_epoch = (2048, 512, 97) if scale == 'paper' else (512, 128, 78)
    features = 512 if scale == 'paper' else 128

    def mlp(predictor: bool, hidden_bn: bool, output_bn: bool) -> dict:
        return dict(
            type='AblationMLP',
            in_channels=wide if predictor else features,
            hid_channels=narrow if predictor else wide,
            out_channels=wide,
            hidden_bn=hidden_bn,
            output_bn=output_bn,
            output_affine=predictor,
            with_avg_pool=not predictor,
        )

    def norms(projector: tuple[bool, bool], predictor: tuple[bool, bool]) -> tuple[Edit, ...]:
        return _ours(
            put('model.neck', mlp(False, *projector)),
            put('model.head.predictor', mlp(True, *predictor)),
        )

    cross_entropy = dict(type='SoftmaxSimilarityLoss')
    head = put('model.head.type', 'AblationHead')
    no_predictor = put('model.head.predictor', None)
    changes: dict[str, tuple[tuple[Edit, ...], str]] = {
        'no stop-gradient': (_ours(head, put('model.head.stop_gradient', False)), '0.1'),
        'no predictor': (_ours(head, no_predictor), '0.1'),
        'predictor fixed at random': (_ours(head, put('model.head.train_predictor', False)), '1.5'),
        'predictor lr decays too': ((predictor_lr(1.0),), '67.7'),
        'BN: none': (norms((False, False), (False, False)), '34.6'),
        'BN: hidden layers': (norms((True, False), (True, False)), '67.4'),
        'BN: default': (norms((True, True), (True, False)), '68.1'),
        'BN: all layers': (norms((True, True), (True, True)), 'unstable'),
        'cross-entropy': (_ours(put('model.head.loss', cross_entropy)), '63.2'),
        'asymmetric': (_ours(_model('AsymmetricSimSiam')), '64.8'),
        'asymmetric, 2x': (
            _ours(_model('AsymmetricSimSiam'), put('model.data_preprocessor.num_views', 4)),
            '67.3',
        ),
        '10 steps per target': (_alternating(10), '68.7'),
        '100 steps per target': (_alternating(100), '68.9'),
        '1 epoch per target': (_alternating(per_epoch), '67.0'),
        'moving average, no predictor': (
            _ours(
                head,
                no_predictor,
                _model('MovingAverageSimSiam'),
                put('model.num_samples', 50000),
                put('model.channels', wide),
            ),
            '55.0',
        ),
    }
    # The shipped size is the first row.
    sizes = set(_BATCH_SIZES) - {512} if scale == 'paper' else set(_DEMO_BATCH_SIZES) - {128}
    for size in sorted(sizes):
        # Ten epochs of warm-up from 1024 images on (section 4.3).
        edits = (batch_size(size), *([warm_up(10)] if size >= 1024 else []))
        changes[f'batch {size}'] = (edits, _BATCH_SIZES.get(size, ''))
    baseline = 'SimSiam'
    rows = [Row(baseline, Recipe(config), paper='68.1')]
    for name, (edits, paper) in changes.items():
        rows.append(Row(name, Recipe(config, edits), (baseline,), paper))
    rows += relations(scale)
    return Table(
        'SimSiam, its parts left out or exchanged',
        tuple(rows),
        columns(scale, curves=True),
        'SimSiam paper, ImageNet R50 linear top-1',
        linear=linear_of(scale),
        notes=notes(
            scale,
            "The paper's figures are from ImageNet and ResNet-50 at 100 epochs; ours, from "
            'CIFAR-10, can repeat their order, not their size.',
        ),
    )


@TABLES.register_module(name='study003')
def study003(scale: str) -> Table:
    """Study 003: SimSiam on CIFAR-10, all images and 80 % of them, and three sweeps."""
    config = cifar10('simsiam', 'baseline', scale)
    everything = 'all images'
    rows = [
        Row(everything, Recipe(config), paper='kNN 89.42 ± 0.19'),
        Row(
            '80/20 split',
            Recipe(config, (part_of_training_set(0.8),)),
            (everything,),
            'kNN 88.02 ± 0.35, linear 88.34 ± 0.21',
        ),
        Row('predictor lr x 1', Recipe(config, (predictor_lr(1.0),)), (everything,)),
    ]
    rows += [
        Row(f'predictor lr x {factor:g}', Recipe(config, (predictor_lr(factor),)), (everything,))
        for factor in _PREDICTOR_FACTORS
    ]
    rows += [
        Row(
            f'weight decay {decay:g}',
            Recipe(config, (put('optim_wrapper.optimizer.weight_decay', decay),)),
            (everything,),
        )
        for decay in _WEIGHT_DECAYS
    ]
    return Table(
        'SimSiam on CIFAR-10: split, labels, predictor lr, weight decay',
        tuple(rows),
        columns(scale, curves=True),
        'study, test',
        linear=linear_of(scale),
        fractions=_LABEL_FRACTIONS,
        notes=notes(
            scale,
            "The first row's predictor learns at a constant rate and the weight decay is 5e-4; in "
            'the rows "predictor lr" its rate decays with the rest, times the factor.',
        ),
    )


def _ours(*edits: Edit) -> tuple[Edit, ...]:
    """Let the training import the models of this folder, which the edits name."""
    return (*edits, put('custom_imports', dict(imports=['benchmarks.papers.ablation_models'])))


def _model(kind: str) -> Edit:
    return put('model.type', kind)


def _alternating(steps: int) -> tuple[Edit, ...]:
    return _ours(_model('AlternatingSimSiam'), put('model.steps', steps))
