# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The probe of the config while a network trains."""

from pathlib import Path

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from nasiam_mm.engine.running import log_epoch, preserve_rng, unwrap
from nasiam_mm.files.atomic import write_json
from nasiam_mm.probes.checked import check_measures
from nasiam_mm.probes.feature_sets import measure, tell
from nasiam_mm.probes.final import FINAL, measure_final
from nasiam_mm.probes.final import read_final as read_final
from nasiam_mm.probes.section import Probe, read_probe
from nasiam_mm.registry import HOOKS


@HOOKS.register_module()
class ProbeHook(Hook):
    """Log what the config's ``probe`` section measures, if any; the run ends as one without.

    After the last epoch ``probe.final``, if given, is classified and told in ``final.json``; a run
    that stops before its last epoch has none.
    """

    probe: Probe | None = None

    def before_train(self, runner: Runner) -> None:
        """Read the section, build its loaders, and measure the untrained backbone."""
        if (probe := read_probe(runner.cfg)) is not None:
            with preserve_rng():
                self.probe = probe.build(probe.split, runner.seed).build_final(runner.seed)
            check_measures(self.probe, unwrap(runner.model).data_preprocessor)
            if probe.at_start and runner.iter == 0:
                self._measure(runner, epochs_done=0)

    def after_train_epoch(self, runner: Runner) -> None:
        """Measure every ``interval`` epochs and after the last one."""
        if self.probe is None:
            return
        is_last = self.is_last_train_epoch(runner)
        if self.every_n_epochs(runner, self.probe.interval) or is_last:
            self._measure(runner, epochs_done=runner.epoch + 1)
        if is_last and self.probe.final is not None:
            self._measure_final(runner, epochs_done=runner.epoch + 1)

    def dataloaders(self) -> list[DataLoader]:
        """Return the loaders that are walked while training, the bank's first."""
        parts = () if self.probe is None else ('train', self.probe.split)
        return [self.probe.loader(part) for part in parts]

    def _measure(self, runner: Runner, epochs_done: int) -> None:
        probe = self.probe
        scalars = measure(runner.model, probe, probe.split, runner.seed, runner.cfg)
        self._log(runner, scalars, epochs_done)
        bank, query = (len(loader.dataset) for loader in self.dataloaders())
        done = f'[{epochs_done}/{runner.max_epochs}]'
        knn = {name: value for name, value in scalars.items() if name.startswith('knn/')}
        if knn:
            how = f'(k {probe.k}, T {probe.temperature}, bank {bank}, query {query})'
            runner.logger.info(f'kNN {done}  {tell(knn)}  {how}')
        if further := {name: value for name, value in scalars.items() if name not in knn}:
            runner.logger.info(f'measures {done}  {tell(further)}  (query {query})')

    def _measure_final(self, runner: Runner, epochs_done: int) -> None:
        found = measure_final(runner.model, self.probe, epochs_done, runner.cfg)
        scalars = {'knn/final_top1': found['top1']}
        self._log(runner, scalars, epochs_done)
        how = f'(k {found["k"]}, T {found["temperature"]}, {found["images"]} images, once)'
        runner.logger.info(f'kNN [final]  {tell(scalars)}  {how}')
        if is_main_process():
            write_json(found, Path(runner.work_dir) / FINAL)

    def _log(self, runner: Runner, scalars: dict[str, float], epochs_done: int) -> None:
        runner.message_hub.update_scalars(scalars)
        log_epoch(runner, scalars, epochs_done)
