# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""``nasiam test CHECKPOINT``: a checkpoint is evaluated by the config that it holds.

1. It gives the figures that ``nasiam test CONFIG CHECKPOINT`` gives, of pretrainings and of
   classifiers, and writes nothing into the folder of the training.
2. Data or a genotype that was moved with the checkpoint is found; else one line says where it was.
3. What a stored config names beside the parts of recipes is refused (contract C11).
"""

import json
import shutil
from pathlib import Path

import pytest
import torch
from mmengine.registry import RUNNERS

from nasiam_mm.architecture.genotype import Decision, Genotype, save_genotype
from nasiam_mm.cli.evaluated import _trained_genotype
from nasiam_mm.cli.main import dispatch
from nasiam_mm.config_walk import type_name
from nasiam_mm.datasets import describe
from nasiam_mm.probes import feature_sets
from nasiam_mm.probes.extract import extract_features
from nasiam_mm.registry import MODELS
from tests.reduced import MINI, reduced


@pytest.fixture(autouse=True)
def in_a_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv('LOCAL_RANK', raising=False)


def measured(*argv: object) -> dict[str, float]:
    dispatch(['test', *map(str, argv), '--out', 'found.json'])
    return json.loads(Path('found.json').read_text())


def changed(source: Path, target: Path, *pairs: tuple[str, str], more: str = '') -> Path:
    """Copy a checkpoint with another config text in it."""
    state = torch.load(source, weights_only=False)
    text = state['meta']['cfg']
    for old, new in pairs:
        assert old in text
        text = text.replace(old, new)
    torch.save({'meta': {**state['meta'], 'cfg': text + more}, **weights(state)}, target)
    return target


def weights(state: dict) -> dict:
    return {name: state[name] for name in ('state_dict', 'identity')}


@pytest.fixture
def checkpoint(finished_search):
    return finished_search[0] / 'work/epoch_2.pth'


@pytest.mark.parametrize('split', ['val', 'test'])
def test_the_stored_config_gives_the_same_figures(finished_search, checkpoint, split, tmp_path):
    there = sorted(path.name for path in checkpoint.parent.iterdir())
    alone = measured('--split', split, checkpoint)
    assert set(alone) == {f'knn/{split}_top1', f'knn/{split}_top5'}
    # Options may stand anywhere, as argparse had it where both were needed.
    config = finished_search[1]
    assert alone == measured(config, '--split', split, checkpoint, '--work-dir', 'w')
    assert alone == measured('--work-dir', 'w', checkpoint.parent, '--split', split)
    assert sorted(path.name for path in checkpoint.parent.iterdir()) == there
    assert (tmp_path / 'work_dirs/test/work_epoch_2').is_dir()


def test_a_classifier_is_tested_by_its_stored_test_loop(tmp_path):
    cfg = reduced('benchmarks/linear/r18_cifar10_linear_demo', tmp_path / 'run')
    del cfg.default_hooks['frozen']  # it asks for pretrained weights
    RUNNERS.build(cfg).train()
    cfg.dump('linear.py')
    alone = measured('run/epoch_1.pth')
    assert alone == measured('linear.py', 'run/epoch_1.pth', '--work-dir', 'w')
    assert set(alone) >= {'accuracy/top1', 'accuracy/top5'}


@pytest.mark.parametrize('kind', ['OptimWrapper', 'AutocastOptimWrapper'])
def test_what_only_training_reads_is_no_matter(tmp_path, kind):
    """SimSiam's predictor has a rate that a hook of training keeps fixed."""
    cfg = reduced('nasiam/simsiam_r18_baseline_cifar10_demo', tmp_path / 'run')
    cfg.optim_wrapper.type = kind
    cfg.dump('simsiam.py')
    model = MODELS.build(cfg.model)
    torch.save({'meta': {'cfg': cfg.pretty_text}, 'state_dict': model.state_dict()}, 'a.pth')
    assert cfg.optim_wrapper.paramwise_cfg.custom_keys.predictor.fix_lr
    seen = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            feature_sets, 'extract_features',
            lambda model, loader, cfg, *a: seen.append(type_name(cfg['optim_wrapper']))
            or extract_features(model, loader, cfg, *a),
        )  # fmt: skip
        assert measured('a.pth') == measured('simsiam.py', 'a.pth', '--work-dir', 'w')
    assert set(seen) == {kind}  # in whose precision features are computed


def test_options_count_over_the_stored_config(checkpoint):
    one = measured(checkpoint, '--cfg-options', 'probe.k=1', 'probe.measures=[dict(type="RankMe")]')
    assert 'measure/rankme' in one


