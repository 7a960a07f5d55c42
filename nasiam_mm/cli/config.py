# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The command line of the commands that run a config, and what it changes in the config."""

import atexit
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmengine.config import Config

from nasiam_mm.cli.options import add_cfg_options
from nasiam_mm.cli.reading import find_config, load_config, make_writable
from nasiam_mm.config_walk import type_name, walk
from nasiam_mm.runs.processes import process_count, process_number, stop_with_launcher
from nasiam_mm.study.budget import Budget

if TYPE_CHECKING:
    from mmengine.runner import Runner

# What else sets a setting.
_ARGUMENTS = {
    'work_dir': 'work_dir',
    'data': 'data.root',
    'genotype': 'model.genotype',
    'seed': 'randomness.seed',
    'epochs': 'train_cfg.max_epochs',
    'resume': 'resume',
    'extend': 'default_hooks.resume.extend',
    'auto_scale_lr': 'auto_scale_lr.enable',
}
_OF_A_STUDY = (
    *(('trials', f'study.{name}') for name in ('trials', 'budget')),
    *(('budget', f'study.{name}') for name in ('budget', *Budget._fields)),
    *(('candidate', 'study.candidates'), ('seed', 'study.seed')),
)


def add_config_arguments(
    parser: ArgumentParser,
    is_needed: bool = True,
    data: str = "images as 'nasiam data describe' left them",
) -> None:
    """Add the arguments that every tool with a config takes, which some can do without.

    ``data`` says what ``--data`` takes.
    """
    add = parser.add_argument
    count: dict[str, Any] = {} if is_needed else {'nargs': '?'}
    add('config', help='config: a file, or as it is shipped', **count)
    add('--work-dir', help='folder of logs and results')
    add('--data', metavar='FOLDER', help=data)
    add_cfg_options(parser)
    launchers = ['none', 'pytorch', 'slurm', 'mpi']
    add('--launcher', choices=launchers, default='none', help='what starts the processes')
    # Passed by some launchers; torchrun sets the variable LOCAL_RANK instead.
    add('--local_rank', '--local-rank', type=int, default=0)
    add('--genotype', help='genotype file, for the heads of the model in the config')


def read_config(args: Namespace) -> Config:
    """Read the config and let the common arguments but ``--cfg-options`` override it.

    The work directory is the argument's, the config's, or ``work_dirs/<name of the config>``.
    """
    # As python -m does: a config's custom_imports may name a file of the user's folder.
    sys.path.append(os.getcwd())
    os.environ.setdefault('LOCAL_RANK', str(args.local_rank))
    cfg = load_config(find_config(args.config))
    cfg.launcher = args.launcher
    if args.work_dir is not None:
        cfg.work_dir = args.work_dir
    elif cfg.get('work_dir') is None:
        cfg.work_dir = str(Path('work_dirs', Path(args.config).stem))
    if args.genotype is not None:
        set_genotype(cfg, args.genotype)
    if args.data is not None:
        if 'root' not in (cfg.get('data') or {}):
            raise ValueError(f"--data: config '{cfg.filename}' has no section data=dict(root=...)")
        cfg.data.root = args.data
    return cfg


def build_runner(cfg: Config) -> 'Runner':
    """Join the processes and build the runner of a config; ValueError if it has no model."""
    if not cfg.get('model'):
        raise ValueError(f"config '{cfg.filename}' has no model: nothing to train or to test")

    from mmengine.registry import RUNNERS
    from mmengine.runner import Runner

    import nasiam_mm.engine  # noqa: F401, registers what a config names

    start_processes_on_cpu(cfg)
    return RUNNERS.build(cfg) if 'runner_type' in cfg else Runner.from_cfg(cfg)


def check_seed(seed: int) -> None:
    """Refuse a seed that NumPy does not take with a ValueError."""
    if type(seed) is not int or not 0 <= seed < 2**32:
        raise ValueError(f'--seed must be a whole number from 0 to 2^32 - 1, got {seed}')


def given_options(args: Namespace) -> dict[str, Any]:
    """Return ``--cfg-options``, and ``--epochs`` as one of them."""
    epochs = getattr(args, 'epochs', None)
    more = {} if epochs is None else {_ARGUMENTS['epochs']: epochs}
    return {**(args.cfg_options or {}), **more}


def refuse_options(args: Namespace) -> None:
    """Refuse ``--cfg-options`` that no config takes, or that an argument says too (ValueError)."""
    options = args.cfg_options or {}
    for argument, key in (*_ARGUMENTS.items(), *_OF_A_STUDY):
        value = getattr(args, argument, None)
        is_given = value is not None and value is not False
        if is_given and any(_sets(name, given, key) for name, given in options.items()):
            flag = f'--{argument.replace("_", "-")}'
            raise ValueError(f'{flag} sets {key}: leave it out of --cfg-options')
    if helpers := [name for name in options if name.startswith('_')]:
        told = 'what begins with _ only helps to write a config'
        raise ValueError(f"--cfg-options: nothing reads '{helpers[0]}'; {told}")


