# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The items of the speed benchmark, by name, and a run of some of them."""

import os
import platform
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from benchmarks.papers.rows import environment
from benchmarks.speed.ceilings import measure_ceilings
from benchmarks.speed.epochs import measure_epochs
from benchmarks.speed.figures import Measurement
from benchmarks.speed.heads import measure_heads
from benchmarks.speed.memory import measure_memory
from benchmarks.speed.overhead import measure_overhead
from benchmarks.speed.search import measure_search
from benchmarks.speed.settings import Settings
from benchmarks.speed.steps import measure_steps
from benchmarks.speed.views import measure_views
from nasiam_mm.cli.ending import one_line

_PEERS = ('lightly', 'lightning', 'timm')


def _epochs(settings: Settings) -> Iterable[Measurement]:
    if settings.device != 'cuda':
        whole = 'an epoch of a whole run'
        return [Measurement('Epoch', 's', not_run={whole: 'it takes a GPU; give --device cuda'})]
    return measure_epochs(settings)


ITEMS: dict[str, Callable[[Settings], Iterable[Measurement]]] = {
    'pretrain': measure_steps,
    'views': lambda settings: [measure_views(settings)],
    'search': measure_search,
    'heads': measure_heads,
    'runner': lambda settings: [measure_overhead(settings)],
    'memory': measure_memory,
    'ceilings': measure_ceilings,
    'epochs': _epochs,
}


def run_items(names: Sequence[str], settings: Settings) -> Iterator[Measurement]:
    """Measure items in the order given; one that fails says why, and the rest go on."""
    for name in names:
        try:
            yield from ITEMS[name](settings)
        except Exception as error:  # reported, not dropped
            why = f'{type(error).__name__}: {one_line(error)}'
            yield Measurement(name, '', not_run={name: why})


def about(settings: Settings) -> dict[str, Any]:
    """Describe machine, versions and settings."""
    found = environment()
    peers = {name: _version(name) for name in _PEERS}
    return {
        'device': found['device'],
        'processor': _processor(),
        'load average': ' '.join(f'{load:.1f}' for load in os.getloadavg()),
        'versions': ' '.join(f'{n} {v}' for n, v in {**found['versions'], **peers}.items()),
        'python': platform.python_version(),
        'batch size': settings.batch_size,
        'repetitions': settings.repeats,
        'time': 'CUDA events' if settings.device == 'cuda' else 'CPU time of one thread',
    }


def _processor() -> str:
    info = Path('/proc/cpuinfo')
    name = re.search(r'model name\s*: (.*)', info.read_text()) if info.exists() else None
    return name[1] if name else platform.processor() or platform.machine()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return 'absent'
