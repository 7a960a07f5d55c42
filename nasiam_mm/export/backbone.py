# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Write a pretrained backbone for mmengine, torchvision or timm, and prove the file.

The file is written beside its place, read back by the code of the library it is for, and
compared with the original: every name, every weight, every output. Only then it gets its name.
"""

import io
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.model.weight_init import PretrainedInit
from torch import Tensor, nn

from nasiam_mm.export.asked import check_target
from nasiam_mm.export.checkpoint import PREFIX, PretrainedBackbone, State, build_backbone, check_fit
from nasiam_mm.export.layouts import build_resnet, named_as, spec_of
from nasiam_mm.files.atomic import atomic_path
from nasiam_mm.files.checkpoint import read_checkpoint
from nasiam_mm.files.config_file import config_as_text
from nasiam_mm.models.backbones.base import ChoiceBackbone
from nasiam_mm.versions import require


def export_backbone(source: PretrainedBackbone, out: Path | str, layout: str = 'mmengine') -> int:
    """Write a backbone, prove that the file holds it, and return the number of its entries.

    ValueError if layout, suffix, names, weights or outputs do not agree; ModuleNotFoundError if
    timm or safetensors is asked for and absent.

    Args:
        source: The backbone of a checkpoint.
        out: File to write: ``.pth``, or ``.safetensors`` for the layouts of torchvision and timm.
        layout: 'mmengine' keeps the prefix ``backbone.`` and the backbone's config, for
            ``init_cfg=dict(type='Pretrained', checkpoint=out, prefix='backbone.')``;
            'torchvision' and 'timm' are bare state dicts of those libraries' ResNet.
    """
    out = Path(out)
    check_target(out, layout)
    if out.exists() and out.samefile(source.path):
        raise ValueError(f"'{out}' is what is exported; give another path for the output")
    is_safe = out.suffix == '.safetensors'
    safetensors: Any = require('safetensors.torch', 'export') if is_safe else None
    original, weights = source.build(), dict(source.state_dict)
    with atomic_path(out) as tmp:
        if layout == 'mmengine':
            exported = build_backbone(source.cfg)
            cfg = config_as_text(Config({'model': {'backbone': source.cfg}}))
            meta = {'cfg': cfg, 'source': source.path.name, 'source_sha256': source.sha256}
            state_dict = {PREFIX + name: value for name, value in weights.items()}
            _save({'meta': meta, 'state_dict': state_dict}, tmp)
            PretrainedInit(str(tmp), prefix=PREFIX)(exported)  # as a detector's init_cfg does
        else:
            spec = spec_of(source.cfg)
            weights, exported = named_as(spec, weights), build_resnet(spec, layout)
            if is_safe:
                tmp.write_bytes(safetensors.save(weights, metadata={'format': 'pt'}))
                written = safetensors.load_file(tmp)
            else:
                _save(weights, tmp)
                written = read_checkpoint(tmp, 'cpu')
            check_fit(source.path, exported.state_dict(), written, f'ResNet of {layout}')
            exported.load_state_dict(written, strict=True)
        require_equal_weights(f'{out}: read back', weights, exported.state_dict())
        require_equal_outputs(f'{out}: {layout} backbone', original, exported)
    return len(weights)


def _save(data: Any, path: Path) -> None:
    """Write by Python, whose error says that a disk is full; torch's names neither that nor it."""
    buffer = io.BytesIO()
    torch.save(data, buffer)
    path.write_bytes(buffer.getbuffer())


def stage_outputs(module: nn.Module) -> list[Tensor]:
    """Return what the stages ``layer1`` to ``layer4`` of a ResNet give for seeded noise.

    The module is put in eval mode. A backbone of choices has stages of its own; other backbones
    give what they return.
    """
    outputs: list[Tensor] = []
    images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    module.eval()
    if isinstance(module, ChoiceBackbone):
        with torch.no_grad():
            return module.every_stage(images)
    with torch.no_grad(), ExitStack() as hooks:
        layers = [getattr(module, f'layer{i}', None) for i in range(1, 5)]
        for layer in layers:
            if layer is not None:
                handle = layer.register_forward_hook(lambda _m, _i, output: outputs.append(output))
                hooks.enter_context(handle)
        result = module(images)
    return outputs or _flatten(result)


def require_equal_outputs(name: str, original: nn.Module, exported: nn.Module) -> None:
    """Require bit-equal :func:`stage_outputs`, or raise ValueError.

    ``exported``, which ``name`` stands for in the message, may have fewer stages.
    """
    pairs = zip(stage_outputs(original), stage_outputs(exported), strict=False)
    for stage, (left, right) in enumerate(pairs, start=1):
        if left.shape != right.shape:
            gap = f'is {tuple(right.shape)}, the original gives {tuple(left.shape)}'
        elif not torch.equal(left, right):
            gap = f'differs from the original by up to {(left - right).abs().max().item():.3g}'
        else:
            continue
        raise ValueError(f'{name}: output {stage} {gap}; the networks differ beyond weights')


def require_equal_weights(where: str, original: State, written: State) -> None:
    """Require bit-equal entries of ``original`` in ``written``, or raise ValueError."""
    for name, value in original.items():
        if not torch.equal(value, written[name]):
            raise ValueError(f'{where}: {name} differs from the original')


def _flatten(result: Tensor | Sequence) -> list[Tensor]:
    if isinstance(result, Tensor):
        return [result]
    return [tensor for item in result for tensor in _flatten(item)]
