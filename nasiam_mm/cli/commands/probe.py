# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Measure a pretrained backbone on cached features: kNN, linear probe, few labels.

The features of each image are extracted once, without augmentation. Every setting (k, T, the
penalty) is selected on the validation images; the test images are read only by --split test, and
classified by what was selected. The cached linear probe is a fast stand-in for the papers'
protocol, configs/benchmarks/linear. The last line printed is JSON.

    nasiam probe work_dirs/simsiam/epoch_800.pth
    nasiam probe CONFIG CHECKPOINT --split test --out row.json
"""

import json
from argparse import ArgumentParser, Namespace
from dataclasses import replace
from pathlib import Path

from nasiam_mm.cli.asked import refuse_grid
from nasiam_mm.cli.config import start_processes_on_cpu
from nasiam_mm.cli.evaluated import add_evaluated_arguments, read_evaluated
from nasiam_mm.cli.outputs import check_outputs
from nasiam_mm.runs.processes import process_number


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command line."""
    add_evaluated_arguments(parser)
    add = parser.add_argument
    chosen = 'test: report the selected settings on the test images as well'
    add('--split', choices=['val', 'test'], default='val', help=chosen)
    cut = "cut the whole training split by this fraction, such as 0.2, not as the config's probe"
    add('--val-fraction', type=float, help=cut)
    add('--k', type=int, nargs='+', help='numbers of neighbours to try')
    add('--temperature', type=float, nargs='+', help='temperatures to try')
    add('--l2', type=float, nargs='+', help='penalties of the linear probe to try')
    few = 'fractions of the labels; none to leave out; by default those of 0.01 and 0.1 that fit'
    add('--fractions', type=float, nargs='*', help=few)
    add('--label-seeds', type=int, nargs='+', help='seeds of the choice of labels')
    add('--out', type=Path, help='JSON file for the figures')
    add('--save-features', type=Path, help='.npz file for features and labels')


def run(args: Namespace) -> None:
    """Extract, measure, print, write."""
    check_outputs(args, ('out', 'save_features'))
    refuse_grid(args)
    cfg = read_evaluated(args)

    from nasiam_mm.files.atomic import write_json
    from nasiam_mm.probes.feature_sets import read_feature_sets
    from nasiam_mm.probes.sweep import Grid, fitting_fractions, render_features, sweep_features

    given = {
        'ks': args.k,
        'temperatures': args.temperature,
        'l2s': args.l2,
        'fractions': args.fractions,
        'label_seeds': args.label_seeds,
    }
    grid = Grid(**{name: value for name, value in given.items() if value is not None})
    start_processes_on_cpu(cfg)
    sets = read_feature_sets(cfg, args.checkpoint, args.split == 'test', args.val_fraction)
    if process_number() != 0:
        return
    if args.save_features is not None:
        sets.save(args.save_features)
    if args.fractions is None:  # nobody asked for what a small or uneven set cannot give
        fitting, refused = fitting_fractions(sets, grid.fractions)
        grid = replace(grid, fractions=fitting)
        for why in refused:
            print(f'left out: {why}')
    found = {
        'config': Path(args.config or args.checkpoint).name,
        'checkpoint': Path(args.checkpoint).name,
        **sweep_features(sets, grid),
    }
    if args.out is not None:
        write_json(found, args.out)
    print(render_features(found))
    print(json.dumps(found))
