# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Measures of a backbone by several views of each image: LiDAR, alignment, contrast.

Their views are those of :class:`QueryViews`, which several measures of one run share: what they
cost together is the forward passes of the one that asks for most. Each takes ``images`` of the
query, or all where there are fewer.
"""

from torch.nn.functional import softplus

from nasiam_mm.evaluation.contrast import alignment, contrast, is_on_a_line
from nasiam_mm.evaluation.reference import reference_head
from nasiam_mm.evaluation.spectrum import lidar
from nasiam_mm.probes.measures import MEASURES, Found, Measure

_WORST_ALIGNMENT = 4.0  # squared distance of two ends of a diameter


@MEASURES.register_module()
class LiDAR(Measure):
    """LiDAR of the query's images, in directions: see :func:`lidar`.

    0 or about 1 for what has collapsed. ``images * per_image`` forward passes, or as many more as
    make whole sets of the preprocessor's views; 2 n q D^2 + n D min(n, D) operations and a matrix
    of side D by its eigenvectors.

    Args:
        images: Images, n; more than D, or they bound the rank.
        per_image: Views of each, q.
        delta: Added to the diagonal of the covariance within images.
    """

    name, needs_views = 'lidar', True

    def __init__(self, images: int = 1000, per_image: int = 10, delta: float = 1e-4) -> None:
        self._require_count('images', images, 2)
        self._require_count('per_image', per_image, 2)
        self._require_positive('delta', delta)
        self.images, self.per_image, self.delta = images, per_image, delta

    def value(self, found: Found) -> float:
        """Return the number of directions."""
        return lidar(found.views(self.images, self.per_image), self.delta).item()


@MEASURES.register_module()
class Alignment(Measure):
    """Mean squared distance of two views of an image: see :func:`alignment`. Lower is better.

    Alone it is least where a backbone tells nothing apart; read it beside :class:`Uniformity`.
    Where all views lie on one line, to float32's rounding, the value is therefore 4, the largest.
    Two forward passes an image; 2 n D min(2 n, D) operations.

    Args:
        images: Images.
    """

    name, needs_views = 'alignment', True

    def __init__(self, images: int = 1000) -> None:
        self._require_count('images', images, 2)
        self.images = images

    def value(self, found: Found) -> float:
        """Return the mean."""
        views = found.views(self.images, 2)
        if is_on_a_line(views.flatten(0, 1)):
            return _WORST_ALIGNMENT
        return alignment(views[:, 0], views[:, 1]).item()

    def score(self, value: float) -> float:
        """Return minus the value."""
        return -value


@MEASURES.register_module()
class Contrast(Measure):
    """InfoNCE of two views of held-out images, in nats: see :func:`contrast`. Lower is better.

    Taken in the space of :func:`reference_head`, the same for every backbone of a width and
    independent of the head that it was trained with or that is searched. log n, of n images, is
    chance, above which a backbone that mistakes images for others can be. Where z of all views lies
    on one line, to float32's rounding, the value is therefore the largest that there can be,
    ``log(1 + (n - 1) exp(2 / temperature))``. Two forward passes an image; 4 n D width + 4 n^2
    width operations.

    Args:
        images: Images, n; figures compare at equal n.
        temperature: Of the softmax.
        width: Of the reference head, at most D.
        seed: Of the reference head, which no other seed decides.
    """

    name, needs_views = 'contrast', True

    def __init__(
        self, images: int = 1000, temperature: float = 0.2, width: int = 128, seed: int = 0
    ) -> None:
        self._require_count('images', images, 2)
        self._require_positive('temperature', temperature)
        self._require_count('width', width, 1)
        self._require_count('seed', seed, 0)
        self.images, self.temperature, self.width, self.seed = images, temperature, width, seed

    def value(self, found: Found) -> float:
        """Return the loss."""
        views = found.views(self.images, 2)
        z = reference_head(views.flatten(0, 1), self.width, self.seed)
        if is_on_a_line(z):
            others = views.new_tensor(len(views) - 1).double().log() + 2 / self.temperature
            return softplus(others).item()
        z = z.view(*views.shape[:2], -1)
        return contrast(z[:, 0], z[:, 1], self.temperature).item()

    def score(self, value: float) -> float:
        """Return minus the value."""
        return -value
