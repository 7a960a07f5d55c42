# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What a backbone is worth by its nearest neighbours: one way, for hook, tools and tables."""

from torch import nn

from nasiam_mm.evaluation.knn import knn_accuracy
from nasiam_mm.probes.features import FeatureSet, extract_features
from nasiam_mm.probes.section import Probe


def measure(
    model: nn.Module, probe: Probe, split: str = 'val', seed: int | None = None
) -> dict[str, float]:
    """Classify the images of a split by their nearest neighbours in the labelled bank.

    Returns ``knn/{split}_top1`` and, for more than five classes, ``knn/{split}_top5``, in percent.
    ``seed`` is of loaders still to be built. Nothing of the model or the run changes. With several
    processes all have to call this. ValueError if the section or its data do not allow it.
    """
    built = probe.build(split, seed)
    loaders = [built.loader('train'), built.loader(split)]
    bank, query = (extract_features(model, loader) for loader in loaders)
    datasets = [loader.dataset for loader in loaders]  # type: ignore[union-attr]
    num_classes = count_classes(datasets, [bank, query])
    top = knn_accuracy(*query, *bank, num_classes, probe.k, probe.temperature, probe.chunk_size)
    return {f'knn/{split}_{name}': value for name, value in top.items()}


def count_classes(datasets: list, sets: list[FeatureSet]) -> int:
    """Return the number of classes: those that a data set names, or that its labels show."""
    named = [len(getattr(dataset, 'metainfo', {}).get('classes') or ()) for dataset in datasets]
    return max(*named, *(1 + int(found.labels.max()) for found in sets))
