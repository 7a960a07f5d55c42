# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Exported backbones, loaded by the libraries they are for, and what is refused.

1. torchvision's, timm's, mmpretrain's and mmdet's own code give the original's features.
2. The file holds every entry of the backbone and nothing else, in each container.
3. What does not fit, or gives other outputs, is one line, and nothing is written.
"""

import sys

import pytest
import timm
import torch
import torchvision
from mmengine.config import Config
from safetensors.torch import load_file
from torch import nn

import nasiam_mm.detection  # noqa: F401  installs the adapter before mmdet is imported
from nasiam_mm.export import backbone as export_module
from nasiam_mm.export import export_backbone, layouts, read_pretrained
from nasiam_mm.export.layouts import ResNetSpec
from nasiam_mm.registry import MODELS
from tests.test_detection.toy_detection import load_tool, write_checkpoint

CIFAR18 = dict(type='ResNet_CIFAR', depth=18)
NARROW = dict(type='ResNet_CIFAR', depth=18, stem_channels=4, base_channels=4)
IMAGES = torch.randn(2, 3, 48, 40, generator=torch.Generator().manual_seed(3))


@pytest.fixture
def tool():
    return load_tool('model_converters/export_backbone')


@pytest.fixture
def narrow(tmp_path):
    return write_checkpoint(tmp_path / 'in.pth', **NARROW)


def pooled(checkpoint, cfg) -> torch.Tensor:
    """Features of the original, from its checkpoint and config alone: (N, C)."""
    weights = torch.load(checkpoint)['state_dict']
    module = MODELS.build(dict(cfg))
    names = [name for name in weights if name.startswith('backbone.')]
    module.load_state_dict({name[9:]: weights[name] for name in names}, strict=True)
    module.eval()
    with torch.no_grad():
        return module(IMAGES)[-1].mean((2, 3))


def features(net: nn.Module) -> torch.Tensor:
    net.eval()
    with torch.no_grad():
        return net(IMAGES)


def same(left: torch.Tensor, right: torch.Tensor) -> bool:
    # Average pooling may sum in another order than mean().
    return torch.allclose(left, right, rtol=1e-5, atol=1e-6)


def cifar_stem(net: nn.Module) -> nn.Module:
    """What docs/detection.md tells a reader to do."""
    net.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    net.maxpool = nn.Identity()
    return net


@pytest.mark.parametrize('cfg', [CIFAR18, dict(type='ResNet', depth=18)], ids=['cifar', 'imagenet'])
def test_torchvision_and_timm_load_it(tool, tmp_path, cfg):
    checkpoint = write_checkpoint(tmp_path / 'in.pth', **cfg)
    stem = cifar_stem if cfg is CIFAR18 else lambda net: net
    expected = pooled(checkpoint, cfg)

    tool.main([str(checkpoint), str(tmp_path / 'tv.pth'), '--layout', 'torchvision'])
    net = stem(torchvision.models.resnet18())
    net.fc = nn.Identity()
    net.load_state_dict(torch.load(tmp_path / 'tv.pth'), strict=True)
    assert same(features(net), expected)

    tool.main([str(checkpoint), str(tmp_path / 'timm.safetensors'), '--layout', 'timm'])
    net = stem(timm.create_model('resnet18', num_classes=0))
    timm.models.load_checkpoint(net, str(tmp_path / 'timm.safetensors'), strict=True)
    assert same(features(net), expected)


@pytest.mark.parametrize('out', ['tv.pth', 'tv.safetensors'])
def test_the_printed_lines_load_the_file(tool, tmp_path, narrow, capsys, out):
    tool.main([str(narrow), str(tmp_path / out), '--layout', 'torchvision'])
    _, _, lines = capsys.readouterr().out.partition('loaded by\n')
    found: dict = {}
    exec(lines, found)
    assert same(features(found['net']), pooled(narrow, NARROW))


def test_resnet50_by_one_call_of_timm(tool, tmp_path):
    cfg = dict(type='ResNet', depth=50)
    checkpoint = write_checkpoint(tmp_path / 'in.pth', **cfg)
    out = tmp_path / 'r50.safetensors'
    tool.main([str(checkpoint), str(out), '--layout', 'timm'])
    net = timm.create_model('resnet50', num_classes=0, checkpoint_path=str(out))
    assert same(features(net), pooled(checkpoint, cfg))


@pytest.mark.parametrize('scope', ['nasiam_mm', 'mmdet'])
def test_mmengine_layout_loads_by_init_cfg(tool, tmp_path, narrow, scope):
    out = tmp_path / 'backbone.pth'
    tool.main([str(narrow), str(out)])
    init_cfg = dict(type='Pretrained', checkpoint=str(out), prefix='backbone.')
    cfg = dict(NARROW, type='mmpretrain.ResNet_CIFAR', init_cfg=init_cfg, _scope_=scope)
    module = MODELS.build(cfg)
    module.init_weights()
    module.eval()
    with torch.no_grad():
        assert torch.equal(module(IMAGES)[-1].mean((2, 3)), pooled(narrow, NARROW))


@pytest.mark.parametrize('layout', ['mmengine', 'torchvision', 'timm'])
def test_every_entry_and_no_other(tmp_path, narrow, layout):
    out = tmp_path / 'new' / 'out.pth'
    source = read_pretrained(narrow)
    assert export_backbone(source, out, layout) == len(source.state_dict) == 120
    written = torch.load(out)
    prefix = ''
    if layout == 'mmengine':
        assert Config.fromstring(written['meta']['cfg'], '.py').model.backbone == NARROW
        written, prefix = written['state_dict'], 'backbone.'
    assert written.keys() == {prefix + name for name in source.state_dict}
    original = torch.load(narrow)['state_dict']
    for name in source.state_dict:
        assert torch.equal(written[prefix + name], original[f'backbone.{name}'])
    assert [path.name for path in out.parent.iterdir()] == ['out.pth']


def test_safetensors_holds_the_same_weights(tmp_path, narrow):
    source = read_pretrained(narrow)
    export_backbone(source, tmp_path / 'out.safetensors', 'torchvision')
    written = load_file(tmp_path / 'out.safetensors')
    assert written.keys() == source.state_dict.keys()
    assert all(torch.equal(written[name], source.state_dict[name]) for name in written)


def test_wrapped_and_exported_files_are_read_too(tmp_path, narrow):
    source = read_pretrained(narrow)
    torch.manual_seed(0)
    checkpoint = torch.load(narrow)
    checkpoint['state_dict'] = {f'module.{k}': v for k, v in checkpoint['state_dict'].items()}
    torch.save(checkpoint, tmp_path / 'ddp.pth')
    export_backbone(read_pretrained(tmp_path / 'ddp.pth'), tmp_path / 'once.pth')
    again = read_pretrained(tmp_path / 'once.pth')
    assert again.cfg == source.cfg
    assert again.state_dict.keys() == source.state_dict.keys()
    assert all(torch.equal(again.state_dict[k], v) for k, v in source.state_dict.items())


def test_config_beside_the_checkpoint(tmp_path, narrow):
    checkpoint = torch.load(narrow)
    torch.save(dict(state_dict=checkpoint['state_dict']), narrow)
    with pytest.raises(ValueError, match='carries no config; give the config that trained it'):
        read_pretrained(narrow)
    config = tmp_path / 'config.py'
    config.write_text(f'model = dict(backbone={NARROW})\n')
    assert export_backbone(read_pretrained(narrow, config), tmp_path / 'out.pth') == 120
    config.write_text('optimizer = 1\n')
    with pytest.raises(ValueError, match=r'has no model\.backbone'):
        read_pretrained(narrow, config)


def edit(checkpoint, change) -> None:
    content = torch.load(checkpoint)
    change(content['state_dict'])
    torch.save(content, checkpoint)


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda w: w.pop('backbone.bn1.bias'), r'bn1\.bias is missing'),
        (lambda w: w.update({'backbone.extra': torch.ones(1)}), 'extra is left over'),
        (
            lambda w: w.update({'backbone.conv1.weight': torch.ones(4, 3, 7, 7)}),
            r'conv1\.weight is \(4, 3, 7, 7\), not \(4, 3, 3, 3\)',
        ),
        (
            lambda w: w['backbone.bn1.weight'].fill_(float('nan')),
            r'bn1\.weight is not finite; use an earlier checkpoint',
        ),
    ],
)
@pytest.mark.parametrize('layout', ['mmengine', 'timm'])
def test_weights_that_do_not_fit(tool, tmp_path, narrow, change, message, layout):
    edit(narrow, change)
    with pytest.raises(ValueError, match=message) as error:
        tool.main([str(narrow), str(tmp_path / 'new' / 'out.pth'), '--layout', layout])
    assert '\n' not in str(error.value)
    assert list(tmp_path.iterdir()) == [narrow]


@pytest.mark.parametrize(
    ('out', 'layout', 'message'),
    [
        ('out.bin', 'timm', r'ends in \.pth or \.safetensors'),
        ('out.safetensors', 'mmengine', r'for mmengine, give a name that ends in \.pth$'),
        ('out.pth', 'keras', "layout 'keras' is none of mmengine, torchvision, timm"),
    ],
)
def test_targets_that_do_not_exist(tmp_path, narrow, out, layout, message):
    with pytest.raises(ValueError, match=message):
        export_backbone(read_pretrained(narrow), tmp_path / 'new' / out, layout)
    assert list(tmp_path.iterdir()) == [narrow]


@pytest.mark.parametrize(
    ('cfg', 'message'),
    [
        (dict(type='VisionTransformer'), 'VisionTransformer has no counterpart in the ResNets'),
        (dict(type='ResNet', depth=50, style='caffe'), r'backbone\.style=caffe has no counterpart'),
        (dict(type='ResNet', depth=50, deep_stem=True), r'backbone\.deep_stem=True has no'),
        (dict(type='ResNet', depth=50, strides=[1, 2, 2, 1]), r'backbone\.strides='),
        (dict(type='ResNet', depth=26), r'backbone\.depth=26 has no counterpart'),
    ],
)
def test_networks_without_counterpart(cfg, message):
    with pytest.raises(ValueError, match=message):
        ResNetSpec.from_cfg(cfg)


def test_config_defaults_have_a_counterpart():
    cfg = dict(type='mmpretrain.ResNet', depth=50, strides=[1, 2, 2, 2], frozen_stages=-1)
    assert ResNetSpec.from_cfg(cfg) == ResNetSpec(50, 64, 64, cifar_stem=False)


@pytest.mark.parametrize('layout', ['torchvision', 'timm'])
def test_other_outputs_write_nothing(tmp_path, narrow, monkeypatch, layout):
    """The same names and weights behind a max-pool: only the outputs can tell."""
    source = read_pretrained(narrow)

    def with_max_pool(*args):
        net = layouts.build_resnet(*args)
        net.maxpool = nn.MaxPool2d(3, 1, 1)
        return net

    monkeypatch.setattr(export_module, 'build_resnet', with_max_pool)
    with pytest.raises(ValueError, match='output 1 differs from the original by up to'):
        export_backbone(source, tmp_path / 'out.pth', layout)
    assert list(tmp_path.iterdir()) == [narrow]


@pytest.mark.parametrize(
    ('library', 'layout', 'out'),
    [('timm', 'timm', 'out.pth'), ('safetensors', 'torchvision', 'out.safetensors')],
)
def test_absent_library_names_the_extra(tmp_path, narrow, monkeypatch, library, layout, out):
    source = read_pretrained(narrow)
    for name in [name for name in sys.modules if name.split('.')[0] == library]:
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'nasiam_mm\[export\]'"):
        export_backbone(source, tmp_path / out, layout)
    assert list(tmp_path.iterdir()) == [narrow]
