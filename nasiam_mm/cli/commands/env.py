# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Print the machine and the versions that decide a result, for a report of a problem.

nasiam env
"""

from argparse import ArgumentParser, Namespace
from importlib.util import find_spec

from nasiam_mm.runs.record import package_versions


def add_arguments(parser: ArgumentParser) -> None:
    """Declare the command line, which is empty."""


def run(args: Namespace) -> None:
    """Print one line for each fact."""
    import torch
    from mmengine.utils.dl_utils import collect_env

    facts = collect_env()
    # The compiler flags of torch fill a screen.
    facts.pop('PyTorch compiling details', None)
    facts.update(package_versions('onedl-mmdetection'))
    facts['mmcv compiled ops'] = find_spec('mmcv._ext') is not None
    facts['threads'] = torch.get_num_threads()
    for name, value in facts.items():
        print(f'{name}: {value}')
