# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Loaders of recipes on images of one's own: parts that share no image, in memory or read anew."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from nasiam_mm.datasets.source import Source
from nasiam_mm.presets.scale import Scale

_BLURRED = 96  # pixels from which views are blurred, as those of ImageNet are
_MOST_NEIGHBOURS = 200
_PROBED = 256  # images of a batch that is not trained on
ALPHA, WEIGHTS, VAL = 'alpha', 'weights', 'val'  # parts of the training images


@dataclass(frozen=True)
class Loaders:
    """Loaders by part: weights and alpha of a search, both as one of a training, validation.

    Attributes:
        source: What the folder of the images says of itself.
        size: Height and width of a view, pixels.
        scale: Batches, and how many images a part has.
        crops: Size and scale of each view, where a recipe's views are not all alike; or nothing.
    """

    source: Source
    size: int
    scale: Scale
    crops: Sequence[Mapping[str, Any]] = ()

    @cached_property
    def views(self) -> dict[str, Any] | list[dict[str, Any]]:
        """Crop, flip and colour of SimSiam's recipes; blur where images are large."""
        sides = {'data.size': self.size, 'data.half_size': self.size // 2}
        each = [dict(self._view, size=sides[crop['size']], scale=crop['scale'])
                for crop in self.crops]  # fmt: skip
        return each or self._view

    @property
    def _view(self) -> dict[str, Any]:
        views: dict[str, Any] = dict(
            size=self.size,
            scale=(0.2, 1.0),
            flip_prob=0.5,
            jitter=dict(brightness=0.4, contrast=0.4, saturation=0.4, hue=0.1, prob=0.8),
            gray_prob=0.2,
        )
        if self.size >= _BLURRED:
            views |= dict(blur_prob=0.5, blur_sigma=(0.1, 2.0))
        return views

    def training(self, phase: str, part: str = WEIGHTS) -> dict[str, Any]:
        """Return the loader of a part that is trained on; alpha's draws views of its own."""
        common = dict(batch_size=self.scale.batch, num_workers=self.scale.workers, drop_last=True)
        sampler: dict[str, Any] = dict(type='ReplaySampler')
        if part == ALPHA:
            sampler['stream'] = 1
        if self.scale.is_resident:
            return dict(
                **common,
                pin_memory=False,
                collate_fn=dict(type='as_drawn'),
                sampler=sampler,
                dataset=dict(type='ResidentDataset', dataset=self._part(phase, part)),
            )
        decode: dict[str, Any] = dict(type='DecodeCrops', views=self.views)
        if self.crops:
            decode['num_views'] = len(self.crops)
        crops = [decode, dict(type='PackInputs')]
        return dict(
            **common,
            persistent_workers=self.scale.workers > 0,
            collate_fn=dict(type='default_collate'),
            sampler=sampler,
            dataset=dict(
                type='ReplayDataset',
                dataset=self._part(phase, part, squares=False),
                pipeline=crops,
                with_view_seed=True,
            ),
        )

    def probe(self, phase: str) -> dict[str, Any]:
        """Return the probe: kNN and a linear probe with labels, RankMe alone without."""
        is_labelled = bool(self.source.classes)
        held = self.scale.weights * (1 if phase == 'search' else 2)
        more = {} if is_labelled else {'labelled': False}
        return dict(
            bank=self._probed(self._part(phase, WEIGHTS)),
            query=self._probed(self._part(phase, VAL)),
            k=min(_MOST_NEIGHBOURS, max(1, held // 10)),
            temperature=0.1,
            measures=[dict(type='LinearProbe' if is_labelled else 'RankMe')],
            **more,
        )

    def _part(self, phase: str, part: str, squares: bool = True) -> dict[str, Any]:
        """Return the config of a part: cut from the training images, or the folder's own."""
        if part == VAL and not self.scale.val:
            return self._images('val', squares)
        count = self.scale.weights
        # Of one permutation: what a search keeps out, a training keeps out too.
        trained = (
            [(ALPHA, count), (WEIGHTS, count)] if phase == 'search' else [(WEIGHTS, 2 * count)]
        )
        parts = [*trained, (VAL, self.scale.val)] if self.scale.val else trained
        images = self._images('train', squares)
        return dict(type='SplitDataset', dataset=images, parts=parts, part=part, seed=0)

    def _images(self, split: str, squares: bool) -> dict[str, Any]:
        images: dict[str, Any] = dict(type='Images', data_root='data.root', split=split)
        if squares:
            return dict(images, size=self.size, pipeline=[dict(type='PackInputs')])
        return dict(images, pipeline=[])

    def _probed(self, dataset: dict[str, Any]) -> dict[str, Any]:
        return dict(
            batch_size=_PROBED,
            num_workers=self.scale.workers,
            collate_fn=dict(type='default_collate'),
            sampler=dict(type='DefaultSampler', shuffle=False),
            dataset=dataset,
        )
