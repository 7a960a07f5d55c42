# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Whether a probe's further measures and final images will do, told before anything is trained."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from torch import nn
from torch.utils.data import DataLoader

from nasiam_mm.datasets.split import innermost, shared_images
from nasiam_mm.engine.running import preserve_rng
from nasiam_mm.probes.extract import labels_of
from nasiam_mm.probes.measures import build_measures, require_images
from nasiam_mm.probes.section import Probe, read_probe
from nasiam_mm.probes.views import check_views


def check_probe(
    cfg: Mapping[str, Any],
    loaders: Mapping[str, DataLoader | None],
    preprocessor: nn.Module,
    alpha: str,
) -> None:
    """Check what a config's probe has beside the vote, of loaders that were built.

    Args:
        cfg: The config, its data section resolved.
        loaders: By name, ``'probe.bank'`` and so on; None for one that could not be built, which
            has been told.
        preprocessor: The model's.
        alpha: Name of the loader of the alpha step, if there is one.

    Raises:
        ValueError: As :func:`check_measures` and :meth:`Probe.build_final`, and if alpha is
            decided by final images.
    """
    probe = read_probe(cfg)
    if probe is None or not (probe.measures or probe.final is not None):
        return
    part = 'query' if probe.split == 'val' else 'test'
    built: dict[str, Any] = {part: loaders.get(f'probe.{probe.split}')}
    built['bank'] = loaders.get('probe.bank')
    if probe.final is not None:
        built['final'] = loaders.get('probe.final')
    if any(loader is None for loader in built.values()):
        return
    probe = dataclasses.replace(probe, **built).build_final(seed=0)
    if probe.final is not None and (deciding := loaders.get(alpha)) is not None:
        held = (deciding.dataset, probe.final.dataset)  # type: ignore[union-attr]
        is_one = len({getattr(innermost(part), 'split', None) for part in held}) == 1
        if is_one and (shared := len(shared_images(*held))):
            what = f'{shared} images of probe.final are in {alpha} too, which decides alpha'
            raise ValueError(f"{what}; give probe.final another 'part'")
    check_measures(probe, preprocessor)


def check_measures(probe: Probe, preprocessor: nn.Module) -> None:
    """Try what the measures of a probe ask for on a few of its images, the loaders being built.

    Raises:
        ValueError: If images lack labels that are needed, or the preprocessor makes no views.
    """
    measures = build_measures(probe.measures)
    if not measures:
        return
    loader = probe.loader(probe.split)
    require_images(measures, len(loader.dataset), probe.split)  # type: ignore[union-attr]
    with preserve_rng():
        if probe.labelled:
            batch = loader.collate_fn([loader.dataset[0]])  # type: ignore[union-attr]
            try:
                labels_of(batch.get('data_samples'))
            except ValueError as error:
                needs = [type(measure).__name__ for measure in measures if measure.needs_labels]
                who = f'the measure {needs[0]}' if needs else "the neighbours' vote"
                mend = 'set probe.labelled=False, and no measure that needs labels'
                what = f'{who} needs labels, which the images of probe.query do not have'
                raise ValueError(f'{what}; {mend}') from error
        if needs := [type(measure).__name__ for measure in measures if measure.needs_views]:
            check_views(preprocessor, loader, f'the measure {needs[0]}')
