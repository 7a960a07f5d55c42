# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Features of views of held-out images, the same for all runs that are compared."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from mmengine.dist import get_dist_info
from torch import Tensor, nn
from torch.utils.data import DataLoader

from nasiam_mm.datasets.replay import view_seeds
from nasiam_mm.engine.optim import as_trained
from nasiam_mm.engine.running import preserve_rng, unwrap
from nasiam_mm.probes.extract import as_saved, gather, pooled

_SEED = 20260101  # of the order of the images and of their views; no setting, so that all compare
_TRIED = 3  # images that a preprocessor is tried on, a number of views that none makes of them


class QueryViews:
    """Features of the backbone for views of a loader's images, each made once, when asked for.

    The model's own data preprocessor makes the views as in training, from seeds that are a
    function of the image's place in the loader's data set alone: they are the same for every head,
    seed and epoch of a run. Images come in one fixed random order, so that fewer of them are a part
    of more. Features are made as :func:`extract_features` makes them, in batches that do not
    depend on how many are asked for; modes, buffers and random number generators are afterwards as
    they were. Of several processes, which all have to ask, each makes every W-th of a batch.
    """

    def __init__(self, model: nn.Module, loader: DataLoader, cfg: Mapping[str, Any] = {}) -> None:
        self.model, self.loader, self.cfg = unwrap(model), loader, cfg
        count, size = len(loader.dataset), loader.batch_size or 256
        order = np.random.Generator(np.random.PCG64(_SEED)).permutation(count)
        self._count = count
        self._batches = np.split(order, range(size, count, size))
        self._made: list[list[Tensor]] = [[] for _ in self._batches]  # (b, V, D) of each round

    def __call__(self, images: int, per_image: int) -> Tensor:
        """Give features, (n, q, D), float32, n at most ``images``, on the model's device."""
        images = min(images, self._count)
        needed = -(-images // len(self._batches[0]))
        self._make([n for n in range(needed) if self._views_of(n) < per_image], per_image)
        features = [torch.cat(self._made[n], 1)[:, :per_image] for n in range(needed)]
        return torch.cat(features)[:images].to(next(self.model.parameters()).device)

    def _views_of(self, batch: int) -> int:
        return sum(made.size(1) for made in self._made[batch])

    def _make(self, batches: list[int], per_image: int) -> None:
        """Make features of some batches until there are as many views an image."""
        rank, world = get_dist_info()
        # A rank with no image of a short batch makes one that is left out.
        own = [self._batches[n][rank::world] for n in batches]
        own = [
            rows if len(rows) else self._batches[n][:1]
            for n, rows in zip(batches, own, strict=True)
        ]
        loader = DataLoader(
            self.loader.dataset,
            batch_sampler=[rows.tolist() for rows in own],
            num_workers=self.loader.num_workers,
            collate_fn=self.loader.collate_fn,
            generator=torch.Generator(),
        )
        with preserve_rng(), torch.no_grad(), as_saved(self.model), as_trained(self.cfg):
            for n, rows, batch in zip(batches, own, loader, strict=True):
                while self._views_of(n) < per_image:
                    views = make_views(
                        self.model.data_preprocessor, batch, rows, len(self._made[n])
                    )
                    features = [pooled(self.model.extract_feat(view)).cpu() for view in views]
                    made = gather(torch.stack(features, 1), len(self._batches[n]))
                    self._made[n].append(made)


def make_views(
    preprocessor: nn.Module, batch: Mapping[str, Any], rows: np.ndarray, number: int
) -> list[Tensor]:
    """Make a set of views of collated images, their rows in the data set given, (n, 3, S, S) each.

    ``number`` counts the sets, each of as many views as the preprocessor makes at once.
    """
    seeds = torch.from_numpy(np.atleast_1d(view_seeds(_SEED, number, rows.astype(np.int64))))
    return preprocessor({'inputs': batch['inputs'], 'view_seed': seeds}, True)['inputs']


def check_views(preprocessor: nn.Module, loader: DataLoader, who: str) -> None:
    """Raise ValueError unless a preprocessor makes at least two views of a loader's images."""
    rows = np.arange(_TRIED) % len(loader.dataset)
    batch = loader.collate_fn([loader.dataset[row] for row in rows.tolist()])
    kind = type(preprocessor).__name__
    mend = "set model.data_preprocessor.type='TwoViewPreprocessor', or take it out"
    refusal = f'{who} needs views, which {kind} does not make of the images of probe.query'
    try:
        views = make_views(preprocessor, batch, rows, 0)
    except (ValueError, TypeError, KeyError, AttributeError, AssertionError, RuntimeError) as error:
        raise ValueError(f'{refusal} ({error}); {mend}') from error
    is_list = isinstance(views, (list, tuple)) and len(views) >= 2
    if not is_list or any(len(view) != _TRIED or view.ndim != 4 for view in views):
        raise ValueError(f'{refusal}; {mend}')
