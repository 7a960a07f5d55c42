"""A framework of your own: alignment and uniformity, with a projector to search."""

from mmpretrain.models import BaseSelfSupervisor
from torch.nn.functional import normalize

from nasiam_mm.models import Searched
from nasiam_mm.models.frameworks import Framework, projector, register_framework
from nasiam_mm.models.losses import in_float32, lift
from nasiam_mm.registry import MODELS


@MODELS.register_module()
class AlignUniform(Searched, BaseSelfSupervisor):
    """Views of an image close, all images spread (Wang & Isola, ICML 2020, sections 4.1, 4.2).

    Spread is measured within a process's own batch. Arguments: ``uniformity``, its weight, and
    those of ``Searched`` and mmpretrain's ``BaseSelfSupervisor``.
    """

    def __init__(self, uniformity=1.0, **kwargs):
        super().__init__(**kwargs)
        self.uniformity = uniformity

    def loss(self, inputs, data_samples, update_state=True):
        """Compute the loss of two views, each (N, 3, H, W); there is no state to update."""
        z1, z2 = (self.neck(self.backbone(view))[0] for view in inputs)
        with in_float32(z1):
            z1, z2 = normalize(lift(z1)), normalize(lift(z2))
            align = (z1 - z2).square().sum(1).mean()
            uniform = (log_potential(z1) + log_potential(z2)) / 2
            return dict(loss=align + self.uniformity * uniform)


def log_potential(z):
    """Log of the mean of ``exp(-2 d^2)`` over pairs of unit vectors, (N, C), d^2 = 2 - 2 cos."""
    count = len(z)
    pairs = (4 * z @ z.T - 4).exp().sum() - count  # less each with itself
    return (pairs / (count * (count - 1))).log()


def example(width):
    """Return a small model of the framework for features of a width."""
    return dict(type='AlignUniform', neck=projector(width, 32))


STANDARD = {'projector': ('linear_bn_relu', 'linear_bn_relu')}
register_framework(Framework('alignuniform', 'AlignUniform', example, STANDARD))
