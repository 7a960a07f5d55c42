# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What the search stands at: alpha, entropy, genotype (NASiam, Algorithm 1), drawing, plot."""

import os.path as osp
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from mmengine.dist import is_main_process, master_only
from mmengine.runner import Runner

from nasiam_mm.architecture.genotype import Decision, Genotype, save_genotype
from nasiam_mm.datasets.split import innermost
from nasiam_mm.engine.hooks.stateful_hook import StatefulHook
from nasiam_mm.engine.running import log_epoch, unwrap
from nasiam_mm.part_registry import build_part, build_parts
from nasiam_mm.registry import HOOKS
from nasiam_mm.runs.identity import identity_digest, run_identity
from nasiam_mm.runs.record import package_versions
from nasiam_mm.search.certainty import doubt, undecided
from nasiam_mm.search.gradient.hook import AlphaStepHook
from nasiam_mm.search.selection import SELECTIONS, Decisions, Selection, TopK, genotype_of


@HOOKS.register_module()
class GenotypeHook(StatefulHook):
    """Log alpha and write the genotype after each epoch and at the end.

    In the work directory: ``genotypes/epoch_N.json`` and ``genotype.json`` after each epoch;
    ``genotype.png``, ``alpha.json`` and ``alpha.png``, which grow with the epochs, at times and
    at the end. Ties are warned of: their winner was not earned. Choices within noise are named at
    the end, by a warning where they are most of all, and in the provenance as ``undecided``.

    A selection that looks at data is made at the end of the search, those of the epochs by
    ``TopK`` before it.

    Args:
        top_k: Operations per layer (NASiam, Algorithm 1): 1, or 2 for ``edge``.
        selection: Config of a registered selection; None for ``TopK`` with that number.
        interval: Epochs between two logs.
        draw_interval: Epochs between two drawings; None for epochs 1, 4, 16, 64, and so on.
        also: Configs of further selections, each made at the end on the same supernet; what they
            choose is written to ``also/<name>.json`` and decides nothing here.
    """

    state_types: ClassVar = {'epochs': list, 'softmax': dict}

    def __init__(
        self,
        top_k: int | None = None,
        interval: int = 1,
        draw_interval: int | None = None,
        selection: dict | None = None,
        also: Sequence[dict] = (),
    ) -> None:
        if top_k not in (None, 1, 2):
            raise ValueError(f'GenotypeHook.top_k must be 1 or 2, got {top_k!r}')
        if top_k is not None and selection is not None:
            mend = "give selection=dict(type='TopK', k=2) alone"
            raise ValueError(f'GenotypeHook has top_k and a selection; {mend}')
        by_alpha = dict(type='TopK', k=top_k or 1)
        told = by_alpha if selection is None else selection
        self.selection: Selection = build_part(SELECTIONS, told, 'genotype.selection')
        self.also: list[Selection] = build_parts(SELECTIONS, also, 'genotype.also')
        self.of_epoch = TopK() if self.selection.looks_at_data else self.selection
        self.interval = interval
        self.draw_interval = draw_interval
        self.epochs: list[int] = []
        self._origin: dict[str, Any] = {}
        # Head -> mixing weights at these epochs, (T, L, K), NaN for what is no candidate.
        self.softmax: dict[str, torch.Tensor] = {}

    def before_run(self, runner: Runner) -> None:
        """Find the searched cells."""
        self.model = unwrap(runner.model)
        self.architecture = self.model.architecture
        self.fixed = self.model.fixed
        cells = self.model.searched_cells().items()
        self.shapes = {name: [list(shape) for shape in alike[0].shapes] for name, alike in cells}

    def before_train(self, runner: Runner) -> None:
        """Record where alpha starts, if the selection can choose at the end."""
        for selection in (self.selection, *self.also):
            selection.check(runner)
        if not self.epochs:
            self._record(0)

    def after_train_epoch(self, runner: Runner) -> None:
        """Log, write and draw."""
        if self.every_n_epochs(runner, self.interval) or self.is_last_train_epoch(runner):
            self._record(runner.epoch + 1)
            self._report(runner)

    def after_train(self, runner: Runner) -> None:
        """Choose by data, where the selection does; otherwise say what is within noise."""
        folder = Path(runner.work_dir)
        if self.selection.looks_at_data:
            self._write(self._chosen(runner, self.selection), folder)
        else:
            self._finish_by_alpha(runner)
        for selection in self.also:
            genotype = self._chosen(runner, selection)
            if is_main_process():
                save_genotype(genotype, folder / 'also' / f'{selection.name}.json')

    def _chosen(self, runner: Runner, selection: Selection) -> Genotype:
        """Let a selection choose at the end of the search."""
        decisions = selection.finish(runner, self.architecture)
        ops = ', '.join('+'.join(decision.chosen) for decision in decisions.values())
        runner.logger.info(f'chosen by {selection.name}: {ops}')
        return self._genotype(runner, decisions, selection, runner.epoch)

    def _finish_by_alpha(self, runner: Runner) -> None:
        decisions = self.selection.decide(self.architecture)
        epoch = self.epochs[-1]
        genotype = self._genotype(runner, decisions, self.selection, epoch)
        if 0 < epoch == runner.epoch < runner.max_epochs:  # stopped early: nothing was drawn
            self._write(genotype, Path(runner.work_dir))
        for remark in self.selection.remarks(self.architecture):
            runner.logger.warning(remark)
        if names := genotype.provenance['undecided']:
            most = 2 * len(names) > len(decisions)
            line = doubt(names, len(decisions), len(self.epochs))
            (runner.logger.warning if most else runner.logger.info)(line)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take the history of alpha up again."""
        self.epochs = state['epochs']
        self.softmax = {name: state['softmax'][name].cpu() for name in self.architecture.choices}

    def _record(self, epoch: int) -> None:
        self.epochs.append(epoch)
        for name in self.architecture.choices:
            weights = self.architecture.weights(name, drawn=False).detach().cpu()
            # What was dropped has weight 0; what never was a candidate has none.
            absent = ~torch.tensor([c.present for c in self.architecture.choices[name]])
            row = weights.masked_fill(absent, float('nan'))[None]
            self.softmax[name] = torch.cat([self.softmax.get(name, row[:0]), row])

    @master_only
    def _report(self, runner: Runner) -> None:
        epoch = runner.epoch + 1
        decisions = self.of_epoch.decide(self.architecture)
        genotype = self._genotype(runner, decisions, self.of_epoch, epoch)
        scalars: dict[str, float] = {}
        for name in self.architecture.choices:
            weights = shares(self.softmax[name][-1])
            entropy, lead = alpha_entropy(weights), margin(weights)
            decisions = genotype.of(name)
            ops = ' '.join('+'.join(decision.chosen) for decision in decisions)
            spread = f'entropy {entropy.mean():.3f} nats, margin {lead.mean():.4f}'
            runner.logger.info(f'Epoch {epoch} {name}: {ops} ({spread})')
            for n, decision in enumerate(decisions):
                values = {'entropy': float(entropy[n]), 'margin': float(lead[n]), **decision.scored}
                scalars |= {f'alpha/{name}/{n}/{what}': value for what, value in values.items()}
            for tie in _ties(decisions):
                what = f'Epoch {epoch} {name} {tie}; the first in the space was taken'
                runner.logger.warning(what)
        log_epoch(runner, scalars, epoch)
        folder = Path(runner.work_dir)
        save_genotype(genotype, folder / 'genotypes' / f'epoch_{epoch}.json')
        save_genotype(genotype, folder / 'genotype.json')
        is_power_of_4 = epoch & (epoch - 1) == 0 and epoch.bit_length() % 2 == 1
        due = is_power_of_4 if self.draw_interval is None else epoch % self.draw_interval == 0
        if due or self.is_last_train_epoch(runner):
            self._draw(genotype, folder)

    def _genotype(
        self, runner: Runner, decisions: Decisions, selection: Selection, epoch: int
    ) -> Genotype:
        if not self._origin:  # hashes what is trained on, which no epoch changes
            self._origin = _origin(runner) | {'decided_at': self.shapes}
        told = self._origin | {'epoch': epoch}
        if dropped := self.architecture.dropped():
            told['dropped'] = dropped
        if not selection.looks_at_data:  # one that does is not bound to the weights
            told['undecided'] = undecided(self.softmax, self.architecture.choices, decisions)
        decisions = {**self.fixed, **decisions}
        return genotype_of(decisions, selection, type(self.model).__name__, told)

    @master_only
    def _write(self, genotype: Genotype, folder: Path) -> None:
        save_genotype(genotype, folder / 'genotype.json')
        self._draw(genotype, folder)

    def _draw(self, genotype: Genotype, folder: Path) -> None:
        # matplotlib takes a second to import, which a run's first iteration need not wait for.
        from nasiam_mm.report.pictures.alpha_curves import plot_alpha, save_alpha_history
        from nasiam_mm.report.pictures.genotype_drawing import draw_genotype

        candidates = {
            head: [[o if here else None for o, here in zip(c.options, c.present, strict=True)]
                   for c in choices]
            for head, choices in self.architecture.choices.items()
        }  # fmt: skip
        draw_genotype(genotype, folder / 'genotype.png')
        save_alpha_history(self.softmax, candidates, self.epochs, folder / 'alpha.json')
        plot_alpha(self.softmax, candidates, self.epochs, folder / 'alpha.png')


def _origin(runner: Runner) -> dict[str, Any]:
    dataset = innermost(runner.train_dataloader.dataset)
    parts = [hook.parts() for hook in runner.hooks if isinstance(hook, AlphaStepHook)]
    search = {'search': parts[0]} if parts else {}
    return search | {
        'config': osp.basename(runner.cfg.filename or 'none'),
        # Of what decides the outcome, so that a resumed run writes what an uninterrupted one does.
        'config_sha256': identity_digest(run_identity(runner)),
        'dataset': dataset.metainfo.get('dataset', type(dataset).__name__),
        'dataset_digest': dataset.metainfo.get('digest'),
        'seed': runner.seed,
        'max_epochs': runner.max_epochs,
        'versions': package_versions(),
    }


def _ties(decisions: Sequence[Decision]) -> list[str]:
    """Say which layers' choice ties with what, a line for the layers that say the same."""
    layers: dict[str, list[str]] = {}
    for n, decision in enumerate(decisions):
        if decision.tied:
            tie = f'{decision.chosen[-1]} ties with {", ".join(decision.tied)}'
            layers.setdefault(tie, []).append(str(n))
    return [
        f'layer{"s" * (len(those) > 1)} {", ".join(those)}: {tie}' for tie, those in layers.items()
    ]


def shares(weights: Any) -> np.ndarray:
    """Weights (..., L, K) made to sum to 1 at each layer, which gates do not; NaN is 0."""
    weights = _filled(weights)
    return weights / weights.sum(axis=-1, keepdims=True)


def _filled(weights: Any) -> np.ndarray:
    return np.nan_to_num(np.asarray(weights, dtype=np.float64), nan=0.0)


def alpha_entropy(weights: Any) -> np.ndarray:
    """Entropy of mixing weights (..., L, K) by layer, (..., L), in nats; 0 log 0 and NaN are 0."""
    weights = _filled(weights)
    logarithm = np.log(weights, out=np.zeros_like(weights), where=weights > 0)
    return np.abs((weights * logarithm).sum(axis=-1))


def margin(weights: Any) -> np.ndarray:
    """Lead of the top weight of (..., L, K) over the second, (..., L); all of it where K is 1."""
    ordered = np.sort(_filled(weights), axis=-1)
    second = ordered[..., -2] if ordered.shape[-1] > 1 else 0.0
    return ordered[..., -1] - second
