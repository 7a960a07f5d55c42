# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Windows of iterations within whole runs: what the Runner costs, and the seconds of an epoch."""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.logging import HistoryBuffer, MessageHub
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import Dataset

from benchmarks.configs import without_workers
from benchmarks.speed.clock import measure_ceilings, now
from benchmarks.speed.figures import Measurement, Ratio, Side, Spread
from benchmarks.speed.search import Iteration, count_sections
from benchmarks.speed.setup import CIFAR10_IMAGES, Setup
from benchmarks.speed.steps import ViewsAsTheyAre, make_fastest
from nasiam_mm.datasets.replay import endless_batches

HISTORY = 100_000
WARM_UP = 100  # iterations before the first window
STEP = 20_000.0  # microseconds of the step that the overhead is a fraction of
BARE, RUNNER, LATE = 'bare loop', 'Runner', f'Runner, {HISTORY:,} iterations of history'
OVERHEAD, LATE_OVERHEAD = 'overhead', f'overhead, {HISTORY:,} iterations of history'
RATIOS = (
    Ratio('overhead / a step of 20 ms', OVERHEAD, STEP, at_most=0.02),
    Ratio('overhead / a step of 20 ms, with history', LATE_OVERHEAD, STEP, at_most=0.02),
    Ratio('overhead with history / without', LATE_OVERHEAD, OVERHEAD),
)
# Name -> config, and the images whose weight steps make an epoch of it.
RUNS = {
    'pretraining': ('simsiam_r18_baseline_cifar10', CIFAR10_IMAGES),
    'search': ('simsiam_r18_search_cifar10', CIFAR10_IMAGES // 2),
}
EPOCH_WINDOW, EPOCH_WARM_UP = 50, 10


class RunIsMeasured(Exception):
    """Ends a run whose windows are all read."""


class WindowHook(Hook):
    """Times windows of iterations, every other hook's work included.

    Args:
        read: The clock.
        first: Iterations before the first window.
        length: Iterations of a window.
        count: Number of windows.
        between: Called with the runner and the number of the window after each, outside all.

    Attributes:
        seconds: Per iteration, one figure per window.
    """

    # The last of all before an iteration as after it: a window begins and ends here.
    priority = 100

    def __init__(
        self,
        read: Callable[[], float],
        first: int,
        length: int,
        count: int,
        between: Callable[[Runner, int], object] = lambda runner, window: None,
    ) -> None:
        self.read, self.first, self.length, self.count = read, first, length, count
        self.between = between
        self.seconds: list[float] = []

    def after_train_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: dict | None = None,
        outputs: dict | None = None,
    ) -> None:
        """Begin, end, or leave alone."""
        done = runner.iter + 1 - self.first
        if done < 0 or done % self.length:
            return
        if done:
            self.seconds.append((self.read() - self.began) / self.length)
            self.between(runner, len(self.seconds))
        if len(self.seconds) == self.count:
            raise RunIsMeasured
        self.began = self.read()


def run_windows(cfg: Config, work_dir: str, hook: WindowHook) -> list[float]:
    """Run a config to the end of the windows; return seconds per iteration, one per window.

    Raises:
        RuntimeError: If the run ended before.
    """
    MessageHub._instance_dict.clear()
    cfg.work_dir, cfg.log_level = work_dir, 'ERROR'
    cfg.experiment_name = Path(work_dir).name
    runner = Runner.from_cfg(cfg)
    runner.register_hook(hook)
    try:
        runner.train()
    except RunIsMeasured:
        return hook.seconds
    raise RuntimeError(
        f'the run ended after {len(hook.seconds)} of {hook.count} windows; it has '
        f'{runner.max_iters} iterations'
    )


class IdleImages(Dataset):
    """A long data set of nothing, addressed by the keys of ``ReplaySampler``."""

    metainfo: dict = {}

    def __init__(self, length: int) -> None:
        self.length = length

    def full_init(self) -> None:
        """Have nothing to load."""

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, key: Any) -> dict[str, int]:
        return {'inputs': 0}


class IdleModel(BaseModel):
    """Backbone, neck and head of a few weights, whose step costs next to nothing."""

    def __init__(self, data_preprocessor: dict | None = None) -> None:
        super().__init__()
        self.backbone, self.head = nn.Identity(), nn.Identity()
        self.neck = nn.Linear(2, 2)
        self.data_preprocessor = ViewsAsTheyAre()
        self.register_buffer('images', torch.randn(8, 2), persistent=False)

    def forward(
        self, inputs: Any, data_samples: Any = None, mode: str = 'loss'
    ) -> dict[str, Tensor]:
        """Return a loss of the neck's output."""
        return {'loss': self.neck(self.images).square().mean()}


