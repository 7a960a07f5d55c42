# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Question 4: which strategy finds a good head for the least cost, replayed on the table."""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
from optuna.trial import TrialState

from benchmarks.heads.table import Table
from nasiam_mm.study.pruners import build_pruner
from nasiam_mm.study.samplers.sampler import Space, build_sampler, decided

# Name -> sampler and pruner, as a study's config has them.
STRATEGIES: dict[str, tuple[dict[str, Any], dict[str, Any] | None]] = {
    'random': (dict(type='Random'), None),
    'TPE': (dict(type='TPE'), None),
    'evolution': (dict(type='Evolution'), None),
    'comparator': (dict(type='Comparator'), None),
    'random + halving': (dict(type='Random'), dict(type='SuccessiveHalving')),
    'TPE + halving': (dict(type='TPE'), dict(type='SuccessiveHalving')),
    'TPE + Hyperband': (dict(type='TPE'), dict(type='Hyperband')),
    'evolution + halving': (dict(type='Evolution'), dict(type='SuccessiveHalving')),
    'comparator + halving': (dict(type='Comparator'), dict(type='SuccessiveHalving')),
}


@dataclass(frozen=True)
class Pool:
    """The heads that a replay may train.

    Attributes:
        heads: Option of every choice of each, those that decide nothing included.
        val: Score of validation images, (heads, seeds, epochs): all that a strategy sees.
        test: Last score of test images, (heads, seeds).
        cost: Seconds of a whole run, (heads, seeds).
    """

    heads: Sequence[Mapping[str, Any]]
    val: np.ndarray
    test: np.ndarray
    cost: np.ndarray

    @property
    def digest(self) -> str:
        """Twelve digits that tell this pool from another."""
        parts = [json.dumps([dict(head) for head in self.heads], sort_keys=True).encode()]
        parts += [np.ascontiguousarray(of).tobytes() for of in (self.val, self.test, self.cost)]
        return hashlib.sha256(b''.join(parts)).hexdigest()[:12]

    def of(self, places: np.ndarray) -> 'Pool':
        """Return the pool of some of the heads."""
        heads = [self.heads[place] for place in places]
        return Pool(heads, self.val[places], self.test[places], self.cost[places])


def pool_of(table: Table, heads: Mapping[str, Mapping[str, Any]]) -> Pool:
    """Make a pool of a table; ``heads`` holds every choice of each by name."""
    epochs = len(table.rows[table.heads[0]][table.seeds[0]]['knn_val'])
    val = np.stack([table.scores('knn_val', epoch) for epoch in range(epochs)], 2)
    given = [heads[name] for name in table.heads]
    return Pool(given, val, table.scores('knn_test'), table.scores('seconds'))


def replay(
    pool: Pool, space: Space, strategy: str, budgets: Sequence[float], seed: int
) -> list[float]:
    """Return the test score of the head that a strategy holds best when each budget is spent.

    A proposal is trained as the nearest head of the pool, by the choices that count, that has not
    been trained; by chance among equals. A training shows one random seed's curve and charges its
    seconds, of a pruned one those of its epochs. The score is the mean over the seeds that the
    strategy has *not* seen of that head; NaN before the first whole training.

    Args:
        pool: Heads that may be trained, until they are used up.
        space: What the strategy may propose.
        strategy: Of ``STRATEGIES``.
        budgets: In mean whole runs of the pool; a training counts when it has ended.
        seed: Of the replay.
    """
    limit = max(budgets) * pool.cost.mean()
    spent, best, ends = 0.0, -np.inf, [(0.0, float('nan'))]
    for price, val, test in _trainings(pool, space, strategy, seed):
        if (spent := spent + price) > limit:
            break
        if val is not None and val > best:
            best = val
            ends.append((spent, test))
    return [
        [score for end, score in ends if end <= budget * pool.cost.mean()][-1] for budget in budgets
    ]


def _trainings(
    pool: Pool, space: Space, strategy: str, seed: int
) -> Iterator[tuple[float, float | None, float]]:
    """Yield the price of each training, its score, None where it was pruned, and the test score."""
    rng = np.random.Generator(np.random.PCG64(seed))
    sampler, pruner = STRATEGIES[strategy]
    epochs = pool.val.shape[2]
    # Hyperband deals trials out by the name of their study, which is drawn where none is given.
    study = optuna.create_study(
        study_name=f'{strategy}, {seed}', direction='maximize', pruner=build_pruner(pruner, epochs)
    )
    left = list(range(len(pool.heads)))
    options = [dict(decided(dict(head))) for head in pool.heads]
    while left:
        # As a worker of a study does: a new sampler for each trial.
        study.sampler = build_sampler(sampler, space, int(rng.integers(2**31)))
        place = _nearest(_proposal(study, space), options, left, rng)
        left.remove(place)
        study.enqueue_trial({name: pool.heads[place][name] for name in space})
        shown = int(rng.integers(pool.val.shape[1]))
        length = _train(study, study.ask(dict(space)), pool.val[place, shown])
        val = float(pool.val[place, shown, -1]) if length == epochs else None
        unseen = np.delete(pool.test[place], shown)
        yield float(pool.cost[place, shown]) * length / epochs, val, float(unseen.mean())


def _proposal(study: optuna.Study, space: Space) -> dict[str, Any]:
    """Ask for a head; the question itself is no training."""
    trial = study.ask(dict(space))
    study.tell(trial, state=TrialState.FAIL)
    return dict(decided(trial.params))


def _nearest(
    wanted: Mapping[str, Any],
    options: Sequence[Mapping[str, Any]],
    left: Sequence[int],
    rng: np.random.Generator,
) -> int:
    distances = [
        sum(wanted.get(name) != options[place].get(name) for name in {*wanted, *options[place]})
        for place in left
    ]
    nearest = [p for p, d in zip(left, distances, strict=True) if d == min(distances)]
    return int(rng.choice(nearest))


def _train(study: optuna.Study, trial: optuna.Trial, curve: np.ndarray) -> int:
    """Report a curve until it is pruned; return the epochs that were trained."""
    for epoch, score in enumerate(curve, 1):
        trial.report(float(score), epoch)
        if epoch < len(curve) and trial.should_prune():
            study.tell(trial, state=TrialState.PRUNED)
            return epoch
    study.tell(trial, float(curve[-1]))
    return len(curve)
