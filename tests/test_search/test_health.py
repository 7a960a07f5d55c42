# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims: figures are what they say, change nothing, and end a search where they are to."""

import json
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.logging import MMLogger

from nasiam_mm.architecture.genotype import Decision
from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.report.pictures.alpha_curves import load_alpha_history
from nasiam_mm.search.health import SearchHealthHook
from nasiam_mm.search.held_out import mean_weights
from nasiam_mm.search.recorder import alpha_entropy, margin
from tests.small import SPACE, build, search, train
from tests.test_engine.toy_siamese import run_two_processes
from tests.test_search.supernets import held_out_of, supernet

NAMES = ['projector.0.op', 'projector.1.op', 'projector.2.op', 'predictor.0.op', 'predictor.1.op']


def run(folder, epochs, *hooks, framework='simsiam', resume=None, health=True, **settings):
    cfg = search(framework, folder, epochs, batch_size=25)
    for loader in (cfg.train_dataloader, cfg.default_hooks.alpha_step.dataloader):
        loader.dataset.dataset.parts = dict(weights=0.1, alpha=0.1)
    if health:
        cfg.default_hooks.health = dict(type='SearchHealthHook', **settings)
    # Two runs of a second would share a log.
    cfg.experiment_name = '_'.join(folder.parts[-2:])
    cfg.resume, cfg.load_from = resume is not None, resume and str(resume)
    MMLogger._instance_dict.clear()
    return train(cfg, Turn(), *hooks)


class Turn(Hook):
    """Changes the mind of a search about one layer before its third epoch."""

    def before_train_epoch(self, runner):
        if runner.epoch == 2:
            alpha = runner.model.architecture.alpha('projector')
            alpha[0, alpha[0].argmin()] += 1


def log_of(folder):
    (path,) = folder.glob('*/*.log')
    return [line.partition(' - mmengine - ')[2] for line in path.read_text().splitlines()]


def scalars_of(folder):
    (path,) = folder.glob('*/vis_data/scalars.json')
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [row for row in rows if 'health/entropy' in row]


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    """A run of three epochs with limits that it does not stop at, and the choices it recorded."""
    folder = tmp_path_factory.mktemp('health')
    runner = run(folder, 3, max_churn=0.0, min_margin=0.9, patience=9)
    return runner, folder


@pytest.fixture(autouse=True, scope='module')
def quick_module():
    """A module's run needs what the tests' own have."""
    with pytest.MonkeyPatch.context() as patch:
        from mmengine.registry import init_default_scope

        from nasiam_mm.report.pictures import alpha_curves, genotype_drawing

        patch.setattr(alpha_curves, 'plot_alpha', lambda *args: None)
        patch.setattr(genotype_drawing, 'draw_genotype', lambda *args: None)
        torch.set_num_threads(1)
        torch.manual_seed(0)
        init_default_scope('nasiam_mm')
        yield


def test_figures_of_a_run(finished):
    runner, folder = finished
    rows, (history, _, epochs) = scalars_of(folder), load_alpha_history(folder / 'alpha.json')
    assert [row['epoch'] for row in rows] == epochs[1:] == [1, 2, 3]
    genotypes = [load_genotype(folder / f'genotypes/epoch_{n}.json') for n in (1, 2, 3)]
    counts = {head: runner.model.architecture.present(head).sum(1).numpy() for head in history}
    for n, row in enumerate(rows, 1):
        each = {head: alpha_entropy(weights[n]) for head, weights in history.items()}
        found = {what: row[f'health/{what}'] for what in ('entropy', 'relative_entropy', 'margin',
                                                          'uniform', 'passive', 'gap')}  # fmt: skip
        assert found['entropy'] == pytest.approx(np.concatenate(list(each.values())).mean())
        relative = [each[head] / np.log(counts[head]) for head in each]
        assert found['relative_entropy'] == pytest.approx(np.concatenate(relative).mean())
        leads = [margin(weights[n]) for weights in history.values()]
        assert found['margin'] == pytest.approx(np.concatenate(leads).mean())
        assert found['uniform'] == pytest.approx(
            np.mean([1 / k for c in counts.values() for k in c])
        )
        assert row['health/top'] > found['uniform']
        chosen = [decision.chosen[0] for decision in genotypes[n - 1].decisions.values()]
        # The predictor changes the width: an identity is a linear map there.
        same_width = chosen[:3]
        passive = sum('pool' in op for op in chosen) + same_width.count('identity')
        assert found['passive'] == pytest.approx(passive / 5)
        assert found['gap'] == row['health/derived_loss'] - row['health/loss']
        assert 0 < row['health/std'] < 1.2 and 1 < row['health/effective_rank'] < 32
    assert 'health/churn' not in rows[0]
    for row, before, after in zip(rows[1:], genotypes, genotypes[1:], strict=False):
        changed = sum(before.decisions[name].chosen != after.decisions[name].chosen
                      for name in NAMES)  # fmt: skip
        assert row['health/churn'] == changed / 5
    assert rows[2]['health/churn'] > 0
    lines = [line for line in log_of(folder) if ' health: ' in line]
    assert len(lines) == 3 and '(uniform 0.267), margin 0.' in lines[2]


