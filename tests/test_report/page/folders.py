# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Work directories as runs leave them, made up, with figures that a test can recompute."""

import base64
import io
import json
import math

import numpy as np
from PIL import Image

from nasiam_mm.architecture.genotype import Decision, Genotype, save_genotype

OPS = ('linear_bn_relu', 'max_pool_3_bn', 'avg_pool_3_bn', 'identity')
PER_EPOCH = 40
SETTINGS = {
    'seed': 7, 'model.type': 'SimCLR', 'train_dataloader.batch_size': 128,
    'train_cfg.max_epochs': 4, 'iterations per epoch': PER_EPOCH, 'data': 'ab12',
    'default_hooks.alpha_step.type': 'AlphaStepHook',
}  # fmt: skip


def softmax(scores):
    terms = [math.exp(s) for s in scores]
    return [t / sum(terms) for t in terms]


# Layer 1 leads by little and is named as within noise.
SCORES = [[1.0, 0.0, 0.0, 0.0], [0.0, 0.0, 0.1, 0.0]]


def scores_at(layer, epoch, epochs):
    return [s * epoch / epochs for s in SCORES[layer]]


def genotype(undecided=('projector.1.op',), **provenance):
    decisions = {
        f'projector.{n}.op': Decision(OPS, (OPS[s.index(max(s))],), tuple(s))
        for n, s in enumerate(SCORES)
    }
    told = {
        'decided_at': {'projector': [[512, 512, False]] * 2}, 'dataset': 'CIFAR10', 'seed': 7,
        'undecided': list(undecided), 'versions': {'torch': '2.12.1'}, **provenance,
    }  # fmt: skip
    return Genotype('SimCLR', decisions, told)


def entries(epochs, knn=30.0, per=4):
    """Scalars as LoggerHook, ProbeHook and SearchHealthHook write them, ``per`` logs an epoch."""
    rows = []
    for epoch in range(1, epochs + 1):
        for n in range(1, per + 1):
            step = (epoch - 1) * PER_EPOCH + n * PER_EPOCH // per
            rows.append({
                'lr': 0.1, 'time': 0.5, 'loss': 5 - 2 * step / (epochs * PER_EPOCH),
                'alpha_loss': 6 - 2 * step / (epochs * PER_EPOCH), 'collapse/std': 0.9,
                'collapse/effective_rank': 40.0 + epoch % 7, 'epoch': epoch, 'iter': step,
                'step': step,
            })  # fmt: skip
        rows.append({'knn/val_top1': knn + epoch, 'epoch': epoch, 'step': epoch * PER_EPOCH})
        rows.append({
            'health/entropy': 1.3, 'health/relative_entropy': 0.9, 'health/margin': 0.05,
            'health/top': 0.3, 'health/uniform': 0.25, 'health/churn': 0.0, 'health/pools': 0.5,
            'health/identities': 0.0, 'health/loss': 4.0, 'health/derived_loss': 4.5,
            'step': epoch,
        })  # fmt: skip
    return rows


def make_search(folder, epochs=4, knn=30.0, seed=7, per=4):
    """A finished search; returns its folder."""
    log = folder / '20260101_000000' / 'vis_data'
    log.mkdir(parents=True)
    (log / 'scalars.json').write_text('\n'.join(map(json.dumps, entries(epochs, knn, per))) + '\n')
    save_genotype(genotype(), folder / 'genotype.json')
    softmaxes = [[softmax(scores_at(n, t, epochs)) for n in (0, 1)] for t in range(epochs + 1)]
    cell = {'candidates': [list(OPS)] * 2, 'softmax': softmaxes}
    alpha = {'epochs': list(range(epochs + 1)), 'cells': {'projector': cell}}
    (folder / 'alpha.json').write_text(json.dumps(alpha))
    settings = {**SETTINGS, 'seed': seed, 'train_cfg.max_epochs': epochs}
    (folder / 'owner.json').write_text(json.dumps({'digest': '', 'decided by': settings}))
    contributions = {'epoch': epochs, 'loss': 4.0, 'contributions': {'projector.0.op': 0.25},
                     'not_removable': ['projector.1.op']}  # fmt: skip
    (folder / 'contributions.json').write_text(json.dumps(contributions))
    (folder / 'simclr_r18_search_cifar10_demo.py').write_text('model = dict()\n')
    return folder


def make_long(folder, epochs=1000):
    """A search as long and as large as any: ten layers of eight operations, noisy curves."""
    make_search(folder, epochs=epochs, per=10)
    rng = np.random.default_rng(0)
    cells = {}
    for cell, layers in (('projector', 6), ('predictor', 4)):
        walk = np.exp(rng.normal(0, 0.05, (epochs + 1, layers, 8)).cumsum(0))
        weights = (walk / walk.sum(-1, keepdims=True)).tolist()
        names = [[f'operation_{n}' for n in range(8)]] * layers
        cells[cell] = {'candidates': names, 'softmax': weights}
    alpha = {'epochs': list(range(epochs + 1)), 'cells': cells}
    (folder / 'alpha.json').write_text(json.dumps(alpha))
    (log,) = folder.glob('*/vis_data/scalars.json')
    rows = [json.loads(line) for line in log.read_text().splitlines()]
    kept = ('epoch', 'iter', 'step', 'time')
    rows = [{k: v if k in kept else v + rng.normal() for k, v in row.items()} for row in rows]
    log.write_text('\n'.join(map(json.dumps, rows)))
    add_neighbours(folder)
    return folder


def picture(color=(200, 30, 30)):
    with io.BytesIO() as file:
        Image.new('RGB', (32, 32), color).save(file, 'PNG')
        return base64.b64encode(file.getvalue()).decode()


def add_neighbours(folder):
    near = [{'label': label, 'cosine': 0.9, 'png': picture((0, 90, 0))} for label in ('cat', 'dog')]
    row = {'label': 'cat', 'png': picture(), 'neighbours': near}
    kept = {'epoch': 4, 'bank': 5000, 'images': [row, row]}
    (folder / 'neighbours.json').write_text(json.dumps(kept))


def mean(score, seeds):
    return {'mean': score, 'seeds': seeds}


def study(**more):
    compared = {
        'name': 'ab', 'n': 3, 'collapsed': 0, 'mean': 1.5, 'interval': [0.5, 2.5], 'p': 0.01,
    }  # fmt: skip
    scored = [
        {'head': 'ab', 'source': source, 'score': score, 'seconds': 60.0}
        for source, score in (('random', 30.0), ('tpe', 34.5), ('random', 31.0))
    ]
    return {
        'answer': 'use', 'sentence': "use 'ab': +1.50 points", 'heads': {'ab': 'depth=2'},
        'budget': {'recipe': 'r.py', 'epochs': 5, 'data': 'data/cifar10', 'measure': 'kNN, k 5'},
        'verdict': {'compared': [compared], 'collapsed': 0}, 'dataset': 'CIFAR10',
        'unit': 'points', 'objective': 'kNN top-1, %',
        'scores': {
            'standard': {'search': mean(32.25, 1), 'compared': mean(40.5, 3)},
            'ab': {'search': mean(34.5, 1), 'compared': mean(42.0, 3)},
        },
        'notes': ['on 5000 images'], 'refused': [{'head': 'cd', 'why': 'collapsed'}],
        'scored': scored, 'device': 'CPU', **more,
    }  # fmt: skip
