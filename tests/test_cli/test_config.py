# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What the command line changes in a config, field by field."""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

import pytest
import torch
from mmengine.config import Config

from nasiam_mm.architecture.genotype import Decision, Genotype, save_genotype
from nasiam_mm.cli import config as config_tools
from nasiam_mm.cli.commands import train
from nasiam_mm.cli.evaluated import read_evaluated

PRETRAIN = """
work_dir = {work_dir!r}
model = dict(type='SimSiam', genotype=None, neck=dict(type='HeadMLP', name='projector'))
optim_wrapper = dict(optimizer=dict(type='SGD', lr=0.1))
train_dataloader = dict(batch_size=4, num_workers=0)
val_dataloader = None
custom_hooks = [dict(type='CollapseHook')]
probe = dict(k=3, bank=dict(num_workers=2, persistent_workers=True))
"""


@pytest.fixture(autouse=True)
def restored_path(monkeypatch):
    monkeypatch.setattr(sys, 'path', list(sys.path))
    monkeypatch.delenv('LOCAL_RANK', raising=False)


def parse(*argv: str) -> Namespace:
    parser = ArgumentParser()
    config_tools.add_config_arguments(parser)
    return parser.parse_args(argv)


@pytest.fixture
def path(tmp_path):
    file = tmp_path / 'simsiam_r18_pretrain.py'
    file.write_text(PRETRAIN.format(work_dir=None))
    return str(file)


@pytest.fixture
def cfg(path):
    return config_tools.read_config(parse(path))


def test_work_dir_is_the_arguments_the_configs_or_the_name(path, tmp_path):
    def work_dir(file: str, *argv: str) -> str:
        return config_tools.read_config(parse(file, *argv)).work_dir

    stated = tmp_path / 'stated.py'
    stated.write_text(PRETRAIN.format(work_dir='of_config'))
    assert work_dir(path) == str(Path('work_dirs/simsiam_r18_pretrain'))
    assert work_dir(str(stated)) == 'of_config'
    assert work_dir(str(stated), '--work-dir', 'of_argument') == 'of_argument'


def test_a_genotype_goes_to_the_algorithm(path):
    cfg = config_tools.read_config(parse(path, '--genotype', 'found.json'))
    assert cfg.model.genotype == 'found.json'


def test_an_evaluation_knows_the_genotype_of_its_checkpoint(path, tmp_path, monkeypatch):
    def write(name: str, chosen: str) -> str:
        decisions = {'projector.0.op': Decision(('linear_bn_relu', 'identity'), (chosen,))}
        save_genotype(Genotype('SimSiam', decisions), tmp_path / name)
        return str(tmp_path / name)

    def read(*argv: str) -> str | None:
        args = parse(path, *argv)
        args.checkpoint = str(tmp_path / 'a.pth')
        return read_evaluated(args).model.genotype

    trained, other = write('trained.json', 'identity'), write('other.json', 'linear_bn_relu')
    identity = {'model.genotype.projector.0.op': 'identity'}
    text = f'model = dict(type="SimSiam", genotype={trained!r})'
    torch.save(dict(meta=dict(cfg=text), identity=identity, state_dict={}), tmp_path / 'a.pth')
    assert read() == trained
    assert read('--genotype', other) == other
    write('trained.json', 'linear_bn_relu')
    told = 'which now holds linear_bn_relu for projector.0.op, not identity; give the one it was'
    with pytest.raises(ValueError, match=told):
        read()
    Path(trained).unlink()
    with pytest.raises(ValueError, match='which is not there any more; give it by --genotype'):
        read()
    torch.save(dict(state_dict={}), tmp_path / 'a.pth')
    assert read() is None


def test_a_genotype_for_a_model_that_takes_none_is_refused(path):
    cfg = Config(dict(model=dict(neck=dict(type='NonLinearNeck'))), filename=path)
    with pytest.raises(ValueError, match=r'--genotype: the model of config .* takes no genotype'):
        config_tools.set_genotype(cfg, 'found.json')


