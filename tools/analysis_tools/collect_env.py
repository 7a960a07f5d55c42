# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Print the machine and the versions that decide a result, for a report of a problem.

python tools/analysis_tools/collect_env.py
"""

import argparse
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec

PACKAGES = ('nasiam_mm', 'onedl-mmcv', 'onedl-mmpretrain', 'onedl-mmdetection', 'numpy')


def installed(name: str) -> str:
    """Return the version of a distribution, or that there is none."""
    try:
        return version(name)
    except PackageNotFoundError:
        return 'not installed'


def main(argv: Sequence[str] | None = None) -> None:
    """Print one line for each fact."""
    argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    ).parse_args(argv)

    import torch
    from mmengine.utils.dl_utils import collect_env

    facts = collect_env()
    # The compiler flags of torch fill a screen.
    facts.pop('PyTorch compiling details', None)
    facts.update({name: installed(name) for name in PACKAGES})
    facts['mmcv compiled ops'] = find_spec('mmcv._ext') is not None
    facts['threads'] = torch.get_num_threads()
    for name, value in facts.items():
        print(f'{name}: {value}')


if __name__ == '__main__':
    main()
