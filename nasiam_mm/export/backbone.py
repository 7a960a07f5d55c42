# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Write a pretrained backbone for mmengine, torchvision or timm, and prove the file.

The file is written beside its place, read back by the code of the library it is for, and
compared with the original: every name, every weight, every output. Only then it gets its name.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.model.weight_init import PretrainedInit
from torch import Tensor, nn

from nasiam_mm.export.checkpoint import PREFIX, PretrainedBackbone, build_backbone, check_fit
from nasiam_mm.export.layouts import ResNetSpec, build_resnet
from nasiam_mm.files.atomic import atomic_path
from nasiam_mm.files.checkpoint import read_checkpoint
from nasiam_mm.versions import require

LAYOUTS = ('mmengine', 'torchvision', 'timm')


def export_backbone(source: PretrainedBackbone, out: Path | str, layout: str = 'mmengine') -> int:
    """Write a backbone and prove that the file holds it.

    Args:
        source: The backbone of a checkpoint.
        out: File to write: ``.pth``, or ``.safetensors`` for the layouts of torchvision and timm.
        layout: 'mmengine' keeps the prefix ``backbone.`` and the backbone's config, for
            ``init_cfg=dict(type='Pretrained', checkpoint=out, prefix='backbone.')``;
            'torchvision' and 'timm' are bare state dicts of those libraries' ResNet.

    Returns:
        The number of entries written, all of the backbone's.

    Raises:
        ValueError: If layout, suffix, names, weights or outputs do not agree.
        ModuleNotFoundError: If timm or safetensors is asked for and absent.
    """
    out = Path(out)
    is_safe = out.suffix == '.safetensors'
    if layout not in LAYOUTS:
        raise ValueError(f"layout '{layout}' is none of {', '.join(LAYOUTS)}")
    if out.suffix != '.pth' and not is_safe:
        raise ValueError(f'{out}: give a name that ends in .pth or .safetensors')
    if is_safe and layout == 'mmengine':
        raise ValueError(f'{out}: mmengine reads .pth only; use .pth, or another layout')
    safetensors: Any = require('safetensors.torch', 'export') if is_safe else None
    original = source.build()
    with atomic_path(out) as tmp:
        if layout == 'mmengine':
            exported = build_backbone(source.cfg)
            cfg = Config({'model': {'backbone': source.cfg}}).pretty_text
            meta = {'cfg': cfg, 'source': source.path.name, 'source_sha256': source.sha256}
            weights = {PREFIX + name: value for name, value in source.state_dict.items()}
            torch.save({'meta': meta, 'state_dict': weights}, tmp)
            PretrainedInit(str(tmp), prefix=PREFIX)(exported)  # as a detector's init_cfg does
        else:
            exported = build_resnet(ResNetSpec.from_cfg(source.cfg), layout)
            weights = dict(source.state_dict)
            if safetensors is not None:
                safetensors.save_file(weights, tmp, metadata={'format': 'pt'})
                weights = safetensors.load_file(tmp)
            else:
                torch.save(weights, tmp)
                weights = read_checkpoint(tmp, 'cpu')
            check_fit(source.path, exported.state_dict(), weights, f'ResNet of {layout}')
            exported.load_state_dict(weights, strict=True)
        require_equal_weights(f'{out}: read back', source.state_dict, exported.state_dict())
        require_equal_outputs(f'{out}: {layout} backbone', original, exported)
    return len(source.state_dict)


def stage_outputs(module: nn.Module, images: Tensor) -> list[Tensor]:
    """Return what the stages ``layer1`` to ``layer4`` of a ResNet give for (N, 3, H, W) images.

    Other backbones give what they return.
    """
    outputs: list[Tensor] = []
    layers = [getattr(module, f'layer{i}') for i in range(1, 5) if hasattr(module, f'layer{i}')]
    hooks = [
        layer.register_forward_hook(lambda _module, _input, output: outputs.append(output))
        for layer in layers
    ]
    try:
        with torch.no_grad():
            result = module(images)
    finally:
        for hook in hooks:
            hook.remove()
    return outputs or _flatten(result)


def require_equal_outputs(
    name: str, original: nn.Module, exported: nn.Module, images: Tensor | None = None
) -> None:
    """Require bit-equal outputs of two backbones on a fixed input, both put in eval mode.

    Args:
        name: What ``exported`` is, for the message.
        original: The backbone of the checkpoint.
        exported: The backbone to judge; it may have fewer stages.
        images: (N, 3, H, W); by default seeded noise.

    Raises:
        ValueError: If a single value differs.
    """
    if images is None:
        images = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    original.eval()
    exported.eval()
    reference, outputs = stage_outputs(original, images), stage_outputs(exported, images)
    for stage, (left, right) in enumerate(zip(reference, outputs, strict=False), start=1):
        if left.shape != right.shape:
            raise ValueError(
                f'{name}: output {stage} is {tuple(right.shape)}, the original gives '
                f'{tuple(left.shape)}; the networks differ'
            )
        if not torch.equal(left, right):
            gap = (left - right).abs().max().item()
            raise ValueError(
                f'{name}: output {stage} differs from the original by up to {gap:.3g}; the '
                'networks differ in more than their weights'
            )


def require_equal_weights(
    where: str, original: Mapping[str, Tensor], written: Mapping[str, Tensor]
) -> None:
    """Require bit-equal entries of ``original`` in ``written``, or raise ValueError."""
    for name, value in original.items():
        if not torch.equal(value, written[name]):
            raise ValueError(f'{where}: {name} differs from the original')


def _flatten(result: Tensor | Sequence) -> list[Tensor]:
    if isinstance(result, Tensor):
        return [result]
    return [tensor for item in result for tensor in _flatten(item)]
