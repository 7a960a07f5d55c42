# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Searched backbones as files of mmengine, torchvision and timm, with what a search trained."""

import copy
import random

import pytest
import torch
from mmengine.config import Config
from safetensors.torch import load_file

from nasiam_mm.architecture.genotype import Decision, Genotype, save_genotype
from nasiam_mm.export import export_backbone, read_pretrained
from nasiam_mm.export.layouts import build_resnet, loader_of, spec_of
from nasiam_mm.models.backbones.derive import derived_weights
from nasiam_mm.registry import MODELS
from nasiam_mm.search.held_out import one_hot_weights
from tests.backbones import MIXED, simclr
from tests.test_detection.toy_detection import write_checkpoint

BLOCKS = {f'backbone.{stage}.blocks': number for stage, number in enumerate((1, 3, 2))}
BASIC = dict(type='ChoiceResNet', genotype={**BLOCKS, 'backbone.width': 0.5})
DEEP = dict(type='ChoiceResNet', genotype={**BLOCKS, 'backbone.block': 'bottleneck'})
IMAGES = torch.randn(2, 3, 24, 20, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize('layout', ['torchvision', 'timm'])
@pytest.mark.parametrize('config', [BASIC, DEEP], ids=['basic', 'bottleneck'])
def test_the_libraries_own_blocks_give_its_features(config, layout, tmp_path):
    source = read_pretrained(write_checkpoint(tmp_path / 'in.pth', **config))
    original = source.build()
    out = tmp_path / 'out.safetensors'
    assert export_backbone(source, out, layout) == len(original.state_dict())
    net = build_resnet(spec_of(source.cfg), layout)
    assert type(net).__module__ == {'torchvision': 'torchvision.models.resnet',
                                    'timm': 'timm.models.resnet'}[layout]  # fmt: skip
    net.load_state_dict(load_file(out), strict=True)
    net.eval()
    with torch.no_grad():
        features, maps = net(IMAGES), original(IMAGES)[-1]
    torch.testing.assert_close(features, maps.mean((2, 3)))
    assert {name.split('.')[0] for name in net.state_dict()} == {
        *('conv1', 'bn1', 'layer1', 'layer2', 'layer3')
    }


def test_the_lines_that_are_printed_load_the_file(tmp_path):
    source = read_pretrained(write_checkpoint(tmp_path / 'in.pth', **BASIC))
    export_backbone(source, tmp_path / 'out.pth', 'torchvision')
    names: dict = {}
    exec(loader_of(spec_of(source.cfg), 'torchvision', tmp_path / 'out.pth'), names)
    net = names['net'].eval()
    with torch.no_grad():
        torch.testing.assert_close(net(IMAGES), source.build()(IMAGES)[-1].mean((2, 3)))


@pytest.mark.parametrize(
    'config',
    [
        dict(type='ChoiceResNet', kernel=5),
        dict(type='ChoiceResNet', blocks=(1, 1), genotype={
            'backbone.0.op': 'basic_3', 'backbone.1.op': 'bottleneck_3'}),
        dict(type='ChoiceResNet', blocks=(1,) * 5),
    ],
    ids=['kernel', 'mixed', 'stages'],
)  # fmt: skip
def test_what_has_no_counterpart_is_one_line_and_no_file(config, tmp_path):
    source = read_pretrained(write_checkpoint(tmp_path / 'in.pth', **config))
    with pytest.raises(ValueError, match=r'^a ChoiceResNet of .* has no counterpart in the ResNe'):
        export_backbone(source, tmp_path / 'out.pth', 'torchvision')
    assert not (tmp_path / 'out.pth').exists()


@pytest.mark.parametrize('kind', MIXED)
def test_the_export_of_a_search_is_what_was_chosen_with_its_weights(kind, tmp_path):
    model = simclr(kind)
    owner, rng = model.architecture, random.Random(0)
    decisions = {}
    for choice in (c for rows in owner.choices.values() for c in rows):
        there = [o for o, here in zip(choice.options, choice.present, strict=True) if here]
        decisions[choice.name] = Decision(choice.options, (rng.choice(there),))
    save_genotype(Genotype('SimCLR', decisions), tmp_path / 'genotype.json')
    backbone = dict(MIXED[kind], img_size=16)
    cfg = Config(dict(model=dict(type='SimCLR', backbone=backbone)))
    state = dict(meta=dict(cfg=cfg.pretty_text), state_dict=model.state_dict())
    torch.save(state, tmp_path / 'epoch_1.pth')
    source = read_pretrained(tmp_path / 'epoch_1.pth')
    export_backbone(source, tmp_path / 'out.pth')
    written = torch.load(tmp_path / 'out.pth')
    told = Config.fromstring(written['meta']['cfg'], '.py').model.backbone
    net = MODELS.build(told)
    state = {name.removeprefix('backbone.'): v for name, v in written['state_dict'].items()}
    net.load_state_dict(state, strict=True)
    model.backbone.eval(), net.eval()
    with torch.no_grad(), owner.mixed_by(one_hot_weights(owner, decisions)):
        assert torch.equal(net(IMAGES)[0], model.backbone(IMAGES)[0])
    assert all(v.equal(derived_weights(model.backbone.state_dict(), state)[n]) for n, v in
               state.items())  # fmt: skip
    # Without its genotype the supernet is none that could be told of.
    (tmp_path / 'genotype.json').unlink()
    with pytest.raises(ValueError, match='what was decided of its backbone: .*does not exist'):
        read_pretrained(tmp_path / 'epoch_1.pth')


def test_a_detector_takes_it_with_fpn(tmp_path):
    import nasiam_mm.detection  # noqa: F401  installs the adapter before mmdet is imported
    from nasiam_mm.detection import transfer

    path = 'configs/detection/mask-rcnn_choice-resnet-fpn_cifar10det_demo.py'
    cfg = transfer.load_config(path)
    source = read_pretrained(write_checkpoint(tmp_path / 'in.pth', **BASIC))
    transfer.fit_config(cfg, source)
    assert cfg.model.neck.in_channels == [16, 32]
    assert transfer.check_detector(cfg, source) == len(source.state_dict)
    weights = tmp_path / 'backbone.pth'
    export_backbone(source, weights)
    detector = transfer.build_detector(cfg, weights)
    detector.init_weights()
    detector.eval()
    original = MODELS.build(dict(source.cfg, out_indices=(1, 2)))
    original.load_state_dict(source.state_dict)
    original.eval()
    images = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        maps, pyramid = original(images), detector.extract_feat(images)
        laterals = [
            convolution.conv(level)
            for convolution, level in zip(detector.neck.lateral_convs, maps, strict=True)
        ]
        fine = laterals[0] + torch.nn.functional.interpolate(laterals[1], scale_factor=2)
        torch.testing.assert_close(pyramid[0], detector.neck.fpn_convs[0].conv(fine))
    assert [tuple(level.shape) for level in pyramid] == [
        (2, 64, 32, 32), (2, 64, 16, 16), (2, 64, 8, 8),
    ]  # fmt: skip
    other = copy.deepcopy(cfg)
    other.model.backbone.type = 'mmpretrain.ResNet_CIFAR'
    with pytest.raises(ValueError, match='holds a ChoiceResNet, .* wants a ResNet_CIFAR'):
        transfer.fit_config(other, source)