def _sets(name: str, value: Any, key: str) -> bool:
    """Tell whether an option, perhaps a dict that is merged, sets the setting ``key``."""
    if not f'{key}.'.startswith(f'{name}.'):
        return False
    if value is None and name.startswith('study.'):
        return False  # takes a setting of the recipe away: study.budget=None beside --trials
    for word in key.removeprefix(name).split('.')[1:]:
        if not isinstance(value, Mapping) or value.get('_delete_'):
            return True
        if word not in value:
            return False
        value = value[word]
    return True


def merge_options(cfg: Config, args: Namespace) -> None:
    """Let ``--cfg-options`` override the config and import what they name.

    Raises:
        ValueError: If the config has no place for one, or an argument says the same.
    """
    options = given_options(args)
    if not options:
        return
    refuse_options(args)
    try:
        cfg.merge_from_dict(options)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
        text = ' '.join(str(error.args[0] if error.args else error).split())
        raise ValueError(
            f"--cfg-options: config '{cfg.filename}' has no place for {', '.join(options)}: {text}"
        ) from error
    make_writable(cfg, '--cfg-options')
    if any(key.startswith('custom_imports') for key in options):
        from mmengine.utils import import_modules_from_strings

        import_modules_from_strings(**cfg.custom_imports)


def set_genotype(cfg: Config, path: str) -> None:
    """Build the heads of the model from a genotype file; ValueError if the model takes none."""
    if 'genotype' not in (cfg.get('model') or {}):
        raise ValueError(
            f"--genotype: the model of config '{cfg.filename}' takes no genotype; "
            'take one of configs/nasiam/*_pretrain_*.py'
        )
    cfg.model.genotype = path


def set_amp(cfg: Config) -> None:
    """Train in mixed precision: bfloat16, or float16 with loss scaling on a GPU without it."""
    import torch

    wrapper = cfg.optim_wrapper
    kind = type_name(wrapper) or 'OptimWrapper'
    if kind in ('AmpOptimWrapper', 'AutocastOptimWrapper'):
        return
    if kind != 'OptimWrapper':
        raise ValueError(f'--amp: cannot replace {kind}, the optim_wrapper of {cfg.filename!r}')
    if not torch.cuda.is_available() or torch.cuda.is_bf16_supported(including_emulation=False):
        wrapper.type = 'AutocastOptimWrapper'
        wrapper.dtype = 'bfloat16'
    else:
        wrapper.type = 'AmpOptimWrapper'
        wrapper.setdefault('loss_scale', 'dynamic')


def set_loader_defaults(
    cfg: Config, pin_memory: bool = True, persistent_workers: bool = True
) -> None:
    """Fill in what the config leaves open about its loaders, or switch it off everywhere."""
    import torch

    for field in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
        loader = cfg.get(field)
        if loader is None:
            continue
        # A detector's images differ in size; mmengine's own choice leaves them apart.
        if cfg.get('default_scope') != 'mmdet':
            loader.setdefault('collate_fn', dict(type='default_collate'))
        # Pinning without an accelerator only warns; workers that are not there cannot persist.
        loader.setdefault('pin_memory', torch.cuda.is_available())
        loader.setdefault('persistent_workers', loader.get('num_workers', 0) > 0)
    for loader in walk(cfg._cfg_dict):
        if not pin_memory and 'pin_memory' in loader:
            loader['pin_memory'] = False
        if not persistent_workers and 'persistent_workers' in loader:
            loader['persistent_workers'] = False


def check_checkpoint(path: str) -> None:
    """Refuse a checkpoint that is not there, is damaged or could run code, before building."""
    from nasiam_mm.files.checkpoint import read_checkpoint

    read_checkpoint(path, 'cpu', mmap=True)


def start_processes_on_cpu(cfg: Config) -> None:
    """Join the processes by gloo where there is no accelerator; mmengine asks for one.

    ValueError if another launcher than torchrun started them.
    """
    import torch.distributed as dist

    if cfg.launcher == 'none':
        return
    stop_with_launcher()
    if not fit_processes(cfg):
        return
    dist.init_process_group('gloo')
    # Its threads must not outlive the interpreter: now and then one would end it by SIGABRT.
    atexit.register(lambda: dist.is_initialized() and dist.destroy_process_group())


def fit_processes(cfg: Config) -> bool:
    """Fit a config to several processes without accelerator; return whether it was to be done.

    SyncBatchNorm runs on accelerators only, so BatchNorm stays one per process; the first says
    so. Again it changes nothing. ValueError if another launcher than torchrun started them.
    """
    from mmengine.device import get_device

    if cfg.launcher == 'none' or get_device() != 'cpu':
        return False
    if cfg.launcher != 'pytorch':
        raise ValueError(
            f'--launcher {cfg.launcher} needs an accelerator, and this machine has none; for '
            'processes on the CPU use tools/dist_train.sh'
        )
    # As mmengine wraps by default, but for the device.
    wrapper = dict(type='MMDistributedDataParallel', broadcast_buffers=False, device_ids=None)
    wrapper['find_unused_parameters'] = cfg.get('find_unused_parameters', False)
    cfg.model_wrapper_cfg = {**wrapper, **(cfg.get('model_wrapper_cfg') or {})}
    if cfg.get('sync_bn') is not None and process_number() == 0:
        print(
            f'no accelerator: each of the {process_count()} processes normalises its own '
            f'part of the batch (sync_bn={cfg.sync_bn!r} is left out)'
        )
    cfg.sync_bn = None
    return True
