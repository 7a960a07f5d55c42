# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""PIRL: a bank with a row of each image, which stands still in the alpha step."""

import logging
from typing import Any

import torch
from mmengine.dist import all_gather, get_rank, get_world_size
from mmengine.logging import print_log
from mmengine.model import BaseModule
from mmpretrain.models.selfsup.base import BaseSelfSupervisor
from torch import Tensor
from torch.nn.functional import normalize, softplus

from nasiam_mm.models.algorithms.momentum import HostNumber
from nasiam_mm.models.algorithms.searched import Searched
from nasiam_mm.models.frameworks import Framework, projector, register_framework
from nasiam_mm.models.losses import in_float32, lift, refuse_numbers
from nasiam_mm.models.seeds import own_stream
from nasiam_mm.registry import MODELS
from nasiam_mm.views.counter_rng import mix64

_NO_NUMBERS = (
    'PIRL: the samples have no numbers, rows of the bank are written in turn; set with_index=True '
    'in the data set and in model.data_preprocessor'
)
_OUT_OF_THE_SUM = -1e4  # a similarity whose exponential is 0 in float32


@MODELS.register_module()
class PIRLHead(BaseModule):
    """PIRL's loss against rows of a bank (PIRL, eq. 3 to 5), in float32.

    Args:
        temperature: Of the similarities.
        weight: lambda, of the transformed view; the image itself has the rest.

    A number that cannot be is a ValueError.
    """

    def __init__(self, temperature: float = 0.07, weight: float = 0.5) -> None:
        super().__init__()
        refuse_numbers('PIRLHead', positive=True, temperature=temperature)
        refuse_numbers('PIRLHead', weight=weight)
        if weight > 1:
            raise ValueError(f'PIRLHead.weight must be at most 1, got {weight!r}')
        self.temperature, self.weight = temperature, weight

    def loss(
        self, image: Tensor, transformed: Tensor, row: Tensor, negatives: Tensor, is_own: Tensor
    ) -> Tensor:
        """Return ``lambda L(m, g(v_t)) + (1 - lambda) L(m, f(v))``, ().

        ``image`` and ``transformed``, normalised, (N, C), are of two views; ``row``, (N, C), is the
        bank's of the image and ``negatives``, (K, C), others of it, but where ``is_own``, (N, K).
        """
        sides = (self.weight, transformed), (1 - self.weight, image)
        parts = [part * self._nce(z, row, negatives, is_own) for part, z in sides]
        return torch.stack(parts).sum()

    def _nce(self, z: Tensor, row: Tensor, negatives: Tensor, is_own: Tensor) -> Tensor:
        positive = (z * row).sum(1) / self.temperature  # N
        others = (z @ negatives.T / self.temperature).masked_fill(is_own, _OUT_OF_THE_SUM)  # NxK
        total = others.logsumexp(1)
        # -log h(m, z) - sum log(1 - h(n, z)), h = e^s / (e^s + sum e^s'), written without e^s.
        apart = softplus(others - total[:, None]).masked_fill(is_own, 0)
        return (softplus(total - positive) + apart.sum(1)).mean()


