# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What a command writes is never what it reads."""

import os
from argparse import Namespace
from pathlib import Path

from mmengine.config import Config

from nasiam_mm.files.config_file import config_as_text


def check_outputs(
    args: Namespace,
    outputs: tuple[str, ...] = ('out',),
    inputs: tuple[str, ...] = ('config', 'checkpoint', 'genotype'),
) -> None:
    """Refuse an output that is a file which the command reads, by whatever path or link.

    Args:
        args: The command line.
        outputs: Names of the arguments that name files to write.
        inputs: Names of those that name files to read; those not there are passed over.
    """
    for output in outputs:
        path = getattr(args, output)
        if path is None or not os.path.exists(path):
            continue
        for name in inputs:
            source = getattr(args, name, None)
            if source is not None and os.path.exists(source) and os.path.samefile(path, source):
                raise ValueError(
                    f"'{path}' is to be written and is what is read as {name.replace('_', ' ')}; "
                    'give another path for the output'
                )


def check_own_config(cfg: Config) -> None:
    """Refuse to run where the copy of the config would take the place of one written by hand.

    A copy that an earlier run left is flat and may be rewritten.
    """
    source = Path(cfg.filename)
    copy = Path(cfg.work_dir, source.name)
    if not copy.exists() or not copy.samefile(source):
        return
    if (
        config_as_text(Config.fromfile(source)).strip()
        != source.read_text(encoding='utf-8').strip()
    ):
        raise ValueError(
            f"the run would write its copy of the config over '{source}'; "
            'give a --work-dir other than its folder'
        )