def test_options_have_the_last_word_and_import_what_they_name(cfg, tmp_path, monkeypatch):
    (tmp_path / 'my_operation_of_test.py').write_text('LOADED = True\n')
    monkeypatch.syspath_prepend(tmp_path)
    args = parse(
        cfg.filename,
        '--cfg-options',
        'optim_wrapper.optimizer.lr=0.5',
        'custom_imports.imports=my_operation_of_test',
        'probe.k=7',
    )
    config_tools.merge_options(cfg, args)
    assert cfg.optim_wrapper.optimizer == dict(type='SGD', lr=0.5)
    assert cfg.probe.k == 7
    assert sys.modules.pop('my_operation_of_test').LOADED


def test_options_reach_the_named_hooks_and_the_probe_of_a_recipe():
    options = ('default_hooks.genotype.top_k=2', 'default_hooks.collapse.action=stop', 'probe.k=7')
    args = parse('configs/nasiam/simsiam_r18_search_cifar10.py', '--cfg-options', *options)
    cfg = config_tools.read_config(args)
    config_tools.merge_options(cfg, args)
    hooks = cfg.default_hooks
    assert hooks.genotype == dict(type='GenotypeHook', top_k=2)
    assert hooks.collapse == dict(type='CollapseHook', interval=50, action='stop')
    assert hooks.probe == dict(type='ProbeHook')
    assert (cfg.probe.k, cfg.probe.interval) == (7, 5)
    assert cfg.get('custom_hooks') is None


@pytest.mark.parametrize(
    ('argument', 'option', 'told'),
    [
        ('--work-dir', 'work_dir=b', '--work-dir sets work_dir: leave it out'),
        ('--genotype', 'model.genotype=b', '--genotype sets model.genotype: leave it'),
        (None, 'optim_wrapper.optimizer.lr.x=1', 'has no place for optim_wrapper.optimizer.lr.x'),
        (None, '_helper=1', "nothing reads '_helper'; what begins with _ only helps"),
        (None, 'custom_hooks.7.interval=1', 'has no place for custom_hooks.7.interval'),
        (None, 'custom_hooks.interval=1', 'has no place for custom_hooks.interval'),
        (None, 'train_dataloader.batch_size.0=1', 'has no place for train_dataloader.batch_size'),
    ],
)
def test_an_option_with_no_place_or_set_twice_is_refused(path, argument, option, told):
    args = parse(path, *([argument, 'a'] if argument else []), '--cfg-options', option)
    cfg = config_tools.read_config(args)
    with pytest.raises(ValueError, match=told) as caught:
        config_tools.merge_options(cfg, args)
    assert '\n' not in str(caught.value) and len(str(caught.value)) < 500


@pytest.mark.parametrize(
    ('value', 'expected'),
    [
        ("[dict(type='ZeroOne', weight=2.0)]", [{'type': 'ZeroOne', 'weight': 2.0}]),
        ('[{"type":"A"},dict(b=dict(c=[1, 2]))]', [{'type': 'A'}, {'b': {'c': [1, 2]}}]),
        ("{'a': (1, None)}", {'a': (1, None)}),
        ('[a,(b,1)]', ['a', ('b', 1)]),
        ('directory', 'directory'),
    ],
)
def test_an_option_may_be_a_dict_or_a_list_of_them(value, expected):
    options = parse('config.py', '--cfg-options', 'x.y=3', f'x.z={value}').cfg_options
    assert options == {'x.y': 3, 'x.z': expected}


@pytest.mark.parametrize('value', ['[dict(type=A)]', '[{a:1}]', '[dict(a=1)', "dict(open('a'))"])
def test_an_option_that_is_no_literal_dict_is_refused(value, capsys):
    with pytest.raises(SystemExit):
        parse('config.py', '--cfg-options', f'x={value}')
    told = capsys.readouterr().err
    assert f'the value of x is no Python literal: {value}; quote' in told


@pytest.mark.parametrize('option', ['lr', '=0.1', '='])
def test_an_option_without_key_or_value_is_refused(option, capsys):
    with pytest.raises(SystemExit):
        parse('config.py', '--cfg-options', option)
    assert 'is not of the form KEY=VALUE' in capsys.readouterr().err


def test_a_missing_or_broken_config_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"config 'none\.py' does not exist"):
        config_tools.read_config(parse('none.py'))
    broken = tmp_path / 'broken.py'
    broken.write_text('model = dict()\nmodel.type = (\n')
    with pytest.raises(ValueError, match=r"broken.py' or one of its _base_, line 2: "):
        config_tools.read_config(parse(str(broken)))