class _Bank(BaseSelfSupervisor):
    """An algorithm with a bank of projections, random at first, (bank_len, feat_dim)."""

    def __init__(
        self,
        bank_len: int,
        feat_dim: int = 256,
        negatives: int = 4096,
        momentum: float = 0.5,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if min(bank_len, negatives) < 2 or not 0 <= momentum < 1:
            got = f'got {bank_len}, {negatives} and {momentum}'
            told = 'PIRL needs bank_len and negatives of at least 2 and momentum from 0 to below 1'
            raise ValueError(f'{told}, {got}')
        self.negatives, self.momentum = negatives, momentum
        with own_stream('bank'):
            self.register_buffer('bank', normalize(torch.randn(bank_len, feat_dim), dim=1))
        self.register_buffer('steps', torch.zeros(1, dtype=torch.long))


@MODELS.register_module()
class PIRL(Searched, _Bank):
    """PIRL with a searchable projector.

    `Self-Supervised Learning of Pretext-Invariant Representations
    <https://arxiv.org/abs/1912.01991>`_, with a view of MoCo v2's kind for the jigsaw and one
    projector for both views. The bank holds a row of each image that is trained on, begins at
    random and follows the projections of the first view by moving average. The negatives of a step
    are the same for all its images and processes, a function of the number of steps so far.

    Held-out images have no rows: in the alpha step an image's own projection, without gradient,
    stands for its row. Rows come by ``data_samples``, the numbers of the samples, (N,) int64 on the
    host; without them rows are written in turn, the same stands in, and the log says so.

    ``bank_len`` is the number of images that are trained on, ``feat_dim`` C of the projection,
    ``negatives`` K, drawn from the bank in each step, ``momentum`` the part of a new row that is
    the old one. More arguments: ``Searched`` and ``mmpretrain.models.BaseSelfSupervisor``.

    Raises:
        ValueError: If a number is out of its range, or a sample's number beyond the bank.
    """

    num_views = 2
    as_wide = ('feat_dim',)  # the bank holds projections

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._steps, self._has_told = HostNumber(), False

    def loss(self, inputs: list[Tensor], data_samples: Any, update_state: bool = True) -> dict:
        """Contrast two views of each image with rows of the bank as it was before this step.

        ``inputs`` are two views, each (N, 3, H, W), ``data_samples`` see above; ``update_state``
        writes the rows.
        """
        view1, view2 = inputs
        embeddings = [self.neck(self.backbone(view))[0] for view in (view1, view2)]
        # A pass of shapes alone has no number of steps to read.
        is_shape = self.steps.is_meta and not update_state
        steps, count = 0 if is_shape else self._steps.read(self.steps), len(self.bank)
        drawn = torch.arange(self.negatives, device=self.bank.device) + steps * self.negatives
        drawn = (mix64(drawn) >> 1).bitwise_and(2**63 - 1) % count  # K
        has_rows = update_state and isinstance(data_samples, Tensor)
        if update_state and not has_rows and not self._has_told:
            self._has_told = True
            print_log(_NO_NUMBERS, 'current', logging.WARNING)
        with in_float32(embeddings[0]):
            image, transformed = (normalize(lift(z), dim=1) for z in embeddings)
            rows = self._rows(data_samples if has_rows else None, len(image), steps)
            own = self.bank.index_select(0, rows) if has_rows else self._keys(image)
            is_own = (rows[:, None] == drawn) & has_rows
            loss = self.head.loss(image, transformed, own, self.bank.index_select(0, drawn), is_own)
            if update_state:
                self._write(rows, own, image.detach())
                self._steps.write(self.steps, steps + 1)
        return dict(loss=loss)

    def check_images(self, count: int, has_numbers: bool) -> None:
        """Refuse, before a training, images without rows, with a ValueError."""
        if not has_numbers:
            raise ValueError(_NO_NUMBERS)
        if count > len(self.bank):
            told = f'PIRL.bank_len is {len(self.bank)}, but there are {count} images to train on'
            raise ValueError(f'{told}; set model.bank_len={count}')

    def _keys(self, image: Tensor) -> Tensor:
        """Return what stands for the rows of images that have none, (N, C)."""
        return image.detach()

    def _rows(self, numbers: Tensor | None, size: int, steps: int) -> Tensor:
        """Return the rows of a batch's images, (N,), on the device."""
        count = len(self.bank)
        if numbers is None:
            first = (steps * get_world_size() + get_rank()) * size
            return (torch.arange(size, device=self.bank.device) + first) % count
        # On the host, where nothing waits for a device.
        if numbers.device.type == 'cpu' and (last := int(numbers.numpy().max())) >= count:
            raise ValueError(f'PIRL.bank_len is {count}, but there is a sample {last}; enlarge it')
        return numbers.to(self.bank.device, non_blocking=True)

    @torch.no_grad()
    def _write(self, rows: Tensor, own: Tensor, image: Tensor) -> None:
        """Move the rows of all processes' images: ``m = momentum m + (1 - momentum) f(v)``."""
        moved = normalize(self.momentum * own + (1 - self.momentum) * image, dim=1)
        rows, moved = torch.cat(all_gather(rows)), torch.cat(all_gather(moved.contiguous()))
        self.bank.index_copy_(0, rows, moved.to(self.bank))


def _example(width: int) -> dict:
    settings = dict(bank_len=64, feat_dim=32, negatives=16)
    return dict(type='PIRL', neck=projector(width, 32), head=dict(type='PIRLHead'), **settings)


def _fit(model: dict, batch: int, images: int) -> None:
    """Give each image a row."""
    model['bank_len'] = images


# Its paper's head is one linear map, so that the space S does not hold it.
register_framework(Framework('pirl', 'PIRL', _example, fit=_fit))
