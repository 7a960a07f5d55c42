# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Measure every candidate of a search on this machine, for ``ExpectedCost.table``.

python tools/analysis_tools/op_latency.py CONFIG --out latency.json
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from nasiam_mm.cli.main import as_main, run_process
from nasiam_mm.cli.outputs import check_outputs
from nasiam_mm.cli.reading import find_config, load_config


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command line."""
    parser.add_argument('config', help='config of a search: a file, or as it is shipped')
    parser.add_argument('--out', type=Path, required=True, help='JSON file to write')
    parser.add_argument('--batch', type=int, default=16, help='images at once')
    parser.add_argument('--repeats', type=int, default=20, help='passes that are timed')
    parser.add_argument('--device', default='cpu', help='such as cuda:0')


def run(args: Namespace) -> None:
    """Build, measure, write."""
    check_outputs(args)
    import nasiam_mm.engine  # noqa: F401, registers what a config names
    from nasiam_mm.files.atomic import write_json
    from nasiam_mm.registry import MODELS
    from nasiam_mm.search.gradient.latency import latency_table

    config = dict(load_config(find_config(args.config)).model)
    config.pop('data_preprocessor', None)
    model = MODELS.build(config)
    if not model.searched_cells():
        raise ValueError(f"config '{args.config}' searches nothing by alpha")
    table = latency_table(model, batch=args.batch, repeats=args.repeats, device=args.device)
    write_json(table, args.out)
    print(f'wrote {args.out}: {len(table["costs"])} choices')


main = as_main(__doc__, add_arguments, run)

if __name__ == '__main__':
    run_process(main)
