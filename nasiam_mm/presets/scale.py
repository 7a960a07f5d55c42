# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""How long and by which batches to train, from images, backbone and machine."""

import os
from dataclasses import dataclass

import torch

from nasiam_mm.engine.optim import computes_bfloat16
from nasiam_mm.presets.asked import SIZES, check_size
from nasiam_mm.presets.backbone import Backbone

_MOST_BATCH = {'cpu': 128, 'cuda': 512}
# Operations a second of a training, floating point, low: of one core, and of one GPU.
_SPEED = {'cpu': 4e10, 'cuda': 2e13}
_MINUTES = {'cpu': (10.0, 10.0), 'cuda': (60.0, 240.0)}  # of a search, of a pretraining
# Fewest and most epochs: the most on a GPU are the papers'.
_SEARCH = {'cpu': (5, 50), 'cuda': (10, 100)}
_TRAINING = {'cpu': (5, 200), 'cuda': (20, 800)}
_RESIDENT = {'cpu': 1.0, 'cuda': 4.0}  # GiB that squares of all images may take in memory
_STEP = 3  # forward passes that one view costs, as backwards is twice forwards
_MOST_VAL = 5000


@dataclass(frozen=True)
class Machine:
    """What trains.

    Attributes:
        kind: ``'cpu'`` or ``'cuda'``.
        gib: Memory of the GPU, or of the machine, GiB.
        cores: Of the CPU, that this process may use.
        bfloat16: Whether it computes in bfloat16.
    """

    kind: str
    gib: float
    cores: int
    bfloat16: bool


def this_machine() -> Machine:
    """Describe the machine that this runs on: its first GPU, or its CPU."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count()
    if torch.cuda.is_available():
        gib = torch.cuda.get_device_properties(0).total_memory / 2**30
        is_quick = torch.cuda.is_bf16_supported(including_emulation=False)
        return Machine('cuda', gib, cores or 1, is_quick)
    gib = os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 2**30
    return Machine('cpu', gib, cores or 1, computes_bfloat16())


@dataclass(frozen=True)
class Scale:
    """What was chosen.

    Attributes:
        batch: Images of a step.
        search_epochs: Of a search.
        epochs: Of a pretraining.
        weights: Training images that the weights of a search learn from; as many are alpha's.
        val: Training images that are kept out of every run; 0 where there is a part for that.
        is_resident: Whether squares of all images lie in memory, rather than being read each time.
        workers: Processes that read, where images are read each time.
        minutes: That a search and a pretraining take, about.
    """

    batch: int
    search_epochs: int
    epochs: int
    weights: int
    val: int
    is_resident: bool
    workers: int
    minutes: tuple[float, float]


def fit_size(found: int, machine: Machine, asked: int | None = None) -> int:
    """Return the side of the views in pixels: as asked, or what images and machine allow.

    Without ``asked`` the largest of :data:`SIZES` that the images have, on a CPU at most 64.

    Raises:
        ValueError: If what is asked for is not from 32 to 224.
    """
    check_size(asked)
    if asked is not None:
        return asked
    most = 64 if machine.kind == 'cpu' else SIZES[-1]
    return max((size for size in SIZES if size <= min(found, most)), default=SIZES[0])


def choose_scale(
    images: int,
    size: int,
    backbone: Backbone,
    machine: Machine,
    has_val: bool = False,
    views: float = 2.0,
) -> Scale:
    """Choose lengths and batches.

    The batch is the largest power of two that the memory and half a part of the images hold, at
    most 128 on a CPU and 512 on a GPU; epochs are what ten minutes of a CPU or some hours of a GPU
    are enough for, within limits.

    Args:
        images: Of the training part.
        size: Height and width of a view, pixels.
        backbone: What is trained.
        machine: What trains.
        has_val: Whether the data have a validation part of their own.
        views: Of each image, as many whole ones.
    """
    kind = machine.kind
    val = 0 if has_val else min(_MOST_VAL, max(1, min(2, images - 4), images // 7))
    weights = (images - val) // 2
    # Outputs and their gradients of all views, float32.
    memory = machine.gib * 2**30 * (0.5 if kind == 'cuda' else 0.25)
    held = int(memory / (backbone.numbers * views * 2 * 4 + 1))
    batch = _power_of_two(min(_MOST_BATCH[kind], held, weights // 2))
    speed = _SPEED[kind] * (min(machine.cores, 16) if kind == 'cpu' else 1)
    seconds = backbone.flops * _STEP * views / speed
    budgets = [60 * minutes for minutes in _MINUTES[kind]]
    search = _within(budgets[0] / (weights * seconds * 4 / 3), _SEARCH[kind])
    epochs = _within(budgets[1] / (2 * weights * seconds), _TRAINING[kind])
    spent = search * weights * seconds * 4 / 3 / 60, epochs * 2 * weights * seconds / 60
    is_resident = images * size**2 * 3 <= _RESIDENT[kind] * 2**30
    workers = 0 if is_resident else min(8, max(1, machine.cores - 1))
    return Scale(batch, search, epochs, weights, val, is_resident, workers, spent)


def _within(value: float, limits: tuple[int, int]) -> int:
    return int(min(max(round(value), limits[0]), limits[1]))


def _power_of_two(most: int) -> int:
    """Return the largest power of two up to a number, at least 2."""
    return max(2, 1 << (max(most, 1).bit_length() - 1))
