# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A search, a pretraining, a baseline or a linear evaluation, by ``nasiam train``."""

import os
import re
from argparse import Namespace
from pathlib import Path

from benchmarks import ROOT
from benchmarks.robustness.attempt import Attempt
from benchmarks.robustness.ends import compare_folders, damage, is_writing
from benchmarks.robustness.recipe import KEPT, reduce_config

FILES = ('genotype.json', 'alpha.json')
_COUNTED = re.compile(r'(iter|epoch)_\d+\.pth')
_LOGGED = re.compile(r'Epoch\(train\)\s+\[(\d+)\]\[\s*(\d+)/(\d+)\]')


class Training:
    """A config, reduced, and how its runs are started, watched and compared."""

    started = 'Checkpoints will be saved to'
    moments = {'training': 5, 'writing': 3, 'cleaning': 2, 'evaluating': 2, 'starting': 2}
    first_words: tuple[str, ...] = ('train',)

    def __init__(self, args: Namespace, work: Path) -> None:
        self.name, self.processes = Path(args.config).stem, args.processes
        self.config = work / 'reduced.py'
        reduce_config(args).dump(self.config)
        self.words = self.arguments(args)

    def arguments(self, args: Namespace) -> list[str]:
        """Return what is handed on to the command."""
        names = [name for name in ('genotype', 'checkpoint') if getattr(args, name)]
        paths = [str(Path(getattr(args, name)).resolve()) for name in names]
        return [w for name, path in zip(names, paths, strict=True) for w in (f'--{name}', path)]

    def begin(self, folder: Path, processes: int | None = None) -> Attempt:
        """Start a run in a folder, or go on with it."""
        more = ['--work-dir', str(folder), '--resume']
        if (number := processes or self.processes) == 1:
            return Attempt([*self.first_words, str(self.config), *self.words, *more], folder)
        script = [str(ROOT / 'tools/dist_train.sh'), str(self.config), str(number)]
        return Attempt([*self.words, *more], folder, script)

    def is_at(self, attempt: Attempt, moment: str) -> bool:
        """Whether a checkpoint is being written, old ones removed, or an epoch evaluated."""
        if moment == 'evaluating':
            logged = _LOGGED.findall(attempt.text()[-4000:])
            return bool(logged) and logged[-1][1] == logged[-1][2]
        if moment == 'writing':
            return is_writing(attempt.work_dir)
        names = os.listdir(attempt.work_dir)
        return sum(_COUNTED.fullmatch(name) is not None for name in names) > KEPT

    def intrude(self, folder: Path) -> list[str]:
        """Start another process on the folder of a stopped run; name a problem if it is let in."""
        other = self.begin(folder, processes=1)
        status = other.wait()
        # A single process on the folder of two is another run's besides.
        refused = ('a run is going on in', "is another run's")
        if status == 2 and any(words in other.text() for words in refused):
            return []
        return [f'another process on its folder ended with {status}; the output is in {other.log}']

    def damage(self, folder: Path) -> list[str]:
        """Name what a killed run left that is not whole."""
        return damage(folder)

    def compare(self, whole: Path, torn: Path) -> list[str]:
        """Name what differs between the ends of two runs, files that one alone has among it."""
        from benchmarks.compare import compare_checkpoints
        from nasiam_mm.runs.work_dir import find_last_checkpoint, hold, release

        found = compare_folders(whole, torn)
        try:
            hold(torn)
            release(torn)
        except ValueError as error:
            found.append(str(error))
        both = [name for name in FILES if (whole / name).exists() and (torn / name).exists()]
        found += [n for n in both if (whole / n).read_bytes() != (torn / n).read_bytes()]
        last = find_last_checkpoint(whole).path.name
        if Path((torn / 'last_checkpoint').read_text(encoding='utf-8').strip()).name != last:
            found.append('last_checkpoint')
        is_there = (torn / last).exists()
        return found + (compare_checkpoints(whole / last, torn / last) if is_there else [])

    def resumed_at(self, attempt: Attempt) -> int:
        """Return the iteration that a run was started from."""
        return int([0, *re.findall(r'after (\d+) iterations', attempt.text())][-1])

    def done(self, attempt: Attempt) -> int:
        """Return how many iterations a run had behind it."""
        if not (logged := _LOGGED.findall(attempt.text())):
            return self.resumed_at(attempt)
        epoch, batch, length = map(int, logged[-1])
        return (epoch - 1) * length + batch