def test_the_end_says_what_is_not_known(finished):
    _, folder = finished
    assert load_genotype(folder / 'genotype.json').provenance['undecided'] == NAMES
    warned = [line for line in log_of(folder) if 'choices' in line]
    assert warned == [
        f'WARNING - 4 records of alpha are too few to tell 5 of 5 choices from noise: '
        f'{", ".join(NAMES)}; search for more epochs before you trust the genotype'
    ]
    told = json.loads((folder / 'contributions.json').read_text())
    assert list(told['contributions']) == NAMES[:3] and told['not_removable'] == NAMES[3:]
    assert any('loss without a layer: projector.0.op ' in line for line in log_of(folder))


def test_a_run_without_the_hook_ends_alike(finished, tmp_path):
    runner, folder = finished
    other = run(tmp_path, 3, health=False)
    state = other.model.state_dict()
    assert all(torch.equal(value, state[name]) for name, value in runner.model.state_dict().items())
    one, two = (load_genotype(path / 'genotype.json') for path in (folder, tmp_path))
    assert one.decisions == two.decisions
    assert one.provenance['undecided'] == two.provenance['undecided']


def test_resumed_it_says_and_counts_the_same(finished, tmp_path, ablation):
    _, folder = finished
    # As the run of the fixture: a file of the second epoch, whose history is in it.
    resumed = run(tmp_path, 3, resume=folder / 'epoch_2.pth', max_churn=0.0, min_margin=0.9,
                  patience=9)  # fmt: skip
    assert resumed.epoch == 3
    assert [{k: v for k, v in row.items() if 'health' in k} for row in scalars_of(tmp_path)] == [
        {k: v for k, v in scalars_of(folder)[2].items() if 'health' in k}
    ]
    states = [torch.load(path / 'epoch_3.pth', weights_only=False)['hooks']['SearchHealthHook']
              for path in (folder, tmp_path)]  # fmt: skip
    assert states[0] == states[1] and states[0]['streaks']['min_margin'] == 3
    assert (tmp_path / 'genotype.json').read_text() == (folder / 'genotype.json').read_text()
    one, two = (path / 'contributions.json' for path in (folder, tmp_path))
    assert one.read_text() == two.read_text()


def test_a_search_that_stays_at_chance_is_ended(tmp_path):
    runner = run(tmp_path, 6, framework='simclr', max_relative_entropy=0.1, min_margin=0.9,
                 patience=2, begin=1)  # fmt: skip
    assert runner.epoch == 3 and runner.train_loop.stop_training
    [line] = [line for line in log_of(tmp_path) if 'the search ends' in line]
    what, _, why = line.partition(': ')
    assert what == 'WARNING - the search ends after epoch 3'
    assert why.startswith('relative_entropy 0.9') and ' is above 0.1, margin 0.' in why
    assert why.endswith(' is below 0.9 for 2 records in a row')
    genotype = load_genotype(tmp_path / 'genotype.json')
    assert (genotype.provenance['epoch'], genotype.provenance['max_epochs']) == (3, 6)
    assert load_alpha_history(tmp_path / 'alpha.json')[2] == [0, 1, 2, 3]
    assert (tmp_path / 'contributions.json').exists()


LIMITS = {
    'max_relative_entropy': ('relative_entropy', 0.9, 0.95),
    'min_relative_entropy': ('relative_entropy', 0.2, 0.1),
    'min_margin': ('margin', 0.02, 0.01),
    'max_churn': ('churn', 0.3, 0.4),
    'max_passive': ('passive', 0.5, 0.6),
    'max_gap': ('gap', 1.0, 1.1),
    'min_std': ('std', 0.1, 0.05),
    'min_effective_rank': ('effective_rank', 5.0, 4.0),
}


def stopped(hook, figures, last=99):
    """Epochs at which a hook warns of figures that come epoch by epoch."""
    told = []
    logger = SimpleNamespace(warning=told.append)
    loop = SimpleNamespace(stop_training=False)
    for epoch, figure in enumerate(figures, 1):
        runner = SimpleNamespace(logger=logger, train_loop=loop, epoch=epoch - 1, max_epochs=last)
        hook._judge(runner, figure, epoch)
        if loop.stop_training:
            return epoch, told
    return None, told


