# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What a row of the table holds of an epoch: figures on validation images and on test images."""

from collections.abc import Iterator
from typing import Any

from mmengine.runner import Runner
from torch.utils.data import DataLoader

from nasiam_mm.evaluation.linear import fit_linear, linear_accuracy
from nasiam_mm.probes.extract import extract_features
from nasiam_mm.probes.hook import ProbeHook
from nasiam_mm.probes.measures import Found, build_measures, measure_found
from nasiam_mm.probes.views import QueryViews
from nasiam_mm.registry import HOOKS

_L2 = 1e-3  # penalty of the linear probe, that of the measure LinearProbe


@HOOKS.register_module()
class TableProbeHook(ProbeHook):
    """A probe that looks at the test images too, which a table may and a search may not (C10).

    Beside what a probe logs on validation images: ``knn/test_top1``, ``linear/val_top1`` and
    ``linear/test_top1``, percent. The bank's features are made once for all of them.
    """

    _loaders: dict[str, 'KeptBatches']

    def before_train(self, runner: Runner) -> None:
        """Read the section and build the loaders of all three parts."""
        super().before_train(runner)
        assert self.probe is not None
        self._loaders = {
            part: KeptBatches(Runner.build_dataloader(self.probe.loader(part), seed=runner.seed))
            for part in ('train', 'val', 'test')
        }

    def _measure(self, runner: Runner, epochs_done: int) -> None:
        probe = self.probe
        assert probe is not None
        parts = {
            name: extract_features(runner.model, loader, runner.cfg)
            for name, loader in self._loaders.items()
        }
        bank = parts.pop('train')
        classes = 1 + int(bank.labels.max())
        classifier = fit_linear(*bank, classes, _L2)
        views = QueryViews(runner.model, self._loaders['val'], runner.cfg)
        blocks = dict(chunk_size=probe.chunk_size, bank_block=probe.bank_block)
        scalars = {}
        for name, query in parts.items():
            found = Found(bank, query, classes, probe.k, probe.temperature, blocks, views)
            scalars[f'knn/{name}_top1'] = found.knn['top1']
            scalars[f'linear/{name}_top1'] = linear_accuracy(classifier, *query)['top1']
            if name == 'val':
                scalars |= measure_found(build_measures(probe.measures), found)
        self._log(runner, scalars, epochs_done)


class KeptBatches:
    """A loader that is walked once: a table measures the same small images after every epoch."""

    def __init__(self, loader: DataLoader) -> None:
        self._loader = loader
        self._batches: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def __iter__(self) -> Iterator[Any]:
        if not self._batches:
            self._batches = list(self._loader)
        return iter(self._batches)
