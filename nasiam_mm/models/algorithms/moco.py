# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""MoCo whose key encoder and queue stand still in the alpha step."""

from typing import Any

import torch
from mmengine.dist import all_gather, get_world_size
from mmpretrain.models import MoCo as _MoCo
from mmpretrain.models.utils import batch_shuffle_ddp, batch_unshuffle_ddp
from torch import Tensor, nn
from torch.nn.functional import normalize
from torch.nn.modules.batchnorm import _BatchNorm

from nasiam_mm.models.algorithms.momentum import HostNumber, update_average
from nasiam_mm.models.algorithms.searched import Searched
from nasiam_mm.models.frameworks import Framework, projector, register_framework
from nasiam_mm.models.losses import in_float32, lift
from nasiam_mm.registry import MODELS


@MODELS.register_module()
class MoCo(Searched, _MoCo):
    """mmpretrain's MoCo with a searchable head and a symmetric loss to choose.

    `Momentum Contrast <https://arxiv.org/abs/1911.05722>`_ with the head of
    `MoCo v2 <https://arxiv.org/abs/2003.04297>`_. The key encoder has its own copy of the head; it
    mixes with the online alpha of the moment, its weights follow by moving average.

    With ``symmetric`` both views serve as query and as key: the two losses add and the keys of view
    1 enter the queue before those of view 2. More arguments: ``Searched``,
    ``mmpretrain.models.MoCo``.
    """

    num_views = 2
    compilable = (*Searched.compilable, 'encoder_k.module.0', 'encoder_k.module.1')
    as_wide = ('feat_dim',)  # its queue holds projections

    def __init__(self, symmetric: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.symmetric = symmetric
        self._steps, self._pointer = HostNumber(), HostNumber()

    def loss(self, inputs: list[Tensor], data_samples: Any, update_state: bool = True) -> dict:
        """Compute the contrastive loss of queries against keys and queue (MoCo, eq. 1).

        ``inputs`` are two views, each (N, 3, H, W); ``update_state`` moves the key encoder and
        fills the queue. ValueError if the queue does not hold a whole number of batches.
        """
        keys_per_step = inputs[0].shape[0] * get_world_size() * (1 + self.symmetric)
        if self.queue_len % keys_per_step:
            step = f'{keys_per_step} keys of a step (batch size x processes, twice if symmetric)'
            raise ValueError(f'queue_len {self.queue_len} must be a multiple of the {step}')
        view1, view2 = inputs
        if update_state:
            update_average(*self.momentum_pairs()[0], self._steps)
        # The loss sees the queue as it was before this step.
        queue = self.queue.clone()
        keys = [self._keys(view2)]
        loss = self._contrast(view1, keys[0], queue)
        if self.symmetric:
            keys.insert(0, self._keys(view1))
            loss = loss + self._contrast(view2, keys[0], queue)
        if update_state:
            for k in keys:
                self._dequeue_and_enqueue(k)
        return dict(loss=loss)

    @torch.no_grad()
    def _keys(self, view: Tensor) -> Tensor:
        """Encode and normalise keys, (N, C); MoCo, section 3.3 shuffles them over processes."""
        if not self._normalises_per_process():
            return normalize(lift(self.encoder_k(view)[0]), dim=1)
        # Drawn from the step, not from the generator, a resumed run shuffles as it would have.
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self._steps.read(self.encoder_k.steps))
            view, order = batch_shuffle_ddp(view)
        return batch_unshuffle_ddp(normalize(lift(self.encoder_k(view)[0]), dim=1), order)

    @torch.no_grad()
    def _dequeue_and_enqueue(self, keys: Tensor) -> None:
        """Put the keys of all processes, (N, C) each, in place of the oldest of the queue."""
        keys = torch.cat(all_gather(keys))
        start = self._pointer.read(self.queue_ptr)
        self.queue[:, start : start + len(keys)] = keys.T
        self._pointer.write(self.queue_ptr, (start + len(keys)) % self.queue_len)

    def _normalises_per_process(self) -> bool:
        norms = [m for m in self.encoder_k.modules() if isinstance(m, _BatchNorm)]
        return get_world_size() > 1 and any(not isinstance(m, nn.SyncBatchNorm) for m in norms)

    def _contrast(self, view: Tensor, keys: Tensor, queue: Tensor) -> Tensor:
        embedding = self.neck(self.backbone(view))[0]
        with in_float32(embedding):
            queries = normalize(lift(embedding), dim=1)  # NxC
            positive = (queries * keys).sum(1, keepdim=True)  # Nx1
            return self.head.loss(positive, queries @ queue)  # NxK negatives


def _example(width: int) -> dict:
    head = dict(type='ContrastiveHead', loss=dict(type='CrossEntropyLoss'), temperature=0.1)
    settings = dict(symmetric=True, queue_len=256, feat_dim=32, momentum=0.01)
    return dict(type='MoCo', neck=projector(width, 32), head=head, **settings)


def _fit(model: dict, batch: int, images: int) -> None:
    """Let the queue hold whole steps, of two keys an image where the loss is symmetric."""
    step = batch * 2
    model['queue_len'] = step * max(1, min(model['queue_len'], 8 * images) // step)


# Its paper's head has no BatchNorm, so that the space S does not hold it.
register_framework(Framework('mocov2', 'MoCo', _example, fit=_fit, title='MoCo v2'))