@pytest.mark.parametrize('name', LIMITS)
def test_each_limit_after_so_many_in_a_row(name):
    what, limit, beyond = LIMITS[name]
    bad, good = {what: beyond}, {what: limit}
    hook = SearchHealthHook(**{name: limit}, patience=2)
    epoch, [line] = stopped(hook, [bad, good, bad, {}, bad, bad, bad])
    side = 'above' if name.startswith('max') else 'below'
    told = f'{what} {beyond:.4g} is {side} {limit:g} for 2 records in a row'
    assert epoch == 6 and line == f'the search ends after epoch 6: {told}'
    hook = SearchHealthHook(**{name: limit}, patience=1, begin=3)
    assert stopped(hook, [bad] * 5)[0] == 4
    assert stopped(SearchHealthHook(**{name: limit}, patience=1), [{what: float('nan')}])[0] == 1
    assert stopped(SearchHealthHook(patience=1), [bad] * 3) == (None, [])
    # The last epoch ends by itself.
    assert stopped(SearchHealthHook(**{name: limit}, patience=1), [bad], last=1) == (None, [])


def test_gates_are_told_by_their_shares_and_one_candidate_is_no_choice():
    model = build('simclr', relaxation=dict(type='Sigmoid'))
    hook, owner = SearchHealthHook(), model.architecture
    owner.alpha('projector').zero_()
    owner.drop('projector', 1, [0, 1, 2])
    history = {'projector': owner.weights('projector')[None]}
    hook.record = SimpleNamespace(architecture=owner, softmax=history)
    figures = hook._of_alpha()
    assert figures['entropy'] == pytest.approx(2 / 3 * np.log(4))
    assert figures['relative_entropy'] == pytest.approx(1)
    assert figures['top'] == figures['uniform'] == pytest.approx((0.25 + 1 + 0.25) / 3)
    hook.model = model
    chosen = {f'projector.{n}.op': Decision(tuple(SPACE), (op, 'linear_bn_relu'))
              for n, op in enumerate(['identity', 'max_pool_3_bn', 'avg_pool_3_bn'])}  # fmt: skip
    figures = hook._of_choices(chosen)
    assert figures == pytest.approx(dict(pools=2 / 6, identities=1 / 6, passive=0.5))


class Without(Hook):
    """Takes the hook of a kind out of a run."""

    priority = 'HIGHEST'

    def __init__(self, kind):
        self.kind = kind

    def before_run(self, runner):
        runner._hooks = [hook for hook in runner.hooks if type(hook).__name__ != self.kind]


@pytest.mark.parametrize('kind', ['AlphaStepHook', 'GenotypeHook'])
def test_it_needs_what_it_looks_at(kind, tmp_path):
    with pytest.raises(ValueError, match=f'SearchHealthHook looks at what {kind} has; add dict'):
        run(tmp_path, 1, Without(kind))


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(max_gap='1'), "SearchHealthHook.max_gap must be a number or None, got '1'"),
        (dict(min_std=float('nan')), 'SearchHealthHook.min_std must be a number or None, got nan'),
        (dict(patience=0), 'SearchHealthHook.patience must be an integer from 1 up, got 0'),
        (dict(begin=True), 'SearchHealthHook.begin must be an integer from 0 up, got True'),
        (dict(batches=1.5), 'SearchHealthHook.batches must be an integer from 1 up, got 1.5'),
    ],
)
def test_settings_that_cannot_be(settings, message):
    with pytest.raises(ValueError, match=message):
        SearchHealthHook(**settings)


def test_a_run_begun_without_the_hook_is_gone_on_with_unless_it_may_stop():
    for settings, fits in ({}, True), (dict(max_churn=0.5), False):
        hook = SearchHealthHook(**settings)
        runner = SimpleNamespace(_resume=True, hooks=[hook])
        if fits:
            hook.after_load_checkpoint(runner, dict(hooks={}))
            continue
        with pytest.raises(ValueError, match='the checkpoint holds no state of SearchHealthHook'):
            hook.after_load_checkpoint(runner, dict(hooks={}))


def look(rank):
    held_out = held_out_of(supernet('simclr'))
    weights = mean_weights(held_out.model.architecture)
    loss, embeddings = held_out.loss_and_embeddings(weights)
    rows = [key[0] for key in held_out.loader.sampler]
    return dict(loss=loss, embeddings=embeddings, rows=rows)


def test_processes_see_parts_of_their_own_and_one_result(tmp_path):
    one, two = run_two_processes(look, tmp_path)
    assert not set(one['rows']) & set(two['rows']) and len(one['rows']) == len(two['rows']) == 12
    assert one['loss'] == two['loss']
    assert all(map(torch.equal, one['embeddings'], two['embeddings']))
    assert one['embeddings'][0].shape[0] % 2 == 0 and len(one['embeddings'][0]) >= 16
