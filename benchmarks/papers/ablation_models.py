# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Variants of SimSiam for its ablations ("Exploring Simple Siamese Representation Learning").

Chen & He, CVPR 2021; sections in the docstrings are that paper's. D is the negative cosine of its
eq. 1. Shapes: N images, C width of projection and prediction.
"""

import copy
from collections.abc import Sequence

import torch
from mmengine.dist import all_gather
from mmengine.model import BaseModule
from mmpretrain.models import SimSiam
from mmpretrain.structures import DataSample
from torch import Tensor, nn
from torch.nn.functional import log_softmax, normalize

from nasiam_mm.registry import MODELS


@MODELS.register_module()
class AblationHead(BaseModule):
    """mmpretrain's ``LatentPredictHead``, of which each part can be left out (4.1, 4.2).

    Args:
        loss: Config of the loss of prediction and target.
        predictor: Config of the predictor h; None for none.
        stop_gradient: Whether the target counts as a constant.
        train_predictor: Whether h learns; otherwise it keeps its random values.
        init_cfg: See ``mmengine.model.BaseModule``.
    """

    def __init__(
        self,
        loss: dict,
        predictor: dict | None = None,
        stop_gradient: bool = True,
        train_predictor: bool = True,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.loss_module = MODELS.build(loss)
        self.predictor = None if predictor is None else MODELS.build(predictor)
        self.stop_gradient = stop_gradient
        if self.predictor is not None:
            self.predictor.requires_grad_(train_predictor)

    def loss(self, z: Tensor, target: Tensor) -> Tensor:
        """Compare the prediction from z, (N, C), with the target, (N, C)."""
        prediction = z if self.predictor is None else self.predictor([z])[0]
        return self.loss_module(prediction, target.detach() if self.stop_gradient else target)


@MODELS.register_module()
class SoftmaxSimilarityLoss(nn.Module):
    """Cross-entropy in place of the cosine (4.5).

    ``D(p, z) = -softmax(z) . log softmax(p)``, the softmax along the channels.
    """

    def forward(self, prediction: Tensor, target: Tensor) -> Tensor:
        """Average over (N, C) predictions and targets to a scalar."""
        return -(target.softmax(1) * log_softmax(prediction, dim=1)).sum(1).mean()


@MODELS.register_module()
class AblationMLP(BaseModule):
    """Projector or predictor with BatchNorm where asked (4.4).

    Args:
        in_channels: Width of the input.
        hid_channels: Width of the hidden layer.
        out_channels: Width of the output, C.
        hidden_bn: Whether BatchNorm follows the hidden layer.
        output_bn: Whether BatchNorm follows the output layer.
        output_affine: Whether the latter has an affine map.
        with_avg_pool: Whether the input is a map (N, C_in, H, W) to average.
        init_cfg: See ``mmengine.model.BaseModule``.
    """

    def __init__(
        self,
        in_channels: int,
        hid_channels: int,
        out_channels: int,
        hidden_bn: bool = True,
        output_bn: bool = True,
        output_affine: bool = True,
        with_avg_pool: bool = True,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(init_cfg)
        self.with_avg_pool = with_avg_pool
        # BatchNorm's own shift stands in for the bias.
        layers: list[nn.Module] = [nn.Linear(in_channels, hid_channels, bias=not hidden_bn)]
        if hidden_bn:
            layers.append(nn.BatchNorm1d(hid_channels))
        layers += [nn.ReLU(inplace=True), nn.Linear(hid_channels, out_channels, not output_bn)]
        if output_bn:
            layers.append(nn.BatchNorm1d(out_channels, affine=output_affine))
        self.layers = nn.Sequential(*layers)

    def forward(self, x: Sequence[Tensor]) -> tuple[Tensor]:
        """Map the last of the inputs to a tuple of (N, C)."""
        features = x[-1].mean((2, 3)) if self.with_avg_pool else x[-1]
        return (self.layers(features),)


@MODELS.register_module()
class AsymmetricSimSiam(SimSiam):
    """SimSiam whose second view is a target only (4.6).

    With four views, two pairs of each image make up for the half of the loss
    that is missing ("asymmetric, 2x"): ``(D(p1, z2) + D(p3, z4)) / 2``.
    """

    def loss(
        self, inputs: list[Tensor], data_samples: list[DataSample] | None, **kwargs
    ) -> dict[str, Tensor]:
        """Average ``D(p, stopgrad(z))`` over the pairs of views, each view (N, 3, H, W)."""
        losses = []
        for view, other in zip(inputs[::2], inputs[1::2], strict=True):
            z = self.neck(self.backbone(view))[0]
            with torch.no_grad():
                target = self.neck(self.backbone(other))[0]
            losses.append(self.head.loss(z, target))
        return dict(loss=sum(losses) / len(losses))


@MODELS.register_module()
class AlternatingSimSiam(SimSiam):
    """SimSiam that steps several times between two updates of its targets (5.2).

    The targets of the k inner steps come from the encoder as it stood before
    the first of them: the paper caches them, here a copy of that encoder makes
    them, which needs no memory per image. One step is SimSiam.

    Args:
        steps: Number k of inner steps.
        **kwargs: See ``mmpretrain.models.SimSiam``.
    """

    def __init__(self, steps: int, **kwargs) -> None:
        super().__init__(**kwargs)
        if steps < 1:
            raise ValueError(f'AlternatingSimSiam.steps must be at least 1, got {steps}')
        self.steps = steps
        self.target = copy.deepcopy(nn.Sequential(self.backbone, self.neck)).requires_grad_(False)
        self.register_buffer('step', torch.zeros((), dtype=torch.long))

    def loss(
        self, inputs: list[Tensor], data_samples: list[DataSample] | None, **kwargs
    ) -> dict[str, Tensor]:
        """Compute eq. 2 for two views, each (N, 3, H, W), with targets of the copy."""
        with torch.no_grad():
            if self.step % self.steps == 0:
                online = nn.Sequential(self.backbone, self.neck)
                self.target.load_state_dict(online.state_dict())
            self.step += 1
            targets = [self.target(view)[0] for view in inputs]
        first, second = (self.neck(self.backbone(view))[0] for view in inputs)
        losses = self.head.loss(first, targets[1]), self.head.loss(second, targets[0])
        return dict(loss=0.5 * sum(losses))


@MODELS.register_module()
class MovingAverageSimSiam(SimSiam):
    """SimSiam whose targets are moving averages per image, which replace the predictor (5.3).

    ``eta_x <- m eta_x + (1 - m) z``, z the L2-normalised projection of a view
    of image x. The target of one view is the average updated by the other;
    kept is the average updated by the mean of both. The first time an image is
    seen its average is z.

    Args:
        num_samples: Number of images in the data set, by whose
            ``sample_idx`` the averages are kept.
        channels: Width C of the projection.
        average_momentum: m; the paper's 0.8.
        **kwargs: See ``mmpretrain.models.SimSiam``.
    """

    def __init__(
        self, num_samples: int, channels: int, average_momentum: float = 0.8, **kwargs
    ) -> None:
        super().__init__(**kwargs)
        self.average_momentum = average_momentum
        self.register_buffer('average', torch.zeros(num_samples, channels))
        self.register_buffer('seen', torch.zeros(num_samples, dtype=torch.bool))

    def loss(
        self, inputs: list[Tensor], data_samples: list[DataSample], **kwargs
    ) -> dict[str, Tensor]:
        """Compute eq. 2 for two views, each (N, 3, H, W), with averaged targets."""
        first, second = (self.neck(self.backbone(view))[0] for view in inputs)
        index = torch.tensor([s.sample_idx for s in data_samples], device=first.device)
        with torch.no_grad():
            z = [normalize(view.float(), dim=1) for view in (first, second)]
            old = torch.where(self.seen[index, None], self.average[index], sum(z) / 2)
            m = self.average_momentum
            targets = [m * old + (1 - m) * view for view in z]
            # Several processes keep the same averages.
            everywhere = torch.cat(all_gather(index))
            self.average[everywhere] = torch.cat(all_gather(sum(targets) / 2))
            self.seen[everywhere] = True
        losses = self.head.loss(first, targets[1]), self.head.loss(second, targets[0])
        return dict(loss=0.5 * sum(losses))
