# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims: a folder of photographs and a place for results are all that the commands need.

1. ``search`` and ``pretrain`` train by recipes that lie in ``--out`` afterwards; the head is that
   of the search, or the standard one.
2. What does not go together is one line.
"""

import json
import os
import shlex

import pytest

from nasiam_mm.cli.commands import train
from nasiam_mm.cli.main import dispatch
from nasiam_mm.cli.own import choose_head, read_backbone
from nasiam_mm.datasets.images import Images
from tests.test_datasets.photos import write_mixed

BACKBONE = "dict(type='ResNet_CIFAR', depth=18, base_channels=8, stem_channels=8)"
EPOCH = ('--epochs', '1')


def test_a_search_and_a_pretraining_without_a_config(tmp_path, capsys, monkeypatch):
    photos, out = write_mixed(tmp_path / 'photos'), tmp_path / 'out'
    both = ['--data', str(photos), '--out', str(out)]
    dispatch(['search', *both, '--backbone', BACKBONE, *EPOCH])
    told = capsys.readouterr().out
    assert 'photos: 33 train, 3 test images, 3 classes' in told and 'width 64 at 32 x 32' in told
    told = told.partition('head yet: ')[2].partition(' compares the two on fresh seeds')[0]
    own = [*both, '--backbone', BACKBONE, *EPOCH, '--study', 'checked']
    assert shlex.split(told) == ['nasiam', 'search', *own]
    genotype = json.loads((out / 'search/genotype.json').read_text())
    assert genotype['framework'] == 'SimCLR' and genotype['provenance']['dataset'] == 'photos'
    trained = []
    monkeypatch.setattr(train, 'train_checked', trained.append)
    dispatch(['pretrain', *both, *EPOCH])
    monkeypatch.undo()
    assert f'the head is that of {out}/search/genotype.json' in capsys.readouterr().out
    (cfg,) = trained
    assert cfg.model.genotype == str(out / 'search/genotype.json')
    assert cfg.work_dir == str(out / 'pretrain') and cfg.model.backbone.base_channels == 8
    with pytest.raises(ValueError, match='holds this run already; go on with it by --resume'):
        dispatch(['search', *both, *EPOCH])


def test_results_may_be_moved_as_a_whole(tmp_path, monkeypatch):
    photos, trained = write_mixed(tmp_path / 'photos'), []
    monkeypatch.setattr(train, 'train_checked', trained.append)
    for out in (tmp_path / 'first', tmp_path / 'moved'):
        dispatch(['pretrain', '--data', str(photos), '--out', str(out), '--backbone', BACKBONE])
        assert trained.pop().data.root == str(out / 'data')
        if out.name == 'first':
            out.rename(tmp_path / 'moved')
    (photos / 'cat').rename(tmp_path / 'cat')
    told = f"missing; put them back below '{photos}', or begin anew with another --out"
    with pytest.raises(FileNotFoundError, match=told):
        Images(str(out / 'data'))


def test_the_head_without_a_search_is_the_standard_one(tmp_path):
    phase, genotype, told = choose_head(tmp_path, None)
    assert (phase, genotype) == ('baseline', None) and 'the standard head is trained' in told
    assert choose_head(tmp_path, 'g.json')[:2] == ('pretrain', 'g.json')


def test_a_verdict_has_more_weight_than_a_search(tmp_path):
    def answer(study: str, value: object, at: int) -> None:
        file = tmp_path / study / 'verdict.json'
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(value))
        os.utime(file, (at, at))

    for folder in ('search', 'one'):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / 'genotype.json').touch()
    searched = str(tmp_path / 'search/genotype.json')
    answer('one', {'answer': 'use'}, 1)
    assert choose_head(tmp_path, None)[:2] == ('pretrain', str(tmp_path / 'one/genotype.json'))
    answer('two', {'answer': 'keep'}, 2)  # the last one counts
    phase, genotype, told = choose_head(tmp_path, None)
    assert (phase, genotype) == ('baseline', None) and 'two/verdict.json says to keep' in told
    assert choose_head(tmp_path, 'g.json')[:2] == ('pretrain', 'g.json')
    for at, open_answer in enumerate(({'answer': 'undecided'}, {}, []), start=3):
        answer('three', open_answer, at)
        phase, genotype, told = choose_head(tmp_path, None)
        assert (phase, genotype) == ('pretrain', searched)
        assert ('three/verdict.json is undecided, so the head is that' in told) == (at == 3)
    answer('three', {'answer': 'undecided'}, 6)
    by_strategy = tmp_path / 'search_gdas/genotype.json'  # nm.search(strategy='gdas'), later
    by_strategy.parent.mkdir()
    by_strategy.touch()
    os.utime(searched, (1, 1))
    assert choose_head(tmp_path, None)[1] == str(by_strategy)
    os.utime(searched, None)
    os.utime(by_strategy, (1, 1))
    assert choose_head(tmp_path, None)[1] == searched
    os.remove(searched)
    assert choose_head(tmp_path, None)[1] == str(by_strategy)
    answer('search_gdas', {'answer': 'undecided'}, 7)  # a study of that name
    assert 'is undecided, so the standard head is trained' in choose_head(tmp_path, None)[2]


@pytest.mark.parametrize(
    ('argv', 'told'),
    [
        (['search'], 'nothing says what to train; give a CONFIG, or --data FOLDER --out FOLDER'),
        (['search', '--data', 'x'], 'nothing says what to train'),
        (['train', '--out', 'x'], 'nothing says what to train'),
        (['check', '--data', 'x', '--out', 'y'], 'give a CONFIG, such as a recipe in the --out'),
        (['search', 'a.py', '--size', '32'], '--size is for images without a config'),
        (
            ['train', 'a.py', '--skip-unreadable'],
            '--skip-unreadable is for images without a config',
        ),
        (
            ['search', '--data', 'x', '--out', 'y', '--backbone', 'dict(3)'],
            '--backbone: .* is no dict',
        ),
    ],
)
def test_what_does_not_go_together_is_one_line(argv, told, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=told):
        dispatch(argv)
    assert not list(tmp_path.iterdir())


def test_a_backbone_is_a_name_or_a_literal():
    assert read_backbone('timm/resnet18') == 'timm/resnet18' and read_backbone(None) is None
    assert read_backbone("dict(type='VGG', depth=11)") == {'type': 'VGG', 'depth': 11}