REFUSED = {
    'detector': ([("default_scope = 'nasiam_mm'", "default_scope = 'mmdet'")], '', 'of a detector'),
    'imports': ([], "custom_imports = dict(imports=['evil'])\n", r'own \(custom_imports\)'),
    'no model': ([('model = dict', 'modle = dict')], '', 'its config has no model'),
    'no probe': ([('probe = dict', 'prode = dict')], '', 'neither a probe nor a test loop'),
    'a call': ([], '__import__("os")\n', 'no plain data from line'),
    'a function': ([("'DefaultSampler'", "'os.system'")], '', "builds 'os.system', which is no"),
    'a pickle': ([("type='Images'", "type='BaseDataset'")], '', "builds 'BaseDataset'"),
    'a file': ([("'PackInputs'", "'DumpResults'")], '', "builds 'DumpResults'"),
    'a scope': ([("type='PackInputs'", "type='PackInputs', _scope_='x'")], '', 'sets a _scope_'),
}


@pytest.mark.parametrize('case', REFUSED)
def test_what_a_checkpoint_may_not_say_is_refused(checkpoint, case, tmp_path):
    pairs, more, told = REFUSED[case]
    path = changed(checkpoint, tmp_path / 'a.pth', *pairs, more=more)
    with pytest.raises(ValueError, match=f"checkpoint '{path}': .*{told}") as error:
        dispatch(['test', str(path)])
    assert str(error.value).endswith('trained it: nasiam test CONFIG CHECKPOINT')
    assert not (tmp_path / 'work_dirs').exists()


def test_what_is_no_checkpoint_or_brings_no_config_is_refused(finished_search, checkpoint):
    torch.save({'state_dict': {'backbone.a': torch.ones(2)}}, 'bare.pth')
    Path('text.pth').write_text('x')
    Path('empty').mkdir()
    config = str(finished_search[1])
    for given, told in {
        'bare.pth': "checkpoint 'bare.pth': carries no config; give the config that trained it",
        'text.pth': 'is cut short or damaged, or no checkpoint',
        'none.pth': "checkpoint 'none.pth' does not exist",
        'empty': 'empty: holds no whole checkpoint of a run',
        config: f"'{config}' is no checkpoint: give one, after its config or alone",
    }.items():
        with pytest.raises((ValueError, FileNotFoundError)) as error:
            dispatch(['test', given])
        assert told in str(error.value)


def test_data_that_was_moved(checkpoint, tmp_path):
    away = changed(checkpoint, tmp_path / 'a.pth', (MINI, f'{tmp_path}/gone/data'))
    told = f"'{tmp_path}/gone/data', on whose images '{away}' was trained, is not there; say where"
    with pytest.raises(FileNotFoundError, match=told):
        dispatch(['test', str(away)])
    known = measured(checkpoint)
    assert measured(away, '--data', MINI) == known
    with pytest.raises(FileNotFoundError, match='nowhere: no such folder'):
        dispatch(['test', str(away), '--data', 'nowhere'])
    # With the whole folder of results it is found.
    shutil.copytree(MINI, tmp_path / 'moved/data')
    (tmp_path / 'moved/search').mkdir()
    assert measured(shutil.move(away, tmp_path / 'moved/search/a.pth')) == known


def test_images_without_labels_and_nothing_to_measure(checkpoint, tmp_path):
    (tmp_path / 'data').mkdir()
    for part in ('train', 'test'):
        shutil.copy(Path(MINI, f'{part}_images.npy'), tmp_path / 'data')
    describe(tmp_path / 'data').write(tmp_path / 'data')
    told = 'has no labels, without which its config measures nothing; give one that has probe.meas'
    with pytest.raises(ValueError, match=told):
        dispatch(['test', str(checkpoint), '--data', str(tmp_path / 'data')])
    found = measured(
        checkpoint, '--data', tmp_path / 'data',
        '--cfg-options', 'probe.measures=[dict(type="RankMe")]',
    )  # fmt: skip
    assert list(found) == ['measure/rankme']


def test_a_genotype_that_was_moved_with_its_checkpoint(tmp_path):
    def write(file: Path, chosen: str) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        decisions = {'projector.0.op': Decision(('linear_bn_relu', 'identity'), (chosen,))}
        save_genotype(Genotype('SimSiam', decisions), file)

    identity = {'model.genotype.projector.0.op': 'identity'}
    text = "model = dict(type='SimSiam', genotype='old/search/genotype.json')"
    path = tmp_path / 'new/pretrain/a.pth'
    path.parent.mkdir(parents=True)
    torch.save(dict(meta=dict(cfg=text), identity=identity, state_dict={}), path)
    with pytest.raises(ValueError, match='which is not there any more; give it by --genotype'):
        _trained_genotype(str(path), None, True)
    beside = tmp_path / 'new/search/genotype.json'
    write(beside, 'identity')
    assert _trained_genotype(str(path), None, True) == str(beside)
    write(beside, 'linear_bn_relu')
    with pytest.raises(ValueError, match='not identity; give the one it was by --genotype'):
        _trained_genotype(str(path), None, True)
