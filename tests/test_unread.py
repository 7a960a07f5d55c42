# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A setting that nothing reads is refused, with the nearest that counts; what counts is not."""

import pytest
from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.registry import RUNNERS

import nasiam_mm.engine  # noqa: F401
from nasiam_mm.registry import HOOKS, OPTIM_WRAPPER_CONSTRUCTORS
from nasiam_mm.unread import find_unread
from tests.reduced import ROOT, reduced

RECIPES = [
    *sorted((ROOT / 'configs/nasiam').glob('*.py')),
    *sorted((ROOT / 'configs/benchmarks').rglob('*.py')),
    *sorted((ROOT / 'examples').glob('*_search.py')),
]
SEARCH = ROOT / 'configs/nasiam/simsiam_r18_search_cifar10.py'


@pytest.mark.parametrize('path', RECIPES, ids=lambda path: path.stem)
def test_a_recipe_holds_nothing_that_is_not_read(path):
    assert find_unread(Config.fromfile(path)) == []


@pytest.mark.parametrize(
    ('option', 'told'),
    [
        ('lr', "nothing reads 'lr'; set optim_wrapper.optimizer.lr"),
        ('space', "nothing reads 'space'; set model.space"),
        ('max_epochs', "nothing reads 'max_epochs'; set train_cfg.max_epochs"),
        ('optim_wraper.optimizer.lr', "nothing reads 'optim_wraper'; did you mean optim_wrapper?"),
        ('my_helper', "nothing reads 'my_helper'; a name that only helps to write the config "),
        ('data_preprocessor.mean', "nothing reads 'data_preprocessor'; set model.data_prepro"),
        ('model.neck.widhts', "nothing reads 'model.neck.widhts'; HeadMLP takes "),
        ('model.neck.dept', "nothing reads 'model.neck.dept'; did you mean depth?"),
        ('model.spcae', "nothing reads 'model.spcae'; did you mean space?"),
        ('model.backbone.dpeth', 'did you mean depth?'),
        ('model.backbone.norm_cfg.epss', 'did you mean eps?'),
        ('model.head.loss.sahift', "'model.head.loss.sahift'; CosineSimilarityLoss takes "),
        ('optim_wrapper.optimizer.lrr', 'did you mean lr?'),
        ('optim_wrapper.accumulativ_counts', 'did you mean accumulative_counts?'),
        ('optim_wrapper.paramwise_cfg.custom_key', 'did you mean custom_keys?'),
        ('optim_wrapper.clip_grad.max_nom', 'did you mean max_norm?'),
        ('optim_wrapper.paramwise_cfg.custom_keys.predictor.lr_mul', 'did you mean lr_mult?'),
        ('optim_wrapper.paramwise_cfg.flat_options.lars_exclude', 'neither the optimizer nor'),
        ('env_cfg.dist_cfg.backnd', 'did you mean backend?'),
        ('compile.modee', 'did you mean mode?'),
        ('train_cfg.max_epoch', 'did you mean max_epochs?'),
        ('default_hooks.alpha_step.secnd_order', 'did you mean second_order?'),
        ('default_hooks.alpha_step.optimizer.bettas', 'did you mean betas?'),
        ('default_hooks.alpha_step.dataloader.batchsize', 'did you mean batch_size?'),
        ('default_hooks.checkpoint.intervall', 'did you mean interval?'),
        ('train_dataloader.num_worker', 'did you mean num_workers?'),
        ('train_dataloader.dataset.dataset.sed', 'did you mean seed?'),
        ('randomness.sead', 'did you mean seed?'),
        ('env_cfg.cudnn_benchmrk', 'did you mean cudnn_benchmark?'),
        ('auto_scale_lr.base_batchsize', 'did you mean base_batch_size?'),
        ('param_scheduler.0.T_maxx', 'did you mean T_max?'),
    ],
)
def test_what_nothing_reads_is_told_with_what_counts(option, told):
    cfg = Config.fromfile(SEARCH)
    cfg.merge_from_dict({option: 1})
    [line] = find_unread(cfg)
    assert told in line and '\n' not in line and len(line) < 300
    with pytest.raises(ValueError, match='nothing reads'):
        RUNNERS.build(cfg)


