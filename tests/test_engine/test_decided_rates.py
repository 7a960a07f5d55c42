# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The predictor's rate as a genotype decides it: in the optimizer, kept where it is fixed, told."""

import pytest
import torch
from mmengine.hooks import Hook

from nasiam_mm.architecture.genotype import Decision, Genotype, save_genotype
from nasiam_mm.engine.optim import refuse_idle_factors, refuse_idle_keys
from nasiam_mm.registry import OPTIM_WRAPPER_CONSTRUCTORS
from nasiam_mm.runs.identity import run_settings
from tests import small
from tests.reduced import reduced

NAME = 'nasiam/simsiam_r18_pretrain_cifar10'
STEPS = 3


def genotype_file(folder, **options):
    told = {'projector.depth': 2, 'predictor.form': 'mlp', **options}
    decisions = {name: Decision((option,), (option,)) for name, option in told.items()}
    save_genotype(Genotype('SimSiam', decisions), folder / 'g.json')
    return str(folder / 'g.json')


def wrapper_of(model, constructor='WeightOptimWrapperConstructor', **paramwise):
    cfg = dict(optimizer=dict(type='SGD', lr=0.5, momentum=0.9))
    build = OPTIM_WRAPPER_CONSTRUCTORS.get(constructor)
    return build(cfg, paramwise_cfg=paramwise or None)(model)


def rates(optimizer, model):
    names = {weight: name for name, weight in model.named_parameters()}
    return {names[w]: group['lr'] for group in optimizer.param_groups for w in group['params']}


@pytest.mark.parametrize('paramwise', [{}, dict(custom_keys=dict(predictor=dict(fix_lr=True)))])
def test_the_predictor_s_weights_alone_learn_at_the_rate_decided(paramwise, tmp_path):
    model = small.build('simsiam', genotype=genotype_file(tmp_path, predictor_lr=10))
    found = rates(wrapper_of(model, **paramwise).optimizer, model)
    assert set(found) == {name for name, _ in model.named_parameters()}
    for name, rate in found.items():
        assert rate == (5.0 if name.startswith('head.predictor.') else 0.5), name


def test_nothing_changes_where_it_is_not_decided(tmp_path):
    model = small.build('simsiam', genotype=genotype_file(tmp_path))
    optimizer = wrapper_of(model).optimizer
    assert model.lr_factors == {} and len(optimizer.param_groups) == 1
    assert optimizer.param_groups[0]['lr'] == 0.5


def test_a_step_is_ten_times_as_long(tmp_path):
    moved = {}
    for factor in (1, 10):
        model = small.build('simsiam', genotype=genotype_file(tmp_path, predictor_lr=factor))
        wrapper, before = wrapper_of(model), small.tensors(model)
        torch.manual_seed(0)
        wrapper.update_params(model.loss(**small.batch())['loss'])
        after = dict(model.named_parameters())
        moved[factor] = {name: after[name].detach() - before[name] for name in after}
    for name, step in moved[1].items():
        scale = 10 if name.startswith('head.predictor.') else 1
        torch.testing.assert_close(moved[10][name], scale * step, atol=1e-6, rtol=1e-3)


def test_another_constructor_would_not_read_it(tmp_path):
    model = small.build('simsiam', genotype=genotype_file(tmp_path, predictor_lr=10))
    refuse_idle_factors(model, 'WeightOptimWrapperConstructor')
    for constructor in (None, 'DefaultOptimWrapperConstructor'):
        with pytest.raises(ValueError, match='nothing reads the learning rate decided for head.pr'):
            refuse_idle_factors(model, constructor)


def test_a_key_of_a_predictor_that_was_decided_away_is_no_typing_error(tmp_path):
    model = small.build('simsiam', genotype=genotype_file(tmp_path, **{'predictor.form': 'none'}))
    refuse_idle_keys(model, dict(custom_keys=dict(predictor=dict(fix_lr=True))))
    with pytest.raises(ValueError, match='custom_keys.predicter decides nothing'):
        refuse_idle_keys(model, dict(custom_keys=dict(predicter=dict(fix_lr=True))))


class Watch(Hook):
    """Keeps the rates of the steps."""

    priority = 'LOWEST'

    def __init__(self):
        self.rates = []

    def before_train_iter(self, runner, batch_idx, data_batch=None):
        self.rates.append(rates(runner.optim_wrapper.optimizer, runner.model))


def test_a_run_trains_by_it_says_so_and_is_another_run(tmp_path):
    cfg = reduced(NAME, tmp_path / 'run', epochs=2)
    cfg.model.genotype = genotype_file(tmp_path, predictor_lr=4)
    small.leave_hooks(cfg, 'predictor_lr')
    watch = Watch()
    runner = small.train(cfg, watch)
    first, last = watch.rates[0], watch.rates[-1]
    base = cfg.optim_wrapper.optimizer.lr
    for name, rate in last.items():
        if name.startswith('head.predictor.'):
            assert rate == first[name] == 4 * base  # fixed: the cosine does not move it
        else:
            assert first[name] == base and rate < base
    log = '\n'.join(path.read_text() for path in (tmp_path / 'run').rglob('*.log'))
    assert 'decided beside the heads: predictor_lr 4' in log
    settings = run_settings(runner.cfg)
    assert settings['model.genotype.predictor_lr'] == '4'
    assert settings['model.genotype.projector.depth'] == '2'
    genotype_file(tmp_path, predictor_lr=8)
    assert run_settings(runner.cfg)['model.genotype.predictor_lr'] == '8'


def test_equal_numbers_are_one_run(tmp_path):
    cfg = dict(model=dict(genotype=genotype_file(tmp_path, predictor_lr=4)))
    before = run_settings(cfg)
    genotype_file(tmp_path, predictor_lr=4.0)
    assert run_settings(cfg) == before
