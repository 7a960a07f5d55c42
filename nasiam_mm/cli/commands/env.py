# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Print the machine and the versions that decide a result, for a report of a problem.

nasiam env
"""

from argparse import ArgumentParser, Namespace
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

PACKAGES = ('nasiam_mm', 'onedl-mmcv', 'onedl-mmpretrain', 'onedl-mmdetection', 'numpy')


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command line, which is empty."""


def run(args: Namespace) -> None:
    """Print one line for each fact."""
    import torch
    from mmengine.utils.dl_utils import collect_env

    facts = collect_env()
    # The compiler flags of torch fill a screen.
    facts.pop('PyTorch compiling details', None)
    facts.update({name: _installed(name) for name in PACKAGES})
    facts['mmcv compiled ops'] = find_spec('mmcv._ext') is not None
    facts['threads'] = torch.get_num_threads()
    for name, value in facts.items():
        print(f'{name}: {value}')


def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return 'not installed'
