# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Checkpoints for tests: whole, damaged, and such that would run something."""

import torch
from mmengine.logging import HistoryBuffer


class Payload:
    """Calls a function with arguments when unpickled."""

    def __init__(self, function, *args):
        self.call = function, args

    def __reduce__(self):
        return self.call

    def __call__(self):
        """So that one may stand for the function of another."""


def training_state(iteration, epoch=0, **more):
    history = HistoryBuffer()
    history.update(0.5)
    hub = dict(log_scalars={'train/loss': history}, runtime_info={}, resumed_keys={})
    meta = dict(iter=iteration, epoch=epoch)
    return dict(state_dict={'w': torch.ones(64)}, optimizer={}, message_hub=hub, meta=meta, **more)


def save(folder, name, iteration, epoch=0, **more):
    torch.save(training_state(iteration, epoch, **more), folder / name)
    return folder / name


def cut(path, size=-50):
    path.write_bytes(path.read_bytes()[:size])


def change_a_weight(path):
    """Flip a bit of the tensor, of which neither the archive's end nor the pickle knows."""
    data = bytearray(path.read_bytes())
    place = data.index(torch.ones(64).numpy().tobytes())
    data[place] ^= 1
    path.write_bytes(data)
