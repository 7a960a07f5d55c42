# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Export the backbone of a pretraining checkpoint, and prove the file before it appears.

    nasiam export work_dirs/simsiam/epoch_800.pth backbone.pth
    nasiam export runs/photos backbone.pth
    nasiam export CHECKPOINT r50.safetensors --layout timm
    nasiam export work_dirs/search searched.pth

Every key of the backbone is matched and its output on a fixed input is bit-equal to the
original's, or one line says why not and nothing is written. Of a searched backbone it is what the
genotype.json beside the checkpoint decided, with the weights that it has in the search.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from nasiam_mm.cli.asked import refuse_run
from nasiam_mm.cli.outputs import check_outputs
from nasiam_mm.console.handler import prints_go_to_the_log
from nasiam_mm.export.asked import LAYOUTS, check_target
from nasiam_mm.files.shipped import find_config


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument('checkpoint', help='of a pretraining, or the folder of a run')
    parser.add_argument('out', type=Path, help='.pth, or .safetensors for torchvision and timm')
    parser.add_argument('--layout', choices=LAYOUTS, default='mmengine')
    told = 'what trained it; by default the copy in the checkpoint'
    parser.add_argument('--config', type=Path, help=told)


def run(args: Namespace) -> None:
    """Export."""
    check_outputs(args)
    check_target(args.out, args.layout)
    refuse_run(args.checkpoint)
    if args.config is not None:
        args.config = Path(find_config(args.config))

    from nasiam_mm.export import export_backbone, read_pretrained
    from nasiam_mm.export.embeddings import find_run_checkpoint

    is_run = Path(args.checkpoint).is_dir()
    checkpoint = find_run_checkpoint(args.checkpoint) if is_run else args.checkpoint
    source = read_pretrained(checkpoint, args.config)
    with prints_go_to_the_log():  # what mmengine says as it reads the file back
        count = export_backbone(source, args.out, args.layout)
    print(f'{args.out}: {count} of {count} backbone keys, {args.layout} layout, outputs equal')
    if args.layout != 'mmengine':
        from nasiam_mm.export.layouts import loader_of, spec_of

        spec = spec_of(source.cfg)
        print(f'loaded by\n\n{loader_of(spec, args.layout, args.out)}')
