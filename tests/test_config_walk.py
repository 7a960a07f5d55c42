# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Parts of a config are found wherever they stand."""

from mmengine.config import Config
from mmengine.hooks import LoggerHook

from nasiam_mm.config_walk import deciding_hooks, find_hook, type_name, walk


def test_every_dict_is_yielded_the_outermost_first():
    cfg = Config(dict(a=dict(n=1, b=[dict(n=2), (dict(n=3), 4)]), c=dict(n=5)))
    assert [part.n for part in walk(cfg._cfg_dict) if 'n' in part] == [1, 2, 3, 5]
    assert list(walk(None)) == list(walk('text')) == []


def test_a_type_is_known_with_and_without_its_scope_and_as_a_class():
    kinds = ['LoggerHook', 'mmengine.LoggerHook', LoggerHook]
    assert [type_name(dict(type=kind)) for kind in kinds] == ['LoggerHook'] * 3
    assert type_name({}) is None


def test_hooks_are_found_by_type_named_or_listed():
    named, listed = dict(type='nasiam_mm.CollapseHook', interval=3), dict(type='EMAHook')
    cfg = Config(
        dict(default_hooks=dict(collapse=named, timer=None), custom_hooks=[LoggerHook(), listed])
    )
    assert find_hook(cfg, 'CollapseHook') == named
    assert find_hook(cfg, 'EMAHook') == listed
    assert find_hook(cfg, 'GenotypeHook') is None
    assert find_hook(Config({}), 'CollapseHook') is None


def test_what_is_logged_saved_or_measured_decides_no_result():
    hooks = dict(logger=1, checkpoint=2, probe=3, resume=4, collapse=5, alpha_step=6, mine=7)
    assert deciding_hooks(hooks) == dict(collapse=5, alpha_step=6, mine=7)
    assert deciding_hooks(None) == {}


def test_the_health_of_a_search_decides_a_result_where_it_may_stop_one():
    idle = dict(type='SearchHealthHook', batches=2, patience=3, max_gap=None)
    assert deciding_hooks(dict(health=idle)) == deciding_hooks(dict(health=None)) == {}
    for limit in ('max_gap', 'min_std'):
        hooks = dict(health={**idle, limit: 0})
        assert deciding_hooks(hooks) == hooks
