# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Export the backbone of a pretraining checkpoint, and prove the file before it appears.

    python tools/model_converters/export_backbone.py work_dirs/simsiam/epoch_800.pth backbone.pth
    python tools/model_converters/export_backbone.py CHECKPOINT r50.safetensors --layout timm

Every key of the backbone is matched and its output on a fixed input is bit-equal to the
original's, or one line says why not and nothing is written.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

from nasiam_mm.cli.ending import add_traceback_flag, run_tool
from nasiam_mm.export import LAYOUTS, export_backbone, read_pretrained


def main(argv: Sequence[str] | None = None) -> None:
    """Parse the command line and export."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('checkpoint', help='written by mmengine in pretraining')
    parser.add_argument('out', type=Path, help='.pth, or .safetensors for torchvision and timm')
    parser.add_argument('--layout', choices=LAYOUTS, default='mmengine')
    parser.add_argument(
        '--config', type=Path, help='what trained it; by default the copy in the checkpoint'
    )
    add_traceback_flag(parser)
    args = parser.parse_args(argv)
    source = read_pretrained(args.checkpoint, args.config)
    count = export_backbone(source, args.out, args.layout)
    print(f'{args.out}: {count} of {count} backbone keys, {args.layout} layout, outputs equal')


if __name__ == '__main__':
    run_tool(main)
