# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Pretrain with a head, or train what else a config says.

nasiam train nasiam/simsiam_r18_pretrain_cifar10.py --genotype genotype.json
nasiam train nasiam/simsiam_r18_baseline_cifar10.py
nasiam train benchmarks/linear/r18_cifar10_linear.py --checkpoint epoch_800.pth
nasiam pretrain --data photos --out runs/photos

Without a config the images decide the recipe, and the head is that of a search in --out, or else
the standard one.
"""

from argparse import ArgumentParser, Namespace

from mmengine.config import Config

from nasiam_mm.cli import config as settings
from nasiam_mm.cli.asked import refuse_training
from nasiam_mm.cli.outputs import check_own_config
from nasiam_mm.cli.own import add_own_arguments, prepare_own
from nasiam_mm.cli.strategy import merge_strategy
from nasiam_mm.config_walk import find_hook
from nasiam_mm.runs.processes import process_number


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command line."""
    any_folder = "with --out any folder of images, else one that 'nasiam data describe' described"
    settings.add_config_arguments(parser, is_needed=False, data=any_folder)
    add_own_arguments(parser)
    add_training_arguments(parser)


def add_training_arguments(parser: ArgumentParser) -> None:
    """Declare what changes a training by a config."""

    def flag(name: str, text: str) -> None:
        parser.add_argument(name, action='store_true', help=text)

    resumed = 'go on from CHECKPOINT, or from the latest in the work directory'
    parser.add_argument('--resume', nargs='?', const='auto', metavar='CHECKPOINT', help=resumed)
    flag('--extend', 'with --resume: more epochs, another rate or schedule, which are listed')
    begun = 'checkpoint whose backbone is loaded before training, for configs/benchmarks/linear'
    parser.add_argument('--checkpoint', metavar='PRETRAINED', help=begun)
    parser.add_argument('--seed', type=int, help='seed of the run, in place of randomness.seed')
    lasts = 'of the run, in place of train_cfg.max_epochs; schedules follow'
    parser.add_argument('--epochs', type=int, metavar='N', help=lasts)
    searched = 'of a search: how, a name of configs/search, such as gdas, or a file like them'
    parser.add_argument('--strategy', metavar='NAME', help=searched)
    flag('--amp', 'train in mixed precision')
    flag('--compile', 'compile backbone and heads with torch.compile')
    flag('--no-validate', 'do not measure while training')
    flag('--auto-scale-lr', 'scale the rate from auto_scale_lr.base_batch_size to the whole batch')
    flag('--no-pin-memory', 'pin the memory of no loader')
    flag('--no-persistent-workers', 'start new workers for each epoch')


def run(args: Namespace) -> None:
    """Check, then train."""
    refuse_training(args)
    note = prepare_own(args, 'pretrain')
    if note is not None and process_number() == 0:
        print(note)
    train_checked(configure(args))


def train_checked(cfg: Config) -> None:
    """Train, after all that can be known to be wrong was refused by the first process."""
    import nasiam_mm.engine  # noqa: F401, registers what a config names
    from nasiam_mm.checks.before_training import refuse_problems

    # The pass knows nothing of detectors, which nasiam detect checks.
    if process_number() == 0 and cfg.get('model') and cfg.get('default_scope') != 'mmdet':
        refuse_problems(cfg)
    runner = settings.build_runner(cfg)
    runner.train()
    if find_hook(cfg, 'AlphaStepHook') is not None and process_number() == 0:
        from nasiam_mm.console.handler import SHOWN
        from nasiam_mm.report.page.write import write_after

        runner.logger.info(write_after(runner), extra=SHOWN)


def configure(args: Namespace) -> Config:
    """Read the config and let the arguments override it; an error if one does not fit it."""
    cfg = settings.read_config(args)
    if args.strategy is not None:
        merge_strategy(cfg, args.strategy)
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = cfg.probe = None
    if args.amp:
        settings.set_amp(cfg)
    if args.compile and find_hook(cfg, 'CompileHook') is None:
        cfg.merge_from_dict({'default_hooks.compile': dict(type='CompileHook')})
    if args.seed is not None:
        cfg.randomness = {**cfg.get('randomness', {}), 'seed': args.seed}
    if args.checkpoint is not None:
        set_pretrained(cfg, args.checkpoint)
    if args.resume is not None:
        if args.resume != 'auto':
            settings.check_checkpoint(args.resume)
        cfg.resume = True
        if args.resume == 'auto' and cfg.get('load_from'):
            # For a run that has nothing to go on with yet.
            cfg.merge_from_dict({'default_hooks.resume.begin_from': cfg.load_from})
        cfg.load_from = None if args.resume == 'auto' else args.resume
    if args.extend:
        cfg.merge_from_dict({'default_hooks.resume.extend': True})
    if args.auto_scale_lr:
        if 'base_batch_size' not in (cfg.get('auto_scale_lr') or {}):
            raise ValueError(
                f"--auto-scale-lr: config '{cfg.filename}' does not say for which batch its rate "
                'is; add auto_scale_lr=dict(base_batch_size=...)'
            )
        cfg.auto_scale_lr.enable = True
    settings.set_loader_defaults(cfg, not args.no_pin_memory, not args.no_persistent_workers)
    settings.merge_options(cfg, args)
    # The owner of a folder is compared with this config, and trained with what this makes of it.
    settings.fit_processes(cfg)
    check_own_config(cfg)
    return cfg


def set_pretrained(cfg: Config, checkpoint: str) -> None:
    """Let the model's backbone begin with the weights of a pretraining checkpoint."""
    from nasiam_mm.files.checkpoint import read_checkpoint, weights_of

    weights = weights_of(read_checkpoint(checkpoint, 'cpu', mmap=True), checkpoint)
    if not any(name.startswith('backbone.') for name in weights):
        raise ValueError(
            f"--checkpoint: '{checkpoint}' holds no weight of a backbone.*; take one that a "
            'pretraining left'
        )
    if 'backbone' not in cfg.get('model', {}):
        raise ValueError(f"--checkpoint: the model of config '{cfg.filename}' has no backbone")
    cfg.model.backbone.init_cfg = dict(type='Pretrained', checkpoint=checkpoint, prefix='backbone.')
