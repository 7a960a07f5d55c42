# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""How a search is doing, epoch by epoch, and an end to one that does badly."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from mmengine.dist import is_main_process
from mmengine.runner import Runner

from nasiam_mm.architecture.genotype import Decision
from nasiam_mm.engine.hooks.stateful_hook import StatefulHook
from nasiam_mm.engine.running import log_epoch, unwrap
from nasiam_mm.evaluation.collapse import channel_std, effective_rank
from nasiam_mm.registry import HOOKS
from nasiam_mm.search.contributions import contributions, save_contributions, tell
from nasiam_mm.search.gradient.hook import AlphaStepHook
from nasiam_mm.search.held_out import HeldOut, mean_weights, one_hot_weights
from nasiam_mm.search.recorder import GenotypeHook, alpha_entropy, margin, shares


@HOOKS.register_module()
class SearchHealthHook(StatefulHook):
    """Log how a search is doing after each epoch that ``GenotypeHook`` records; stop one if asked.

    Logged, as ``health/...`` in the scalars and in a line; means over the layers:

    - ``entropy`` of the weights, in nats, and ``relative_entropy``, 1 where they are uniform;
    - ``margin``, lead of the top weight over the second, 0 by chance; ``top``, the top weight, and
      ``uniform``, what it is by chance. Weights that do not sum to 1 are made to;
    - ``churn``: share of the choices that changed since the last record;
    - ``pools`` and ``identities`` among the operations chosen, ``passive`` both together;
    - ``loss`` of the supernet, ``derived_loss`` of the head that was chosen, on its modules, and
      ``gap``, how much higher that is: both on the same held-out batches, see ``HeldOut``;
    - ``std`` and ``effective_rank`` of z there, see :mod:`nasiam_mm.evaluation.collapse`.

    At the end the contribution of each layer is logged and written to ``contributions.json``.

    Args:
        max_relative_entropy: The search ends where this is above it: close to chance. Each limit
            is off where it is None, and holds for ``patience`` records in a row.
        min_relative_entropy: The same below it: all is decided.
        min_margin: Below it, leads are close to chance.
        max_churn: Above it, choices do not settle.
        max_passive: Above it, pools and identities have taken over.
        max_gap: Above it, or where it is not finite, the supernet is no guide to the head.
        min_std: Below it, z has collapsed.
        min_effective_rank: The same.
        patience: Records in a row.
        begin: Epochs before one counts.
        batches: Held-out batches that are looked at.

    Raises:
        ValueError: For a setting that cannot be; at the start of a run that has no
            ``AlphaStepHook`` or no ``GenotypeHook``.
    """

    # After GenotypeHook, NORMAL, whose record it reads.
    priority = 'BELOW_NORMAL'
    state_types: ClassVar = {'chosen': dict, 'streaks': dict}

    def __init__(
        self,
        max_relative_entropy: float | None = None,
        min_relative_entropy: float | None = None,
        min_margin: float | None = None,
        max_churn: float | None = None,
        max_passive: float | None = None,
        max_gap: float | None = None,
        min_std: float | None = None,
        min_effective_rank: float | None = None,
        patience: int = 3,
        begin: int = 0,
        batches: int = 1,
    ) -> None:
        limits = {
            'max_relative_entropy': max_relative_entropy,
            'min_relative_entropy': min_relative_entropy,
            'min_margin': min_margin,
            'max_churn': max_churn,
            'max_passive': max_passive,
            'max_gap': max_gap,
            'min_std': min_std,
            'min_effective_rank': min_effective_rank,
        }
        self.limits = {name: value for name, value in limits.items() if value is not None}
        for name, value in self.limits.items():
            number = isinstance(value, (int, float)) and not isinstance(value, bool)
            if not number or not np.isfinite(value):
                raise ValueError(f'SearchHealthHook.{name} must be a number or None, got {value!r}')
        for name, count, least in (('patience', patience, 1), ('begin', begin, 0),
                                   ('batches', batches, 1)):  # fmt: skip
            if type(count) is not int or count < least:
                what = f'must be an integer from {least} up, got {count!r}'
                raise ValueError(f'SearchHealthHook.{name} {what}')
        self.patience, self.begin, self.batches = patience, begin, batches
        self.chosen: dict[str, list[str]] = {}  # at the last record
        self.streaks: dict[str, int] = {}  # limit -> records in a row beyond it

    def before_train(self, runner: Runner) -> None:
        """Find what is looked at."""
        self.model = unwrap(runner.model)
        alpha_step: AlphaStepHook = _hook_of(runner, AlphaStepHook)
        self.record: GenotypeHook = _hook_of(runner, GenotypeHook)
        self.held_out = HeldOut(runner, alpha_step.loader, self.batches)

    def after_train_epoch(self, runner: Runner) -> None:
        """Measure, log, judge."""
        epoch = runner.epoch + 1
        if self.record.epochs[-1] != epoch:
            return
        figures = self._of_alpha()
        decisions = self.record.of_epoch.decide(self.record.architecture)
        figures |= self._of_choices(decisions)
        figures |= self._of_held_out(decisions)
        log_epoch(runner, {f'health/{name}': value for name, value in figures.items()}, epoch)
        runner.logger.info(f'Epoch {epoch} health: {_line(figures)}')
        self._judge(runner, figures, epoch)

    def after_train(self, runner: Runner) -> None:
        """Report what each layer contributes."""
        whole, found = contributions(self.held_out)
        runner.logger.info(tell(found))
        if is_main_process():
            path = Path(runner.work_dir) / 'contributions.json'
            save_contributions(whole, found, self.record.epochs[-1], path)

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Take the state up; a run begun without this hook has none, which only limits need."""
        states = checkpoint.get('hooks')
        if self.limits or (isinstance(states, Mapping) and self._name(runner) in states):
            super().after_load_checkpoint(runner, checkpoint)

    def _of_alpha(self) -> dict[str, float]:
        """Figures of the weights, from the record."""
        entropies, relative, leads, tops, chances = [], [], [], [], []
        for head, history in self.record.softmax.items():
            weights = shares(history[-1])
            counts = self.record.architecture.present(head).sum(1).cpu().numpy()
            entropy = alpha_entropy(weights)
            entropies.append(entropy)
            # One candidate is no choice: nothing about it is uncertain.
            relative.append(entropy[counts > 1] / np.log(counts[counts > 1]))
            leads.append(margin(weights))
            tops.append(weights.max(1))
            chances.append(1 / counts)
        return {
            'entropy': _mean(entropies),
            'relative_entropy': _mean(relative),
            'margin': _mean(leads),
            'top': _mean(tops),
            'uniform': _mean(chances),
        }

    def _of_choices(self, decisions: Mapping[str, Decision]) -> dict[str, float]:
        """Figures of what is chosen, which is kept for the next record."""
        chosen = {name: list(decision.chosen) for name, decision in decisions.items()}
        figures = {}
        if self.chosen:
            changed = [ops != self.chosen.get(name) for name, ops in chosen.items()]
            figures['churn'] = sum(changed) / len(changed)
        self.chosen = chosen
        labels = []
        for name, (cell, *_) in self.model.searched_cells().items():
            for n, layer in enumerate(cell.layers):
                space = list(cell.space)
                ops = chosen[f'{name}.{n}.op']
                # Where the width changes an identity is a linear map, and counts as one.
                labels += [layer.candidates[space.index(op)] for op in ops]
        figures['pools'] = sum('pool' in label for label in labels) / max(1, len(labels))
        figures['identities'] = labels.count('identity') / max(1, len(labels))
        figures['passive'] = figures['pools'] + figures['identities']
        return figures

    def _of_held_out(self, decisions: Mapping[str, Decision]) -> dict[str, float]:
        """Figures of the held-out batches."""
        owner = self.record.architecture
        loss, embeddings = self.held_out.loss_and_embeddings(mean_weights(owner))
        derived = self.held_out.loss(one_hot_weights(owner, decisions), auxiliary=0.0)
        return {
            'loss': loss,
            'derived_loss': derived,
            'gap': derived - loss,
            'std': _mean([[channel_std(z).item()] for z in embeddings]),
            'effective_rank': _mean([[effective_rank(z).item()] for z in embeddings]),
        }

    def _judge(self, runner: Runner, figures: Mapping[str, float], epoch: int) -> None:
        """Count the records beyond each limit, and end the search after too many."""
        told = []
        for name, limit in self.limits.items():
            what, is_most = name[4:], name.startswith('max_')
            value = figures.get(what, limit)
            # Written so that what is not a number is beyond.
            fine = value <= limit if is_most else value >= limit
            counts = not fine and epoch > self.begin
            self.streaks[name] = self.streaks.get(name, 0) + 1 if counts else 0
            if self.streaks[name] >= self.patience:
                told.append(f'{what} {value:.4g} is {"above" if is_most else "below"} {limit:g}')
        if told and not self.is_last_train_epoch(runner) and not runner.train_loop.stop_training:
            times = f'for {self.patience} records in a row' if self.patience > 1 else 'now'
            what = f'{", ".join(told)} {times}'
            runner.logger.warning(f'the search ends after epoch {epoch}: {what}')
            runner.train_loop.stop_training = True


def _hook_of(runner: Runner, kind: type) -> Any:
    for hook in runner.hooks:
        if isinstance(hook, kind):
            return hook
    mend = f"add dict(type='{kind.__name__}'), or take SearchHealthHook away"
    raise ValueError(f'SearchHealthHook looks at what {kind.__name__} has; {mend}')


def _mean(parts: list) -> float:
    values = np.concatenate([np.asarray(part, dtype=np.float64) for part in parts])
    return float(values.mean()) if len(values) else 0.0


def _line(figures: Mapping[str, float]) -> str:
    """Lay the figures out for the log."""
    f = figures
    churn = f'churn {f["churn"]:.0%}, ' if 'churn' in f else ''
    return (
        f'entropy {f["entropy"]:.3f} nats, {f["relative_entropy"]:.1%} of uniform, '
        f'top weight {f["top"]:.3f} (uniform {f["uniform"]:.3f}), margin {f["margin"]:.4f}, '
        f'{churn}pools {f["pools"]:.0%}, identities {f["identities"]:.0%}, '
        f'held-out loss {f["loss"]:.4f}, derived {f["derived_loss"]:.4f} (gap {f["gap"]:+.4f}), '
        f'z std {f["std"]:.3f}, rank {f["effective_rank"]:.1f}'
    )
