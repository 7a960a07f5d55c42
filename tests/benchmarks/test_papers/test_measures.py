# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
from benchmarks.papers.measures import training_metrics


def test_metrics_are_the_last_ones():
    log = [
        {'loss': 5.0, 'epoch': 1, 'step': 10, 'collapse/std': 0.1},
        {'knn/val_top1': 20.0, 'epoch': 1, 'step': 10},
        {'loss': 2.0, 'epoch': 2, 'step': 20, 'collapse/std': 0.5},
        {'loss': 1.0, 'epoch': 2, 'step': 30, 'collapse/effective_rank': 7.0},
        {'knn/val_top1': 30.0, 'epoch': 2, 'step': 30},
    ]
    assert training_metrics(log) == {
        'loss': 1.5, 'std': 0.5, 'effective_rank': 7.0, 'knn_val': 30.0,
    }  # fmt: skip
