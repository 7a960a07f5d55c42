# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The probe of the config while a network trains."""

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from nasiam_mm.engine.running import preserve_rng
from nasiam_mm.probes.feature_sets import measure
from nasiam_mm.probes.section import Probe, read_probe
from nasiam_mm.registry import HOOKS


@HOOKS.register_module()
class ProbeHook(Hook):
    """Log what the config's ``probe`` section measures, if any; the run ends as one without."""

    probe: Probe | None = None

    def before_train(self, runner: Runner) -> None:
        """Read the section, build its loaders, and measure the untrained backbone."""
        if (probe := read_probe(runner.cfg)) is not None:
            with preserve_rng():
                self.probe = probe.build(probe.split, runner.seed)
            if probe.at_start and runner.iter == 0:
                self._measure(runner, epochs_done=0)

    def after_train_epoch(self, runner: Runner) -> None:
        """Measure every ``interval`` epochs and after the last one."""
        if self.probe is not None and (
            self.every_n_epochs(runner, self.probe.interval) or self.is_last_train_epoch(runner)
        ):
            self._measure(runner, epochs_done=runner.epoch + 1)

    def dataloaders(self) -> list[DataLoader]:
        """Return the loaders that are walked while training, the bank's first."""
        parts = () if self.probe is None else ('train', self.probe.split)
        return [self.probe.loader(part) for part in parts]

    def _measure(self, runner: Runner, epochs_done: int) -> None:
        probe = self.probe
        scalars = measure(runner.model, probe, probe.split, runner.seed, runner.cfg)
        runner.message_hub.update_scalars(scalars)
        runner.visualizer.add_scalars({**scalars, 'epoch': epochs_done}, step=runner.iter)
        figures = '  '.join(f'{name}: {value:.2f}' for name, value in scalars.items())
        bank, query = (len(loader.dataset) for loader in self.dataloaders())
        runner.logger.info(
            f'kNN [{epochs_done}/{runner.max_epochs}]  {figures}  '
            f'(k {probe.k}, T {probe.temperature}, bank {bank}, query {query})'
        )
