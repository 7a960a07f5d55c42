# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Evaluate a checkpoint as its config says.

Where the config has a test loop (classification, detection), that one runs.
A self-supervised network has none; its backbone is measured by the nearest
neighbours of the config's KNNHook, on its validation part unless --split test.

nasiam test nasiam/simsiam_r18_search_cifar10.py work_dirs/.../epoch_100.pth
"""

import os
from argparse import ArgumentParser, Namespace
from textwrap import shorten
from typing import TYPE_CHECKING

from mmengine.config import Config, ConfigDict

from nasiam_mm.cli.config import (
    add_config_arguments,
    build_runner,
    find_hook,
    read_evaluated,
    test_split,
)
from nasiam_mm.cli.ending import one_line
from nasiam_mm.cli.outputs import check_outputs

if TYPE_CHECKING:
    from mmengine.runner import Runner


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command line."""
    add_config_arguments(parser)
    parser.add_argument('checkpoint', help='path of the checkpoint')
    parser.add_argument('--out', help='JSON file for the metrics')
    parser.add_argument(
        '--split',
        choices=['val', 'test'],
        default='val',
        help='what the nearest neighbours classify; whatever is chosen by a result needs val',
    )
    parser.add_argument('--no-pin-memory', action='store_true', help='pin the memory of no loader')


def run(args: Namespace) -> None:
    """Evaluate, and write what came out."""
    cfg = read_evaluated(args, pin_memory=not args.no_pin_memory)
    check_outputs(args)
    metrics = evaluate(cfg, args.checkpoint, args.split)
    if args.out is not None and int(os.environ.get('RANK', 0)) == 0:
        from nasiam_mm.files.atomic import write_json

        write_json(metrics, args.out)


def evaluate(cfg: Config, checkpoint: str, split: str) -> dict[str, float]:
    """Build the config's network, load the checkpoint into it and measure it.

    Raises:
        ValueError: If the checkpoint is of another network, or the config
            holds nothing to evaluate by.
    """
    knn = None if cfg.get('test_dataloader') else find_hook(cfg, 'KNNHook')
    if knn is not None:
        # The other hooks act on training, which there is none of.
        cfg.custom_hooks = []
    elif not cfg.get('test_dataloader'):
        raise ValueError(
            f"config '{cfg.filename}' has neither a test_dataloader nor a KNNHook to evaluate by"
        )
    runner = build_runner(cfg)
    try:
        runner.load_checkpoint(checkpoint, strict=True)
    except RuntimeError as error:
        raise ValueError(
            f"checkpoint '{checkpoint}' is not of config '{cfg.filename}', take the config in its "
            f'folder: {shorten(one_line(error), 300)}'
        ) from error
    return runner.test() if knn is None else measure_neighbours(runner, knn, split)


def measure_neighbours(runner: 'Runner', knn: ConfigDict, split: str) -> dict[str, float]:
    """Measure the backbone as the config's KNNHook does in training.

    Args:
        runner: Runner of the loaded network.
        knn: Config of the hook.
        split: What to classify: ``'val'``, the hook's query images, or
            ``'test'``, the test split of the data set that they are from.
    """
    from nasiam_mm.evaluation.knn import knn_accuracy
    from nasiam_mm.probes.features import extract_features

    loader = knn.query_dataloader
    if split == 'test':
        loader = {**loader, 'dataset': test_split(loader['dataset'])}
    settings = {name: knn[name] for name in ('k', 'temperature') if name in knn}
    bank, bank_labels = extract_features(
        runner.model, runner.build_dataloader(knn.bank_dataloader, seed=runner.seed)
    )
    query, query_labels = extract_features(
        runner.model, runner.build_dataloader(loader, seed=runner.seed)
    )
    device = next(runner.model.parameters()).device
    accuracy = knn_accuracy(
        query.to(device),
        query_labels,
        bank.to(device),
        bank_labels,
        num_classes=1 + int(max(bank_labels.max(), query_labels.max())),
        **settings,
    )
    metrics = {f'knn/{split}_{name}': value for name, value in accuracy.items()}
    figures = '  '.join(f'{name}: {value:.2f}' for name, value in metrics.items())
    runner.logger.info(f'kNN  {figures}  (bank {len(bank)}, query {len(query)}, {settings})')
    return metrics
