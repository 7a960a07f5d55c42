# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Writing the page, also at the end of a run, which it never ends by an error."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.dist import get_world_size
from mmengine.runner import Runner

from nasiam_mm.files.atomic import write_json, write_text
from nasiam_mm.probes.hook import ProbeHook
from nasiam_mm.refusals import plain
from nasiam_mm.report.neighbours import NEIGHBOURS, look_up
from nasiam_mm.report.page.compare import name_apart, page_of_several
from nasiam_mm.report.page.facts import Facts, read_facts
from nasiam_mm.report.page.single import page_of

REPORT = 'report.html'  # in the work directory


def write_page(path: str | os.PathLike, out: str | os.PathLike | None = None) -> Path:
    """Write the page of a folder or a genotype, whole or not at all; return where it lies.

    Raises:
        FileNotFoundError: If there is no such path.
        ValueError: If it holds nothing of a run.
    """
    source = Path(path)
    facts = read_facts(source)
    beside = source / REPORT if source.is_dir() else source.with_suffix('.html')
    target = Path(out or beside)
    write_text(page_of(facts), target)
    return target


def write_comparison(paths: Sequence[str | os.PathLike], out: str | os.PathLike) -> list[Facts]:
    """Write the page of several; return what is known of each.

    Raises:
        FileNotFoundError: If there is none at a path.
        ValueError: If one holds nothing of a run.
    """
    runs = [read_facts(Path(path)) for path in paths]
    name_apart(runs)
    write_text(page_of_several(runs), out)
    return runs


def write_after(runner: Runner) -> str:
    """Look neighbours up by the network that a run ends with, and write the page.

    Several processes look none up. Return a line for a user, whatever happened.
    """
    try:
        probe = next((h.probe for h in runner.hooks if isinstance(h, ProbeHook)), None)
        if probe is not None and get_world_size() == 1:
            loaders: list[Any] = [probe.bank, probe.query]
            how = (runner.cfg, probe.labelled, runner.seed or 0)
            found = look_up(runner.model, loaders[0], loaders[1], runner.epoch, *how)
            write_json(found, Path(runner.work_dir, NEIGHBOURS))
    except Exception as error:
        told = plain(f'{type(error).__name__}: {error}', 200)
        return f'no neighbours were looked up ({told}); {write_at_end(runner.work_dir)}'
    return write_at_end(runner.work_dir)


def write_at_end(folder: str | os.PathLike) -> str:
    """Write the page of what has ended; return a line for a user, whatever happened."""
    try:
        return f'the report is {write_page(folder)}'
    except Exception as error:
        told = plain(f'{type(error).__name__}: {error}', 200)
        return f'no report was written ({told}); nasiam report {folder} tries again'
