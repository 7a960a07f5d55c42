# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Which settings make another run, and how a difference reads."""

import json

import pytest
from mmengine.config import Config
from mmengine.registry import init_default_scope
from mmengine.runner import Runner

from nasiam_mm.architecture.genotype import Decision, Genotype, save_genotype
from nasiam_mm.runs.identity import (
    EVALUATION,
    TRAINING,
    identity_digest,
    name_differences,
    run_identity,
    run_settings,
)
from tests.reduced import reduced

SEARCH = 'nasiam/simsiam_r18_search_cifar10'


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(Config, 'pretty_text', '')


def identity(work_dir, change=lambda cfg: None, change_data=lambda dataset: None):
    cfg = reduced(SEARCH, work_dir)
    change(cfg)
    runner = Runner.from_cfg(cfg)
    runner._train_loop = runner.build_train_loop(runner._train_loop)
    change_data(runner.train_dataloader.dataset)
    return run_identity(runner)


def setting(path, value):
    def change(cfg):
        *parts, last = path.split('.')
        node = cfg
        for part in parts:
            node = node[int(part)] if part.isdigit() else node[part]
        node[last] = value

    return change


@pytest.fixture(scope='module')
def of_search(tmp_path_factory):
    init_default_scope('nasiam_mm')
    return identity(tmp_path_factory.mktemp('search'))


@pytest.mark.parametrize(
    ('path', 'value', 'told'),
    [
        ('model.neck.depth', 3, 'model.neck.depth is 6 there and 3 here'),
        ('model.space', ['identity'], "model.space is ['linear_bn_relu', 'max_pool_3_bn', "),
        ('train_dataloader.batch_size', 16, 'train_dataloader.batch_size is 32 there and 16 here'),
        ('train_dataloader.dataset.dataset.seed', 1,
         'train_dataloader.dataset.dataset.seed is 0 there and 1 here'),
        ('optim_wrapper.optimizer.lr', 0.5,
         'optim_wrapper.optimizer.lr is 0.06 there and 0.5 here'),
        ('param_scheduler.0.T_max', 7, 'param_scheduler.0.T_max is not set there and 7 here'),
        ('train_cfg.max_epochs', 9, 'train_cfg.max_epochs is 1 there and 9 here'),
        ('randomness.seed', 4, 'seed is 0 there and 4 here'),
        ('default_hooks.alpha_step.optimizer.lr', 0.5,
         'default_hooks.alpha_step.optimizer.lr is 0.001 there and 0.5 here'),
        ('default_hooks.collapse.patience', 9,
         'default_hooks.collapse.patience is not set there and 9 here'),
        ('model.backbone.depth', 34, 'model.backbone.depth is 18 there and 34 here'),
    ],
)  # fmt: skip
def test_what_decides_the_end_counts(of_search, tmp_path, path, value, told):
    changed = identity(tmp_path, setting(path, value))
    assert told in name_differences(of_search, changed)
    assert identity_digest(of_search) != identity_digest(changed)


def elsewhere(cfg):
    """Change all that does not decide how the run ends."""
    cfg.update(log_level='ERROR', resume=True, load_from='a.pth', experiment_name='other')
    cfg.default_hooks.logger.interval = 3
    cfg.default_hooks.checkpoint.update(interval=7, max_keep_ckpts=1, by_epoch=False)
    cfg.train_dataloader.update(num_workers=1, pin_memory=True, persistent_workers=True)
    cfg.default_hooks.alpha_step.dataloader.update(num_workers=1)
    cfg.default_hooks.logger.interval = 9
    cfg.probe = None
    cfg.env_cfg.cudnn_benchmark = False


def test_what_does_not_decide_the_end_does_not_count(of_search, tmp_path):
    here = identity(tmp_path, elsewhere)
    assert name_differences(of_search, here) == ''
    assert identity_digest(of_search) == identity_digest(here)


def test_it_is_plain_data_and_names_data_and_processes(of_search):
    assert json.loads(json.dumps(of_search)) == of_search
    assert of_search['processes'] == 1
    assert of_search['iterations per epoch'] == 7
    assert len(of_search['data']) == 64


def test_which_images_are_trained_on_counts_where_the_settings_do_not_show_it(of_search, tmp_path):
    def other_rows(dataset):
        dataset.dataset.indices = dataset.dataset.indices[::-1]

    told = name_differences(of_search, identity(tmp_path, change_data=other_rows))
    assert told.startswith('training images is ') and ';' not in told