@pytest.mark.parametrize(
    'option',
    ['_helper', 'model.space', 'optim_wrapper.clip_grad', 'param_scheduler.0.eta_min', 'sync_bn',
     'find_unused_parameters', 'custom_imports.allow_failed_imports', 'train_dataloader.timeout',
     'model.backbone.zero_init_residual', 'model.backbone.init_cfg', 'model.neck.fused',
     'log_processor.window_size', 'visualizer.name', 'default_hooks.logger.log_metric_by_epoch'],
)  # fmt: skip
def test_what_is_read_may_be_set(option):
    cfg = Config.fromfile(SEARCH)
    cfg.merge_from_dict({option: None})
    assert find_unread(cfg) == []


@pytest.mark.parametrize('path', sorted((ROOT / 'configs/detection').glob('*.py')))
def test_what_the_detector_of_a_recipe_is_built_of_is_read(path):
    cfg = Config.fromfile(path)
    built = {'model', 'train_dataloader', 'val_dataloader', 'val_evaluator', 'optim_wrapper'}
    assert find_unread(cfg, only={*built, 'default_hooks', 'param_scheduler', 'train_cfg'}) == []
    cfg.merge_from_dict({'model.roi_head.bbox_head.num_clases': 1})
    [line] = find_unread(cfg, only={'model'})
    assert 'did you mean num_classes?' in line


def test_a_constructor_of_ones_own_reads_what_it_likes():
    @OPTIM_WRAPPER_CONSTRUCTORS.register_module(force=True)
    class Two:
        def __init__(self, optim_wrapper_cfg, paramwise_cfg=None):
            pass

    one = dict(type='OptimWrapper', optimizer=dict(type='SGD', lr=0.1))
    cfg = dict(default_scope='nasiam_mm', optim_wrapper=dict(constructor='Two', a=one, b=one))
    assert find_unread(cfg) == []
    one['optimizer']['lrr'] = 1
    assert [line.split(';')[0] for line in find_unread(cfg)] == [
        "nothing reads 'optim_wrapper.a.optimizer.lrr'",
        "nothing reads 'optim_wrapper.b.optimizer.lrr'",
    ]


def test_only_some_top_level_names_are_looked_at():
    cfg = Config(dict(lr=1, train_cfg=dict(max_epoch=3)))
    assert len(find_unread(cfg)) == 2
    assert find_unread(cfg, only={'train_cfg'}) == [
        "nothing reads 'train_cfg.max_epoch'; did you mean max_epochs?"
    ]


def test_open_and_handed_on_arguments(tmp_path):
    """``**kwargs`` reads what the class above reads; one that nothing is above of, anything."""

    @HOOKS.register_module(force=True)
    class Above(Hook):
        def __init__(self, interval=1):
            self.interval = interval

    @HOOKS.register_module(force=True)
    class Handing(Above):
        def __init__(self, depth=1, **kwargs):
            super().__init__(**kwargs)

    @HOOKS.register_module(force=True)
    class Open(Hook):
        def __init__(self, **options):
            self.options = options

    hooks = [dict(type='Handing', interval=2, depth=3), dict(type='Open', anything=1)]
    cfg = dict(default_scope='nasiam_mm', custom_hooks=hooks)
    assert find_unread(cfg) == []
    hooks[0]['dept'] = 1
    assert find_unread(cfg) == ["nothing reads 'custom_hooks.0.dept'; did you mean depth?"]


def test_a_named_hook_is_taken_away_by_none(tmp_path):
    cfg = reduced('nasiam/simclr_r18_search_cifar10_demo', tmp_path)
    cfg.default_hooks.collapse = None
    names = [type(hook).__name__ for hook in RUNNERS.build(cfg).hooks]
    assert 'CollapseHook' not in names and 'AlphaStepHook' in names


def test_a_group_that_is_to_keep_its_rate_needs_who_keeps_it():
    wrapper = dict(
        optimizer=dict(type='SGD', lr=0.1),
        paramwise_cfg=dict(custom_keys=dict(predictor=dict(fix_lr=True))),
    )
    (line,) = find_unread(dict(default_scope='nasiam_mm', optim_wrapper=wrapper))
    assert line.startswith(
        "nothing reads 'optim_wrapper.paramwise_cfg.custom_keys.predictor.fix_lr"
    )
    assert "add default_hooks.predictor_lr=dict(type='FixedLrHook')" in line
    hooks = dict(predictor_lr=dict(type='FixedLrHook'))
    cfg = dict(default_scope='nasiam_mm', optim_wrapper=wrapper, default_hooks=hooks)
    assert find_unread(cfg) == []
