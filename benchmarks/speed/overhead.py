# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What the Runner and the hooks of a recipe cost per iteration, beside a bare loop."""

from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from mmengine.logging import HistoryBuffer
from mmengine.model import BaseModel
from mmengine.runner import Runner
from torch import Tensor, nn
from torch.utils.data import Dataset

from benchmarks.speed.clock import now
from benchmarks.speed.figures import Measurement, Ratio, Side
from benchmarks.speed.settings import Settings, without_workers
from benchmarks.speed.steps import ViewsAsTheyAre
from benchmarks.speed.window import WindowHook, run_windows
from nasiam_mm.datasets.replay import endless_batches

HISTORY = 100_000
WARM_UP = 100  # iterations
STEP = 20_000.0  # microseconds of the step that the overhead is a fraction of
BARE, RUNNER, LATE = 'bare loop', 'Runner', f'Runner, {HISTORY:,} iterations of history'
OVERHEAD, LATE_OVERHEAD = 'overhead', f'overhead, {HISTORY:,} iterations of history'
RATIOS = (
    Ratio('overhead / a step of 20 ms', OVERHEAD, STEP, at_most=0.02),
    Ratio('overhead / a step of 20 ms, with history', LATE_OVERHEAD, STEP, at_most=0.02),
    Ratio('overhead with history / without', LATE_OVERHEAD, OVERHEAD),
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


def measure_overhead(settings: Settings) -> Measurement:
    """Time windows of a real run of the SimSiam recipe around an idle model, and of a bare loop.

    The run is the recipe's: its loop, its hooks, logging, its optimizer wrapper
    and scheduler; loader and model are idle. After half of the windows every
    scalar that was logged gets the history of a run of ``HISTORY`` iterations.
    """
    length, windows = settings.iterations, 2 * settings.repeats
    cfg = settings.config('simsiam_r18_baseline_cifar10')
    without_workers(cfg._cfg_dict)
    cfg.model = dict(type=IdleModel)
    cfg.optim_wrapper.pop('paramwise_cfg')
    cfg.train_dataloader = idle_loader(2 * WARM_UP + windows * length)
    read = lambda: now(settings.device)  # noqa: E731
    bare: list[float] = []

    def between(runner: Runner, window: int) -> None:
        bare.append(bare_loop(runner, length, read))
        if window == settings.repeats:
            lengthen_history(runner, HISTORY)

    with TemporaryDirectory() as folder:
        hook = WindowHook(read, WARM_UP, length, windows, between)
        whole = run_windows(cfg, folder, hook)
    early, late = whole[: settings.repeats], whole[settings.repeats :]
    pairs = [w - b for w, b in zip(whole, bare, strict=True)]
    samples = {
        BARE: bare,
        RUNNER: early,
        LATE: late,
        OVERHEAD: pairs[: settings.repeats],
        LATE_OVERHEAD: pairs[settings.repeats :],
    }
    found = Measurement('Runner, per iteration', 'us', ratios=list(RATIOS))
    for name, values in samples.items():
        found.sides[name] = Side([1e6 * value for value in values])
    return found


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