@pytest.mark.parametrize('has_gpu', [False, True])
def test_amp_is_bfloat16_where_it_can_be(cfg, has_gpu, monkeypatch):
    monkeypatch.setattr('torch.cuda.is_available', lambda: has_gpu)
    monkeypatch.setattr('torch.cuda.is_bf16_supported', lambda including_emulation: True)
    config_tools.set_amp(cfg)
    assert cfg.optim_wrapper.type == 'AutocastOptimWrapper'
    assert cfg.optim_wrapper.dtype == 'bfloat16'


def test_amp_is_scaled_float16_on_a_gpu_without_bfloat16(cfg, monkeypatch):
    monkeypatch.setattr('torch.cuda.is_available', lambda: True)
    monkeypatch.setattr('torch.cuda.is_bf16_supported', lambda including_emulation: False)
    config_tools.set_amp(cfg)
    assert cfg.optim_wrapper.type == 'AmpOptimWrapper'
    assert cfg.optim_wrapper.loss_scale == 'dynamic'


def test_compile_adds_its_hook_once(tmp_path):
    parser = ArgumentParser()
    train.add_arguments(parser)
    for number, hooks in enumerate(([], [dict(type='CompileHook', mode='reduce-overhead')])):
        path = tmp_path / f'{number}.py'
        Config(dict(custom_hooks=hooks)).dump(path)
        argv = [str(path), '--compile', '--work-dir', str(tmp_path / 'work')]
        cfg = train.configure(parser.parse_args(argv))
        added = {} if hooks else dict(compile=dict(type='CompileHook'))
        assert cfg.get('default_hooks', {}) == added and cfg.custom_hooks == hooks


def test_amp_leaves_a_mixed_wrapper_and_refuses_another(cfg):
    cfg.optim_wrapper.type = 'AutocastOptimWrapper'
    before = cfg.optim_wrapper.to_dict()
    config_tools.set_amp(cfg)
    assert cfg.optim_wrapper.to_dict() == before
    cfg.optim_wrapper.type = 'ApexOptimWrapper'
    with pytest.raises(ValueError, match='--amp: cannot replace ApexOptimWrapper'):
        config_tools.set_amp(cfg)


def test_loader_defaults_fit_the_workers_and_keep_what_is_stated(cfg):
    config_tools.set_loader_defaults(cfg)
    loader = cfg.train_dataloader
    assert loader.persistent_workers is False
    assert loader.pin_memory is torch.cuda.is_available()
    assert loader.collate_fn == dict(type='default_collate')
    cfg.train_dataloader = dict(num_workers=2, pin_memory=True, collate_fn=dict(type='mine'))
    config_tools.set_loader_defaults(cfg)
    assert cfg.train_dataloader.to_dict() == dict(
        num_workers=2, pin_memory=True, collate_fn=dict(type='mine'), persistent_workers=True
    )
    assert cfg.val_dataloader is None


def test_loader_switches_reach_the_loaders_of_hooks(cfg):
    cfg.train_dataloader.update(num_workers=2, pin_memory=True)
    config_tools.set_loader_defaults(cfg, pin_memory=False, persistent_workers=False)
    assert cfg.train_dataloader.pin_memory is False
    assert cfg.train_dataloader.persistent_workers is False
    assert cfg.probe.bank.persistent_workers is False


def test_a_checkpoint_that_is_no_whole_file_is_refused(tmp_path):
    whole, cut = tmp_path / 'whole.pth', tmp_path / 'cut.pth'
    torch.save(dict(state_dict=dict(weight=torch.ones(64))), whole)
    config_tools.check_checkpoint(str(whole))
    cut.write_bytes(whole.read_bytes()[:-10])
    with pytest.raises(ValueError, match='is cut short or damaged'):
        config_tools.check_checkpoint(str(cut))
    with pytest.raises(FileNotFoundError, match=r"none\.pth' does not exist"):
        config_tools.check_checkpoint(str(tmp_path / 'none.pth'))


@pytest.mark.parametrize('launcher', ['slurm', 'mpi'])
def test_launchers_of_clusters_need_an_accelerator(cfg, launcher, monkeypatch):
    monkeypatch.setattr('mmengine.device.get_device', lambda: 'cpu')
    cfg.launcher = launcher
    with pytest.raises(ValueError, match=f'--launcher {launcher} needs an accelerator'):
        config_tools.start_processes_on_cpu(cfg)
    assert not torch.distributed.is_initialized()
