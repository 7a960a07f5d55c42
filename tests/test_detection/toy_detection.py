# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What the tests of detection share: pretraining checkpoints, and the tools as modules."""

import importlib.util
from pathlib import Path
from types import ModuleType

import torch
from mmengine.config import Config

from nasiam_mm.registry import MODELS

ROOT = Path(__file__).parents[2]
MINI = ROOT / 'tests' / 'data' / 'cifar10_mini'


def load_tool(path: str) -> ModuleType:
    """Import ``tools/<path>.py``, which is no package."""
    spec = importlib.util.spec_from_file_location(Path(path).stem, ROOT / 'tools' / f'{path}.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_checkpoint(path: Path, prefix: str = 'backbone.', **backbone) -> Path:
    """Write what mmengine would: a trained-looking ResNet, a neck, and the config as text."""
    cfg = Config(dict(model=dict(type='SimSiam', backbone=backbone)))
    module = MODELS.build(dict(backbone, _scope_='nasiam_mm'))
    for layer in module.modules():
        # Every entry differs from its initial value, so that one left out is seen.
        if isinstance(layer, torch.nn.BatchNorm2d):
            for tensor in (layer.weight.data, layer.running_var):
                tensor.uniform_(0.5, 1.5)
            for tensor in (layer.bias.data, layer.running_mean):
                tensor.normal_()
            layer.num_batches_tracked.fill_(7)
    state_dict = {prefix + name: value for name, value in module.state_dict().items()}
    state_dict['neck.fc0.weight'] = torch.zeros(1)
    state_dict['target_net.backbone.conv1.weight'] = torch.zeros(1)
    torch.save(dict(meta=dict(cfg=cfg.pretty_text), state_dict=state_dict), path)
    return path
