# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Time on a CPU and on a GPU, sections of a step, sides that take turns, what a machine can do."""

import gc
import resource
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.speed.figures import ENOUGH, Measurement, Ratio, Side
from benchmarks.speed.setup import Setup
from nasiam_mm.refusals import one_line

# Makes what a side runs; building may fail, as where a peer is absent.
Build = Callable[[], Callable[[], object]]
T = TypeVar('T')


def now(device: str) -> float:
    """Seconds: CPU time of this process and its ended children, or a GPU's once it is done.

    CPU time barely notices what else runs on the machine; a wall clock does.
    """
    if device == 'cuda':
        torch.cuda.synchronize()
        return time.perf_counter()
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


def seconds(run: Callable[[], object], device: str) -> float:
    """Time one call: CPU time on the CPU, the interval between two events on a GPU."""
    if device == 'cuda':
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        begin.record()
        run()
        end.record()
        torch.cuda.synchronize()
        return begin.elapsed_time(end) / 1000
    begin = now(device)
    run()
    return now(device) - begin


def gflop(run: Callable[[], object]) -> float:
    """Count the FLOPs of one call: 1e9, two per multiply-add, matrix products and convolutions."""
    with FlopCounterMode(display=False) as counter:
        run()
    return counter.get_total_flops() / 1e9


class Sections:
    """Divides what a step takes between named sections; a section within leaves its outer one.

    Args:
        read: A meter that grows: a clock, or a counter of FLOPs.
    """

    def __init__(self, read: Callable[[], float]) -> None:
        self.read = read
        self.totals: dict[str, float] = defaultdict(float)
        self._open: list[str] = []
        self._last = 0.0

    @contextmanager
    def section(self, name: str) -> Iterator[None]:
        """Charge what is within to ``name``."""
        self.enter(name)
        try:
            yield
        finally:
            self.leave()

    def enter(self, name: str) -> None:
        """Begin a section."""
        self._charge()
        self._open.append(name)

    def leave(self) -> None:
        """End the innermost section."""
        self._charge()
        self._open.pop()

    def _charge(self) -> None:
        reading = self.read()
        if self._open:
            self.totals[self._open[-1]] += reading - self._last
        self._last = reading


def rounds(repeats: int, is_near: Callable[[], bool] = lambda: False) -> Iterator[int]:
    """Count the rounds of a measurement from 0.

    Where ``is_near`` says, after the last, that a target is too near to be told from, there are as
    many as tell it, unless fewer than five were asked for.
    """
    for number in range(max(repeats, ENOUGH)):
        if number >= repeats and (repeats < 5 or (number == repeats and not is_near())):
            return
        yield number


def turns(
    runs: Mapping[str, T], repeats: int, is_near: Callable[[], bool] = lambda: False
) -> Iterator[tuple[str, T]]:
    """Give each side its turn in every round: A, B, then B, A, so that none always comes last."""
    for number in rounds(repeats, is_near):
        yield from list(runs.items())[:: -1 if number % 2 else 1]


def measure_in_turn(
    name: str,
    sides: Mapping[str, Build],
    *,
    repeats: int,
    images: int,
    device: str,
    notes: Mapping[str, str] | None = None,
    ratios: Iterable[Ratio] = (),
) -> Measurement:
    """Time sides in turn, A-B-B-A, after a call of each whose FLOPs are counted.

    Args:
        name: What is measured.
        sides: Name of a side -> what builds it.
        repeats: Turns of each side.
        images: Images of a call.
        device: ``'cpu'`` or ``'cuda'``.
        notes: Name of a side -> what a reader must know of it.
        ratios: Comparisons.

    Returns:
        Milliseconds per image, and why a side was not run.
    """
    found = Measurement(name, 'ms/image', ratios=list(ratios))
    runs = {}
    for side, build in sides.items():
        try:
            run = build()
            counted = gflop(run) / images
        except Exception as error:  # a peer may fail in any way; the others go on
            found.not_run[side] = f'{type(error).__name__}: {one_line(error)}'
            continue
        runs[side] = run
        found.sides[side] = Side(gflop=counted, note=(notes or {}).get(side, ''))
    for side, run in turns(runs, repeats, found.is_near):
        found.sides[side].samples.append(1000 * seconds(run, device) / images)
    runs.clear()
    gc.collect()
    return found


def measure_ceilings(setup: Setup) -> list[Measurement]:
    """Measure products of square matrices, in TFLOP/s, and copies, in GB/s read and written."""
    device = setup.device
    size, loops, count = (8192, 20, 2**28) if device == 'cuda' else (1024, 1, 2**24)
    products = Measurement(f'Matrix product, {size} x {size}', 'TFLOP/s')
    for dtype in (torch.bfloat16, torch.float32):
        factors = [torch.randn(size, size, device=device, dtype=dtype) for _ in range(2)]
        out = torch.empty(size, size, device=device, dtype=dtype)

        def multiply(factors: list = factors, out: torch.Tensor = out) -> None:
            for _ in range(loops):
                torch.mm(*factors, out=out)

        multiply()
        teraflop = 2 * size**3 * loops / 1e12
        samples = [teraflop / seconds(multiply, device) for _ in range(setup.repeats)]
        products.sides[str(dtype)] = Side(samples)
    copies = Measurement(f'Copy of {4 * count / 2**20:.0f} MiB', 'GB/s')
    source, target = (torch.ones(count, device=device) for _ in range(2))

    def copy() -> None:
        for _ in range(loops):
            target.copy_(source)

    copy()
    moved = 2 * 4 * count * loops / 1e9
    copies.sides['copy'] = Side([moved / seconds(copy, device) for _ in range(setup.repeats)])
    return [products, copies]
