# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Tell a run, a study or a genotype on one page: report.html.

nasiam report work_dirs/simsiam_r18_search_cifar10
nasiam report work_dirs/simsiam_r18_search_cifar10 --neighbours
nasiam report runs/photos
nasiam report genotypes/published/simsiam_r18_cifar10.json --out head.html

A folder of results, --out of a search, stands for the pretraining, the standard head's or the
search in it, the first that is there. The page holds all that it shows and asks for nothing from
anywhere. Every search and study writes it at its end. With --neighbours images are looked up by the
last checkpoint: this runs the config in the folder, as a training does, and reads its data; the
folder keeps what is found.
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from nasiam_mm.cli.asked import refuse_page
from nasiam_mm.cli.outputs import check_outputs


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command line."""
    add = parser.add_argument
    add('path', type=Path, help='folder of a run or a study, --out of a search, or a genotype')
    add('--out', type=Path, help='page to write; by default report.html in the work directory')
    add('--neighbours', action='store_true', help='look neighbours of images up first')
    modules = 'modules that register your operations'
    add('--custom-imports', nargs='+', default=[], help=modules)


def run(args: Namespace) -> None:
    """Read, look up if asked to, write."""
    check_outputs(args, inputs=('path',))
    refuse_page(args.out, [args.path])
    if args.neighbours and not args.path.is_dir():
        raise ValueError(
            f"--neighbours: '{args.path}' is no work directory, whose checkpoint is needed"
        )

    from mmengine.utils import import_modules_from_strings

    from nasiam_mm.report.page.write import write_page

    import_modules_from_strings(args.custom_imports)
    path, *others = _runs_of(args.path)
    if args.neighbours:
        _look_up(path)
    print(f'wrote {write_page(path, args.out)}')
    if others:
        print(f'told by pages of their own: {", ".join(map(str, others))}')


def _runs_of(path: Path) -> list[Path]:
    """Return the runs in the --out of nasiam search, as nasiam test takes them; else the path."""
    from nasiam_mm.files.marks import OWNER, PRESET, VERDICT, runs_in

    if not (path / PRESET).is_file() or (path / OWNER).is_file():
        return [path]
    found = [run for run in runs_in(path) if (run / OWNER).is_file()]
    found += [verdict.parent for verdict in sorted(path.glob(f'*/{VERDICT}'))]
    return found or [path]


def _look_up(folder: Path) -> None:
    """Look neighbours up by the last checkpoint of a folder.

    Raises:
        ValueError: If it has no config, no checkpoint or no probe.
    """
    from nasiam_mm.cli.config import add_config_arguments
    from nasiam_mm.cli.evaluated import read_evaluated

    work = folder / 'train' if (folder / 'train').is_dir() else folder
    configs = sorted(work.glob('*.py'))
    if len(configs) != 1:
        raise ValueError(
            f"--neighbours: '{work}' holds {len(configs)} configs, and needs one; "
            'name the work directory of a run'
        )

    import nasiam_mm.engine  # noqa: F401, registers what a config names
    from nasiam_mm.files.atomic import write_json
    from nasiam_mm.probes.feature_sets import load_probed
    from nasiam_mm.report.neighbours import NEIGHBOURS, look_up
    from nasiam_mm.runs.work_dir import find_last_checkpoint

    last = find_last_checkpoint(work)
    if last.path is None:
        raise ValueError(f"--neighbours: '{work}' holds no whole checkpoint; train first")
    parser = ArgumentParser()
    add_config_arguments(parser)
    args = parser.parse_args([str(configs[0]), '--work-dir', str(work)])
    args.checkpoint = str(last.path)
    cfg = read_evaluated(args)
    cfg.log_level = 'WARNING'
    runner, probe = load_probed(cfg, args.checkpoint)
    seed = (cfg.get('randomness') or {}).get('seed') or 0
    loaders = [runner.build_dataloader(probe.loader(part)) for part in ('train', 'val')]
    found = look_up(runner.model, loaders[0], loaders[1], last.epoch, cfg, probe.labelled, seed)
    write_json(found, work / NEIGHBOURS)
