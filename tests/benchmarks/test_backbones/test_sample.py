# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Samples: even by size and family, drawn again the same, costs counted."""

import json

import numpy as np
import pytest
import torch
from torch import nn

from benchmarks import ROOT
from benchmarks.backbones.candidates import Backbone, measured
from benchmarks.backbones.draw import SCALES, draw_sample
from benchmarks.backbones.draw_equals import draw_equals
from benchmarks.backbones.sample import read_sample, stratify, write_sample
from nasiam_mm.architecture.genotype import random_genotype, save_genotype
from nasiam_mm.cli.reading import load_config
from nasiam_mm.models.backbones.handing import backbone_choices
from nasiam_mm.registry import MODELS

SAMPLES = ROOT / 'benchmarks/backbones/samples'
MOBILENET = str(ROOT / 'configs/backbones/simclr_mobilenet_pretrain_cifar10_demo.py')


def candidates(count, families=('a', 'b'), seed=0):
    rng = np.random.default_rng(seed)
    sizes = np.exp(rng.uniform(np.log(800), np.log(120_000), (len(families), count)))
    return [
        Backbone('', family, 'random', dict(n=n, f=family), int(sizes[f, n]), 1, 1)
        for f, family in enumerate(families)
        for n in range(count)
    ]


def test_sizes_and_families_are_even():
    found = stratify(candidates(300), 24, (1000, 100_000), 0)
    assert len(found) == 24 and len({backbone.name for backbone in found}) == 24
    assert [b.family for b in found].count('a') == 12
    logs = np.log([backbone.parameters for backbone in found])
    assert (np.diff(logs) >= 0).all()
    counts, _ = np.histogram(logs, 12, (np.log(1000), np.log(100_000)))
    assert counts.tolist() == [2] * 12
    assert found[0].name == f'{found[0].family}-00'


def test_a_count_that_is_no_multiple_and_a_family_that_is_missing():
    found = stratify(candidates(300, ('a', 'b', 'c')), 23, (1000, 100_000), 0)
    counts = [[b.family for b in found].count(family) for family in 'abc']
    assert sum(counts) == 23 and max(counts) - min(counts) <= 1
    some = [c for c in candidates(300) if c.family == 'a' or c.parameters > 30_000]
    found = stratify(some, 24, (1000, 100_000), 0)
    counts, _ = np.histogram(np.log([b.parameters for b in found]), 12, np.log([1000, 100_000]))
    assert counts.tolist() == [2] * 12  # another family stands in


def test_a_seed_decides_and_order_does_not():
    of = candidates(100)
    one = stratify(of, 20, (1000, 100_000), 0)
    assert stratify(of[::-1], 20, (1000, 100_000), 0) == one
    assert stratify(of, 20, (1000, 100_000), 1) != one
    # What is drawn twice counts once.
    with pytest.raises(ValueError, match='19 different backbones of .* are too few for a sample'):
        stratify([*of[:19], *of[:19]], 20, (1, 10**9), 0)


@pytest.mark.parametrize(('scale', 'count'), [('demo', 24), ('paper', 116)])
def test_shipped_samples_are_what_they_say(scale, count):
    found, of = read_sample(SAMPLES / f'{scale}.json'), SCALES[scale]
    assert len(found) == of.count == count
    for family in ('resnet', 'mobilenet'):
        assert [b.family for b in found].count(family) >= 0.4 * count
    assert all(of.limits[0] <= b.parameters <= of.limits[1] for b in found)
    assert all(b.macs <= of.most_macs and b.kind == 'random' for b in found)
    for backbone in found[:: count // 4]:
        again = measured(backbone.name, backbone.family, 'random', backbone.config, of.size)
        assert again == backbone


def test_a_sample_is_drawn_again(tmp_path, monkeypatch):
    small = dict(count=3, limits=(3_000, 300_000), each=3)
    monkeypatch.setitem(SCALES, 'small', type(SCALES['demo'])(
        widths=(0.5,), size=16, most_macs=10**9, **small))  # fmt: skip
    first = draw_sample('small', tmp_path / 'a.json')
    assert draw_sample('small', tmp_path / 'b.json') == first == read_sample(tmp_path / 'a.json')
    assert (tmp_path / 'a.json').read_bytes() == (tmp_path / 'b.json').read_bytes()
    with pytest.raises(ValueError, match="no scale 'huge'; take one of demo, paper"):
        draw_sample('huge', tmp_path / 'c.json')


def test_costs_are_those_of_a_network_that_runs():
    backbone = read_sample(SAMPLES / 'demo.json')[5]
    network = MODELS.build(dict(backbone.config)).eval()
    assert sum(weight.numel() for weight in network.parameters()) == backbone.parameters
    macs = 0

    def count(module, inputs, output):
        nonlocal macs
        macs += output.numel() * module.weight[0].numel()

    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            module.register_forward_hook(count)
    maps = network(torch.zeros(1, 3, 16, 16))
    assert (maps[-1].shape[1], macs) == (backbone.features, backbone.macs)


def test_what_is_no_sample_is_refused(tmp_path):
    path = tmp_path / 'x.json'
    for text in ('{}', '{"backbones": [{"name": "a"}]}', '[', '{"backbones": 3}'):
        path.write_text(text)
        with pytest.raises(ValueError, match='x.json: not a sample of backbones: '):
            read_sample(path)
    write_sample(path, candidates(2))
    with pytest.raises(ValueError, match='two backbones have one name'):
        read_sample(path)


def test_equals_of_a_searched_one_are_drawn(tmp_path, monkeypatch):
    monkeypatch.setattr('benchmarks.backbones.draw_equals._WIDTHS', range(8, 24))
    choices = backbone_choices(load_config(MOBILENET).model.backbone.to_dict())
    file = tmp_path / 'genotype.json'
    save_genotype(random_genotype('SimCLR', choices, 3), file)
    found = draw_equals(MOBILENET, [file], 2, 16, tmp_path / 'out.json')
    assert found == read_sample(tmp_path / 'out.json')
    # The recipe that was asked for, not what was drawn last.
    assert json.loads((tmp_path / 'out.json').read_text())['config'] == MOBILENET
    kinds = [backbone.kind for backbone in found]
    assert kinds == ['searched', 'random', 'random', 'hand-made', 'hand-made']
    size = found[0].parameters
    assert all(abs(backbone.parameters - size) <= 0.1 * size for backbone in found)
    assert len({json.dumps(backbone.config) for backbone in found}) == 5
    assert [backbone.family for backbone in found[3:]] == ['resnet', 'mobilenet']
    with pytest.raises(ValueError, match='has no model.backbone.space to draw from'):
        draw_equals(str(ROOT / 'configs/nasiam/simclr_r18_baseline_cifar10_demo.py'), [], 1, 16, '')
