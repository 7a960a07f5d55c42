# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What the search stands at: alpha, entropy, genotype, drawing, plot."""

import os.path as osp
from typing import Any, ClassVar

import torch
from mmengine.dist import master_only
from mmengine.runner import Runner

from nasiam_mm.architecture.genotype import Genotype, save_genotype, shape_rows
from nasiam_mm.architecture.measures import alpha_entropy, margin
from nasiam_mm.datasets.split import innermost
from nasiam_mm.engine.hooks.stateful_hook import StatefulHook
from nasiam_mm.engine.running import unwrap
from nasiam_mm.registry import HOOKS
from nasiam_mm.report.pictures.alpha_curves import (
    plot_alpha,
    save_alpha_history,
)
from nasiam_mm.report.pictures.genotype_drawing import draw_genotype
from nasiam_mm.runs.identity import identity_digest, run_identity
from nasiam_mm.runs.record import package_versions
from nasiam_mm.search.discretize import top_k


@HOOKS.register_module()
class GenotypeHook(StatefulHook):
    """Log alpha and write the genotype after each epoch and at the end.

    In the work directory: ``genotypes/epoch_N.json`` after each epoch;
    ``genotype.json`` and ``genotype.png``, ``alpha.json`` and ``alpha.png`` up
    to date after each epoch. Ties are warned of: their winner was not earned.

    Args:
        top_k: Operations per layer (NASiam, Algorithm 1): 1, or 2 for ``edge``.
        interval: Epochs between two logs.
    """

    priority = 'NORMAL'
    state_types: ClassVar = {'epochs': list, 'softmax': dict}

    def __init__(self, top_k: int = 1, interval: int = 1) -> None:
        if top_k not in (1, 2):
            raise ValueError(f'GenotypeHook.top_k must be 1 or 2, got {top_k!r}')
        self.top_k = top_k
        self.interval = interval
        self.epochs: list[int] = []
        self.history: dict[str, list[torch.Tensor]] = {}

    def before_run(self, runner: Runner) -> None:
        """Find the searched cells."""
        model = unwrap(runner.model)
        self.framework = type(model).__name__
        self.architecture = model.architecture
        self.shapes = {name: head.cell.shapes for name, head in model.searched_heads().items()}
        self.history = {name: [] for name in self.architecture.choices}

    def before_train(self, runner: Runner) -> None:
        """Record where alpha starts."""
        if not self.epochs:
            self._record(0)

    def after_train_epoch(self, runner: Runner) -> None:
        """Log, write and draw."""
        if self.every_n_epochs(runner, self.interval) or self.is_last_train_epoch(runner):
            self._record(runner.epoch + 1)
            self._report(runner)

    def state_dict(self) -> dict[str, Any]:
        """Return the history of alpha."""
        softmax = {name: torch.stack(rows) for name, rows in self.history.items()}
        return {'epochs': list(self.epochs), 'softmax': softmax}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the history up again."""
        self.epochs = list(state['epochs'])
        self.history = {name: list(state['softmax'][name].cpu()) for name in self.history}

    def genotype(self, runner: Runner) -> Genotype:
        """Genotype of alpha as it stands."""
        told = {**_provenance(runner), 'decided_at': shape_rows(self.shapes)}
        return top_k(self.architecture, self.framework, self.top_k, told)

    def _record(self, epoch: int) -> None:
        self.epochs.append(epoch)
        for name in self.history:
            weights = self.architecture.weights(name, drawn=False).detach().cpu()
            absent = ~self.architecture.present(name).cpu()
            self.history[name].append(weights.masked_fill(absent, float('nan')))

    @master_only
    def _report(self, runner: Runner) -> None:
        genotype = self.genotype(runner)
        epoch = runner.epoch + 1
        scalars = {}
        for name in self.history:
            weights = self.architecture.weights(name, drawn=False).detach().cpu()
            entropy, lead = alpha_entropy(weights), margin(weights)
            decisions = genotype.of(name)
            for n, decision in enumerate(decisions):
                scalars[f'alpha/{name}/{n}/entropy'] = float(entropy[n])
                scalars[f'alpha/{name}/{n}/margin'] = float(lead[n])
                for op, value in decision.scored.items():
                    scalars[f'alpha/{name}/{n}/{op}'] = value
            ops = ' '.join('+'.join(decision.chosen) for decision in decisions)
            runner.logger.info(
                f'Epoch {epoch} {name}: {ops} (entropy {entropy.mean():.3f} nats, '
                f'margin {lead.mean():.4f})'
            )
            for n, decision in enumerate(decisions):
                if decision.tied:
                    runner.logger.warning(
                        f'Epoch {epoch} {name} layer {n}: {decision.chosen[-1]} ties with '
                        f'{", ".join(decision.tied)}; the first in the space was taken'
                    )
        runner.visualizer.add_scalars(scalars, step=epoch)
        save_genotype(genotype, osp.join(runner.work_dir, 'genotypes', f'epoch_{epoch}.json'))
        save_genotype(genotype, osp.join(runner.work_dir, 'genotype.json'))
        draw_genotype(genotype, osp.join(runner.work_dir, 'genotype.png'))
        candidates = {
            name: [
                [
                    option if here else None
                    for option, here in zip(c.options, c.present, strict=True)
                ]
                for c in choices
            ]
            for name, choices in self.architecture.choices.items()
        }
        history = {name: torch.stack(rows) for name, rows in self.history.items()}
        save_alpha_history(
            history, candidates, self.epochs, osp.join(runner.work_dir, 'alpha.json')
        )
        plot_alpha(history, candidates, self.epochs, osp.join(runner.work_dir, 'alpha.png'))


def _provenance(runner: Runner) -> dict:
    dataset = innermost(runner.train_dataloader.dataset)
    return {
        'config': osp.basename(runner.cfg.filename or 'none'),
        # Of what decides the outcome, so that a resumed run writes what an uninterrupted one does.
        'config_sha256': identity_digest(run_identity(runner)),
        'dataset': dataset.metainfo.get('dataset', type(dataset).__name__),
        'dataset_digest': dataset.metainfo.get('digest'),
        'seed': runner.seed,
        'epoch': runner.epoch + 1,
        'max_epochs': runner.max_epochs,
        'versions': package_versions(),
    }
