# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""mmpretrain's preprocessors, which refuse a mean that is still to be read from the data."""

import mmpretrain.models as mmpretrain_models

from nasiam_mm.datasets.resolve import refuse_unresolved
from nasiam_mm.registry import MODELS


class _Told:
    def __init__(self, mean: object = None, **kwargs) -> None:
        refuse_unresolved(mean)
        super().__init__(mean=mean, **kwargs)  # type: ignore[call-arg]


@MODELS.register_module()
class ClsDataPreprocessor(_Told, mmpretrain_models.ClsDataPreprocessor):
    """See :class:`mmpretrain.models.ClsDataPreprocessor`."""


@MODELS.register_module()
class SelfSupDataPreprocessor(_Told, mmpretrain_models.SelfSupDataPreprocessor):
    """See :class:`mmpretrain.models.SelfSupDataPreprocessor`."""
