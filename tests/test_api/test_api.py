# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims: ``import nasiam_mm as nm`` is the commands as functions.

1. The import stays light; functions are there in any order of imports, also beside rooms of the
   same names, and say what they take.
2. A search and what follows return what lies in their folder, silently; the same call again is done
   at once.
3. A genotype is an SVG in a notebook, results are HTML.
4. What is wrong is a ValueError in one line, in words of Python; what is not there, a
   FileNotFoundError.
"""

import inspect
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
import torch

import nasiam_mm as nm
from nasiam_mm import api
from nasiam_mm.api import running
from nasiam_mm.api.quiet import quietly
from nasiam_mm.architecture.choice import op_choices
from nasiam_mm.architecture.genotype import Decision, Genotype, random_genotype
from nasiam_mm.export.embeddings import Embeddings
from nasiam_mm.files.atomic import write_json
from nasiam_mm.models.frameworks import FRAMEWORKS
from nasiam_mm.ops.candidates import SPACES, layer_shapes
from tests.test_datasets.photos import write_mixed

SMALL = dict(type='ResNet_CIFAR', depth=18, base_channels=8, stem_channels=8)
NAMES = ('search', 'pretrain', 'embed', 'export', 'load')


def test_the_import_is_light_and_the_names_are_there_in_any_order():
    code = (
        'import sys, nasiam_mm as nm\n'
        'assert not {"torch", "mmengine.runner", "nasiam_mm.api"} & set(sys.modules)\n'
        'assert "search" in dir(nm) and "Any" not in dir(nm)\n'
        'import nasiam_mm.search.held_out, nasiam_mm.export.backbone\n'
        'assert all(callable(getattr(nm, name)) for name in nm.__all__)\n'
        'assert "data" in str(__import__("inspect").signature(nm.search))\n'
        'from nasiam_mm.export import export_backbone\n'
        'try: nm.nothing\n'
        'except AttributeError as error: print(error)\n'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "module 'nasiam_mm' has no attribute 'nothing'", done


@pytest.mark.parametrize('name', NAMES)
def test_every_function_is_typed_and_documented(name):
    function = getattr(api, name)
    signature = inspect.signature(function)
    assert inspect.signature(getattr(nm, name)) == signature
    assert all(p.annotation is not inspect.Parameter.empty for p in signature.parameters.values())
    assert signature.return_annotation is not inspect.Signature.empty
    told = inspect.getdoc(function)
    assert 'Raises:' in told and all(f'{parameter}:' in told for parameter in signature.parameters)


def test_lists():
    own = {'barlowtwins', 'byol', 'mocov2', 'mocov3', 'pirl', 'simclr', 'simsiam', 'swav', 'vicreg'}
    assert own <= {*nm.list_frameworks()} <= {*FRAMEWORKS}
    assert nm.list_strategies()[0] == 'checked' and 'gdas' in nm.list_strategies()
    assert {'linear_bn_relu', 'identity'} < set(nm.list_operations())


def test_a_search_and_what_follows(tmp_path, capfd):
    photos, out = write_mixed(tmp_path / 'photos'), tmp_path / 'out'
    capfd.readouterr()
    found = nm.search(photos, 'simclr', out=out, backbone=SMALL, epochs=1)
    assert capfd.readouterr().out == ''
    assert found.genotype.framework == 'SimCLR' and found.verdict is None
    assert found.folder == out / 'search' and nm.load(out / 'search') == found
    stamp = (out / 'search/epoch_1.pth').stat().st_mtime_ns
    assert nm.search(photos, out=out, epochs=1) == found
    assert (out / 'search/epoch_1.pth').stat().st_mtime_ns == stamp
    assert 'not held against the standard head' in found._repr_html_()
    trained = nm.load(out / 'search/epoch_1.pth')
    assert {'knn/val_top1', 'measure/linear'} <= set(trained.scores)
    assert list(trained.curves['loss']) == [1] and trained.genotype is None
    assert '<svg' in trained._repr_html_() and 'knn/val_top1' in trained._repr_html_()
    with pytest.raises(ValueError, match="^skip_unreadable: 'no' is no True or False"):
        nm.embed(found, photos, tmp_path / 'e.npz', skip_unreadable='no')
    features = nm.embed(found, photos, tmp_path / 'e.npz')
    assert np.array_equal(np.load(tmp_path / 'e.npz')['features'], features.features)
    with torch.no_grad():
        assert trained.backbone()(torch.zeros(1, 3, 32, 32))[0].shape == (1, 64, 4, 4)
    file = nm.export(found, tmp_path / 'b.pth')
    weights = torch.load(file, weights_only=True)['state_dict']
    assert torch.equal(weights['backbone.conv1.weight'], trained.backbone().conv1.weight)
    assert capfd.readouterr().out == ''


def test_a_genotype_is_drawn_in_a_notebook(tmp_path):
    choices = {'projector': op_choices('projector', SPACES['S'], layer_shapes(8, [16, 16]))}
    genotype = random_genotype('SimCLR', choices, seed=0)
    drawn = genotype._repr_svg_()
    root = ElementTree.fromstring(drawn)
    assert root.tag.endswith('svg') and drawn == genotype._repr_svg_()
    assert api.Search(tmp_path, genotype).figure().axes
    verdict = {'answer': 'keep', 'sentence': 'keep <it>'}
    shown = api.Search(tmp_path, genotype, verdict)._repr_html_()
    assert 'keep &lt;it&gt;' in shown and '<svg' in shown
    with pytest.raises(ValueError, match='without a genotype'):
        api.Search(tmp_path, None).figure()


def test_results_are_one_line_and_a_picture_with_names(tmp_path):
    choices = {'projector': op_choices('projector', SPACES['S'], layer_shapes(8, [16, 16]))}
    genotype = random_genotype('SimCLR', choices, seed=0)
    told = repr(api.Search(tmp_path, genotype, {'answer': 'keep'}))
    assert told == f"Search('{tmp_path}': SimCLR, projector of 2 layers; keep)"
    assert repr(genotype) == 'Genotype(SimCLR: projector of 2 layers)'
    loss, knn, linear = {1: 3.0, 2: 2.0}, {2: 50.0}, {2: 60.0}
    curves = {'loss': loss, 'knn/val_top1': knn, 'measure/linear': linear}
    scores = {'knn/val_top1': 50.0}
    trained = api.Pretraining(tmp_path, tmp_path / 'x.pth', None, scores, curves)
    assert repr(trained) == f"Pretraining('{tmp_path}': the standard head, knn/val_top1 50)"
    given = api.Pretraining(tmp_path, tmp_path / 'x.pth', genotype)
    assert repr(given) == f"Pretraining('{tmp_path}': SimCLR, projector of 2 layers, not measured)"
    found = Embeddings(('a/1', 'b/2'), np.zeros((2, 8), np.float32), ('a', 'b'), (), tmp_path)
    assert repr(found) == f'Embeddings(2 images, 8 features each, 2 labels, by {tmp_path})'
    left, right = trained.figure().axes
    assert left.get_title() and right.get_ylabel() == 'top-1 of validation images, %'
    assert [list(line.get_ydata()) for line in right.lines] == [[50.0], [60.0]]
    bare = api.Pretraining(tmp_path, tmp_path / 'x.pth', curves={'loss': loss}).figure()
    assert len(bare.axes) == 1


@pytest.mark.parametrize(
    ('decided', 'told'),
    [
        ({'projector.depth': 3, 'projector.hidden_norm': 'ln', 'temperature': 0.2},
         'MoCo: projector of 3 layers, temperature 0.2'),
        ({'projector.depth': 1, 'predictor.form': 'none'},
         'MoCo: projector of 1 layer, no predictor'),
        ({'predictor.form': 'linear', 'projector.out_channels': 64},
         'MoCo: predictor of one linear map, projector'),
    ],
)  # fmt: skip
def test_a_genotype_is_one_line_by_its_heads(decided, told):
    decisions = {name: Decision((option,), (option,)) for name, option in decided.items()}
    assert repr(Genotype('MoCo', decisions)) == f'Genotype({told})'


def test_a_study_is_read_with_its_verdict(tmp_path):
    write_json({'answer': 'keep', 'sentence': 'keep the standard head'}, tmp_path / 'verdict.json')
    found = nm.load(tmp_path)
    assert found.verdict['answer'] == 'keep' and found.genotype is None


def test_what_is_wrong_is_one_line(tmp_path):
    photos = write_mixed(tmp_path / 'photos', each=2)
    with pytest.raises(ValueError, match='there is no strategy .dart., but checked, beta_darts'):
        nm.search(photos, strategy='dart', out=tmp_path / 'out')
    with pytest.raises(ValueError, match='there is no framework .dino.'):
        nm.pretrain(photos, 'dino', out=tmp_path / 'out')
    with pytest.raises(FileNotFoundError, match='no whole checkpoint'):
        nm.load(photos)
    (photos / 'broken.png').write_bytes(b'no image')
    for call in (nm.search, nm.pretrain):
        with pytest.raises(ValueError, match='pass over them: skip_unreadable=True$'):
            call(photos, out=tmp_path / 'out')
    with pytest.raises(FileNotFoundError):
        nm.search(tmp_path / 'nowhere', out=tmp_path / 'out')
    assert not (tmp_path / 'out/data').exists()


def test_an_interruption_is_one_in_a_notebook_too():
    with pytest.raises(KeyboardInterrupt, match='the same call goes on'), quietly(True):
        raise SystemExit(130)
    with pytest.raises(SystemExit), quietly(False):
        raise SystemExit(143)


@pytest.mark.parametrize(
    ('more', 'told'),
    [
        ({'options': 'a=1'}, 'options: .a=1. is no dict'),
        ({'options': {3: 1}}, 'options: .3: 1. is no dict'),
        ({'size': '64'}, "^size must be from 32 to 224 pixels, got '64'"),
        ({'size': 64.5}, '^size must be from 32 to 224 pixels, got 64.5'),
        ({'backbone': 3}, 'a backbone is a name or a config, got 3'),
        ({'out': ''}, '^out is empty'),
        ({'out': 'photos'}, "^out: 'photos' is the folder of the images, .*take another out=$"),
        ({'out': 3}, '^out: 3 is no path'),
        ({'val': b'x'}, "^val: b'x' is no path"),
        ({'seed': -1}, '^seed must be a whole number from 0'),
        ({'seed': 1, 'options': {'randomness.seed': 2}}, 'seed sets .*: leave it out of options=$'),
        ({'options': {'_x': 2}}, "^options: nothing reads '_x'"),
        ({'epochs': 'ten'}, "^epochs must be a whole number from 1, got 'ten'"),
        ({'quiet': 'no'}, "^quiet: 'no' is no True or False"),
        ({'framework': 3}, 'there is no framework 3'),
        ({'strategy': 3}, 'there is no strategy 3'),
    ],
)
def test_a_value_of_another_type_is_one_line_and_leaves_nothing(tmp_path, monkeypatch, more, told):
    monkeypatch.chdir(tmp_path)
    write_mixed(tmp_path / 'photos')
    with pytest.raises(ValueError, match=told):
        nm.search('photos', **more)
    assert [path.name for path in tmp_path.iterdir()] == ['photos']


def test_a_genotype_that_is_given_has_a_file_of_its_own(tmp_path, monkeypatch):
    choices = {'projector': op_choices('projector', SPACES['S'], layer_shapes(8, [16, 16]))}
    heads = [random_genotype('SimCLR', choices, seed) for seed in (0, 1)]
    taken = []

    def refuse(command, args):
        taken.append(args.genotype)
        assert nm.load(args.genotype).decisions
        raise ValueError('refused')

    monkeypatch.setattr(running, '_run', refuse)
    out = tmp_path / 'new/out'
    for head in (*heads, heads[0]):
        with pytest.raises(ValueError, match='refused'):
            nm.pretrain('photos', genotype=head, out=out)
    assert len(set(taken)) == 2 and taken[0] == taken[2] and not list(tmp_path.iterdir())
    out.mkdir(parents=True)
    (out / 'preset.json').touch()
    for head in heads:
        with pytest.raises(ValueError, match='refused'):
            nm.pretrain('photos', genotype=head, out=out)
    assert {str(path) for path in out.glob('given*')} == set(taken)