def test_many_differences_stay_one_line():
    there, here = {str(n): n for n in range(9)}, {str(n): -n for n in range(9)}
    told = name_differences(there, here)
    assert told == (
        '1 is 1 there and -1 here; 2 is 2 there and -2 here; 3 is 3 there and -3 here; '
        'and 5 more differences'
    )


def test_settings_of_the_config_are_those_of_its_run(of_search, tmp_path):
    settings = run_settings(reduced(SEARCH, tmp_path))
    assert settings == {name: of_search[name] for name in settings}
    assert of_search.keys() - settings.keys() == {
        'processes', 'iterations per epoch', 'training images', 'data',
    }  # fmt: skip


def test_what_is_measured_counts_where_figures_are_asked_for():
    cfgs = [Config(dict(test_evaluator=dict(topk=k), probe=dict(k=k))) for k in (1, 2)]
    assert name_differences(*map(run_settings, cfgs)) == ''
    figures = [run_settings(cfg, (*TRAINING, *EVALUATION)) for cfg in cfgs]
    assert name_differences(*figures) == (
        'test_evaluator.topk is 1 there and 2 here; probe.k is 1 there and 2 here'
    )


def test_hooks_decide_by_name_but_those_that_log_save_and_measure():
    def settings(**hooks):
        return run_settings(Config(dict(default_hooks=hooks)))

    step = dict(type='AlphaStepHook', optimizer=dict(lr=1.0))
    assert settings(alpha_step=step)['default_hooks.alpha_step.optimizer.lr'] == 1.0
    assert settings(logger=dict(interval=1), probe=dict(type='ProbeHook'), none=None) == settings()


def test_long_values_are_cut_in_a_message():
    told = name_differences({'a': list(range(999)), 'b': 'x' * 999}, {})
    assert len(told) < 300


def written(tmp_path, name, chosen, **provenance):
    decisions = {'projector.0.op': Decision(('identity', 'linear_bn_relu'), (chosen,))}
    path = tmp_path / name
    save_genotype(Genotype('SimCLR', decisions, provenance), path)
    return run_settings(Config(dict(model=dict(neck=dict(genotype=str(path))))))


def test_a_genotype_counts_by_its_decisions(tmp_path):
    one = written(tmp_path, 'a.json', 'identity', epoch=3)
    assert one['model.neck.genotype.projector.0.op'] == 'identity'
    assert written(tmp_path, 'moved/b.json', 'identity', epoch=9) == one
    assert name_differences(one, written(tmp_path, 'a.json', 'linear_bn_relu')) == (
        "model.neck.genotype.projector.0.op is 'identity' there and 'linear_bn_relu' here"
    )


def test_a_pretrained_checkpoint_counts_by_its_content(tmp_path):
    def settings(name, value):
        path = tmp_path / name
        path.write_bytes(value)
        init_cfg = dict(type='Pretrained', checkpoint=str(path), prefix='backbone.')
        return run_settings(Config(dict(model=dict(backbone=dict(init_cfg=init_cfg)))))

    one = settings('a.pth', b'one')
    assert settings('b.pth', b'one') == one
    assert name_differences(one, settings('a.pth', b'other')).startswith(
        "model.backbone.init_cfg.checkpoint is 'sha256 "
    )


def test_a_table_of_costs_counts_by_its_content(tmp_path):
    def settings(name, text):
        path = tmp_path / name
        path.write_text(text)
        terms = [dict(type='ExpectedCost', table=str(path))]
        hook = dict(type='AlphaStepHook', regularizers=terms)
        return run_settings(Config(dict(default_hooks=dict(alpha_step=hook))))

    one = settings('a.json', '{"costs": {}}')
    assert settings('b.json', '{"costs": {}}') == one
    assert name_differences(one, settings('a.json', '{"costs": {"a": {}}}')).startswith(
        "default_hooks.alpha_step.regularizers.0.table is 'sha256 "
    )
    (tmp_path / 'a.json').unlink()
    terms = [dict(type='ExpectedCost', table=str(tmp_path / 'a.json'))]
    with pytest.raises(FileNotFoundError, match=r'a\.json'):
        run_settings(Config(dict(custom_hooks=[dict(type='Any', regularizers=terms)])))