def measure_overhead(setup: Setup) -> list[Measurement]:
    """Time windows of a real run of the SimSiam recipe around an idle model, and of a bare loop.

    The run is the recipe's: its loop, its hooks, logging, its optimizer wrapper
    and scheduler; loader and model are idle. After half of the windows every
    scalar that was logged gets the history of a run of ``HISTORY`` iterations.
    """
    length, windows = setup.iterations, 2 * setup.repeats
    cfg = setup.config('simsiam_r18_baseline_cifar10')
    without_workers(cfg._cfg_dict)
    cfg.model = dict(type=IdleModel)
    cfg.optim_wrapper.pop('paramwise_cfg')
    cfg.train_dataloader = idle_loader(2 * WARM_UP + windows * length)
    read = lambda: now(setup.device)  # noqa: E731
    bare: list[float] = []

    def between(runner: Runner, window: int) -> None:
        bare.append(bare_loop(runner, length, read))
        if window == setup.repeats:
            lengthen_history(runner, HISTORY)

    with TemporaryDirectory() as folder:
        hook = WindowHook(read, WARM_UP, length, windows, between)
        whole = run_windows(cfg, folder, hook)
    early, late = whole[: setup.repeats], whole[setup.repeats :]
    pairs = [w - b for w, b in zip(whole, bare, strict=True)]
    samples = {
        BARE: bare,
        RUNNER: early,
        LATE: late,
        OVERHEAD: pairs[: setup.repeats],
        LATE_OVERHEAD: pairs[setup.repeats :],
    }
    found = Measurement('Runner, per iteration', 'us', ratios=list(RATIOS))
    for name, values in samples.items():
        found.sides[name] = Side([1e6 * value for value in values])
    return [found]


def idle_loader(length: int) -> dict:
    """Config of a loader of ``length`` batches that costs little."""
    return dict(
        batch_size=1,
        num_workers=0,
        collate_fn=dict(type='default_collate'),
        sampler=dict(type='ReplaySampler'),
        dataset=dict(type=IdleImages, length=length),
    )


def bare_loop(runner: Runner, length: int, read: Any) -> float:
    """Return the seconds per iteration of a loop over the same batches and the same step."""
    loader = Runner.build_dataloader(idle_loader(2 * length), seed=0)
    batches = endless_batches(loader)
    next(batches)
    began = read()
    for _ in range(length):
        runner.model.train_step(next(batches), runner.optim_wrapper)
    return (read() - began) / length


def lengthen_history(runner: Runner, length: int) -> None:
    """Give every logged scalar the history of a run of ``length`` iterations."""
    scalars = runner.message_hub.log_scalars
    for name, buffer in list(scalars.items()):
        if isinstance(buffer, HistoryBuffer):
            values, counts = buffer.data
            repeat = -(-length // max(1, len(values)))
            scalars[name] = HistoryBuffer(
                np.tile(values, repeat)[-length:], np.tile(counts, repeat)[-length:]
            )


def measure_epochs(setup: Setup, window: int = EPOCH_WINDOW) -> list[Measurement]:
    """Run pretraining and search as they ship and in bfloat16; extrapolate from windows.

    Everything takes part: loaders with their workers, hooks, logging. An epoch
    is that of CIFAR-10 whatever the number of images at hand. The fraction is
    the time that the FLOPs would take at the measured rate of bfloat16 products
    over the time measured.
    """
    peak = Spread.of(measure_ceilings(setup)[0].sides[str(torch.bfloat16)].samples).median
    times = Measurement('Epoch of a whole run, CIFAR-10', 's/epoch')
    fractions = Measurement('Fraction of the bfloat16 matrix product rate', '%')
    for name, (config, images) in RUNS.items():
        for is_best in (False, True):
            side = f'{name}, {"bf16" if is_best else "as shipped"}'
            cfg = _config(setup, config, is_best)
            with TemporaryDirectory() as folder:
                hook = WindowHook(lambda: now(setup.device), EPOCH_WARM_UP, window, setup.repeats)
                seconds = run_windows(cfg, folder, hook)
            flops = _gflop(setup, config, is_best) * setup.batch_size
            iterations = images // setup.batch_size
            times.sides[side] = Side([s * iterations for s in seconds])
            fractions.sides[side] = Side([100 * flops / 1000 / s / peak for s in seconds])
    return [times, fractions]


def _config(setup: Setup, config: str, is_best: bool) -> Config:
    cfg = setup.config(config)
    if is_best:
        make_fastest(cfg)
    return cfg


def _gflop(setup: Setup, config: str, is_best: bool) -> float:
    """Count the FLOPs of an iteration, 1e9 per image, views left out."""
    with TemporaryDirectory() as folder:
        cfg = _config(setup, config, is_best)
        iteration = Iteration(cfg, setup.device, str(Path(folder, 'count')))
        parts = count_sections(iteration, setup.batch_size)
    return sum(parts.get(part, 0.0) for part in ('alpha', 'weights'))
