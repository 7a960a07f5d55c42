# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""MoCo v3: a predictor, keys of the batch alone, a momentum encoder still in the alpha step."""

from typing import Any

import torch
from mmengine.dist import all_gather, get_rank
from mmpretrain.models import MoCoV3 as _MoCoV3
from mmpretrain.models import MoCoV3Head as _MoCoV3Head
from torch import Tensor
from torch.nn.functional import normalize

from nasiam_mm.models.algorithms.momentum import HostNumber, update_average
from nasiam_mm.models.algorithms.searched import Searched
from nasiam_mm.models.frameworks import Framework, projector, register_framework
from nasiam_mm.models.losses import in_float32, lift, refuse_numbers
from nasiam_mm.registry import MODELS


@MODELS.register_module()
class MoCoV3Head(_MoCoV3Head):
    """mmpretrain's head of MoCo v3, its loss in float32 and times 2T (MoCo v3, algorithm 1).

    The factor follows the temperature, which may be a choice; mmpretrain's recipes write it into
    ``loss.loss_weight``, which is refused here with a ValueError.

    Args:
        predictor: Config of the predictor.
        loss: Config of the cross-entropy.
        temperature: T.
    """

    def __init__(self, predictor: dict, loss: dict, temperature: float = 1.0) -> None:
        refuse_numbers('MoCoV3Head', positive=True, temperature=temperature)
        super().__init__(predictor, loss, temperature)
        if (weight := getattr(self.loss_module, 'loss_weight', 1.0)) != 1.0:
            told = f'MoCoV3Head.loss.loss_weight is {weight:g}, but the head has the factor 2T'
            raise ValueError(f'{told} already; take it away')

    def loss(self, base_out: Tensor, momentum_out: Tensor) -> Tensor:
        """Contrast predictions of z, (N, C), with keys, (N, C), of all processes.

        Keys carry no gradient, so that processes, whose gradients are averaged, step as one with
        the joint batch. ValueError for a single image.
        """
        prediction = self.predictor([base_out])[0]
        with in_float32(prediction):
            queries = normalize(lift(prediction), dim=1)  # NxC
            keys = normalize(lift(momentum_out.detach()), dim=1).contiguous()
            keys = torch.cat(all_gather(keys))  # MxC
            if len(keys) < 2:
                raise ValueError('MoCo v3 needs two images: a single one has no negatives')
            count = len(queries)
            own = torch.arange(count, device=queries.device) + count * get_rank()
            logits = queries @ keys.T / self.temperature  # NxM
            return 2 * self.temperature * self.loss_module(logits, own)


@MODELS.register_module()
class MoCoV3(Searched, _MoCoV3):
    """mmpretrain's MoCo v3 with searchable heads.

    `An Empirical Study of Training Self-Supervised Vision Transformers
    <https://arxiv.org/abs/2104.02057>`_. The momentum encoder, of backbone and projector, mixes
    with the online alpha of the moment; its weights follow by moving average, with the momentum
    schedule counting weight steps alone. Arguments: ``Searched``, ``mmpretrain.models.MoCoV3``.
    """

    num_views = 2
    _copies = ('momentum_encoder.module.0', 'momentum_encoder.module.1')
    compilable = (*Searched.compilable, 'head.predictor', *_copies)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._steps = HostNumber()

    @property
    def is_least_in_collapse(self) -> bool:
        """No: where z is one point all keys are alike."""
        return False

    def loss(self, inputs: list[Tensor], data_samples: Any, update_state: bool = True) -> dict:
        """Compute ``ctr(q1, k2) + ctr(q2, k1)`` (MoCo v3, algorithm 1).

        ``inputs`` are two views, each (N, 3, H, W); ``update_state`` moves the momentum encoder
        before it gives keys.
        """
        view1, view2 = inputs
        projection1 = self.neck(self.backbone(view1))[0]  # NxC
        projection2 = self.neck(self.backbone(view2))[0]  # NxC
        with torch.no_grad():
            if update_state:
                update_average(*self.momentum_pairs()[0], self._steps)
            key1 = self.momentum_encoder(view1)[0]  # NxC
            key2 = self.momentum_encoder(view2)[0]  # NxC
        return dict(loss=self.head.loss(projection1, key2) + self.head.loss(projection2, key1))


def _example(width: int) -> dict:
    neck = projector(width, 32, with_last_bn=True, with_last_bn_affine=False)
    predictor = dict(type='HeadMLP', name='predictor', in_channels=32, hidden_channels=64, depth=2)
    behind = dict(out_channels=32, with_last_bias=False, with_avg_pool=False)
    head = dict(type='MoCoV3Head', temperature=0.2, loss=dict(type='CrossEntropyLoss'))
    head['predictor'] = {**predictor, **behind}
    return dict(type='MoCoV3', base_momentum=0.01, neck=neck, head=head)


# Of a ResNet; that of a ViT has a projector of one layer more, BatchNorm behind the predictor.
_STANDARD = {'projector': ('linear_bn_relu',), 'predictor': ('linear_bn_relu',)}
register_framework(Framework('mocov3', 'MoCoV3', _example, _STANDARD, title='MoCo v3'))
