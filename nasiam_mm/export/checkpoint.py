# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The backbone inside a pretraining checkpoint: its weights, its config, its module."""

import copy
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config
from torch import Tensor, nn

from nasiam_mm.files.checkpoint import find_file, misfits, read_checkpoint, weights_of
from nasiam_mm.files.config_text import read_config_text
from nasiam_mm.files.digest import file_digest
from nasiam_mm.registry import MODELS, WEIGHT_INITIALIZERS

PREFIX = 'backbone.'


@dataclass(frozen=True)
class PretrainedBackbone:
    """A backbone as a checkpoint holds it.

    Attributes:
        path (Path): The checkpoint.
        sha256 (str): Digest of the file, in hex.
        cfg (dict): The ``model.backbone`` of the config that trained it.
        state_dict (Mapping[str, Tensor]): Weights by bare name (``conv1.weight``).
    """

    path: Path
    sha256: str
    cfg: dict[str, Any]
    state_dict: Mapping[str, Tensor]

    def build(self) -> nn.Module:
        """Build the backbone with these weights, in eval mode.

        Raises:
            ValueError: If config and weights do not fit each other exactly.
        """
        module = build_backbone(self.cfg)
        check_fit(self.path, module.state_dict(), self.state_dict)
        module.load_state_dict(self.state_dict, strict=True)
        module.eval()  # mmpretrain's train() returns nothing to chain on
        return module


def build_backbone(cfg: Mapping[str, Any], **overrides: Any) -> nn.Module:
    """Build a backbone from its config, without pretrained weights of its own.

    Raises:
        ValueError: If the config builds nothing.
    """
    # The scope is ours whatever the caller's: mmdet has a ResNet of its own.
    cfg = {**copy.deepcopy(dict(cfg)), 'init_cfg': None, '_scope_': 'nasiam_mm', **overrides}
    try:
        return MODELS.build(cfg)
    except (KeyError, TypeError, AssertionError) as error:
        raise ValueError(f'backbone {cfg.get("type")} cannot be built: {error}') from error


def check_fit(
    path: Path, expected: Mapping[str, Tensor], found: Mapping[str, Tensor], owner: str = 'backbone'
) -> None:
    """Require that ``found``, of ``path``, has the names and shapes that ``owner`` expects.

    Raises:
        ValueError: If a single entry is missing, left over or of another shape.
    """
    problems = misfits(expected, found)
    if problems:
        more = f' and {len(problems) - 3} more' if len(problems) > 3 else ''
        raise ValueError(
            f'{path}: does not fit the {owner}: {", ".join(problems[:3])}{more}; '
            f'give the config it was trained with, or the checkpoint of this {owner}'
        )


def read_pretrained(path: Path | str, config: Path | str | None = None) -> PretrainedBackbone:
    """Read the backbone out of a checkpoint written by mmengine.

    Only ``backbone.*`` is taken: EMA targets, key encoders, necks and heads stay. The ``module.``
    of a wrapped model is dropped. Nothing that the file brings is run.

    Args:
        path: The checkpoint, or its http address.
        config: The config that trained it; by default the copy inside the checkpoint.

    Raises:
        FileNotFoundError: If the checkpoint or the config does not exist.
        ValueError: If the file is not such a checkpoint, or holds no usable backbone.
    """
    checkpoint = read_checkpoint(path, 'cpu')
    path = find_file(path)
    weights = weights_of(checkpoint, path)
    state_dict = {
        name.removeprefix(PREFIX): value.detach().contiguous()
        for name, value in weights.items()
        if name.startswith(PREFIX) and isinstance(value, Tensor)
    }
    if not state_dict:
        tops = ', '.join(sorted({str(key).split('.')[0] for key in weights})[:8]) or 'nothing'
        raise ValueError(
            f"{path}: no weight is named '{PREFIX}*', names begin with {tops}; "
            'give a checkpoint that mmengine wrote in pretraining'
        )
    broken = [k for k, v in state_dict.items() if v.is_floating_point() and not v.isfinite().all()]
    if broken:
        raise ValueError(f'{path}: {broken[0]} is not finite; use an earlier checkpoint')
    cfg = _backbone_cfg(path, config, checkpoint.get('meta'))
    return PretrainedBackbone(path, file_digest(path), cfg, state_dict)


def _backbone_cfg(path: Path, config: Path | str | None, meta: Any) -> dict[str, Any]:
    """Return ``model.backbone`` of a config or, as data that may name no code, of a checkpoint."""
    if config is not None:
        if not Path(config).is_file():
            raise FileNotFoundError(f'{config}: no such config')
        model = Config.fromfile(str(config)).get('model')
    else:
        text = meta.get('cfg') if isinstance(meta, dict) else None
        if not isinstance(text, str):
            raise ValueError(f'{path}: carries no config; give the one that trained it by --config')
        try:
            model = read_config_text(text).get('model')
            _check_parts(model.get('backbone') if isinstance(model, dict) else None)
        except ValueError as error:
            raise ValueError(
                f'{path}: {error}; give the config that trained it by --config'
            ) from error
    backbone = model.get('backbone') if isinstance(model, dict) else None
    if not isinstance(backbone, dict):
        raise ValueError(
            f'{config or path}: has no model.backbone; give the config of the pretraining'
        )
    return copy.deepcopy(dict(backbone))


def _check_parts(node: Any) -> None:
    """Refuse what is not a registered part: mmengine imports and calls whatever has a dotted name.

    Parts of mmpretrain that fetch weights or code by a name that they are given are refused too.
    """
    if isinstance(node, dict):
        if 'type' in node:
            module = getattr(_registered(node['type']), '__module__', '')
            fetches = module.startswith('mmpretrain.models.') and not module.startswith(
                ('mmpretrain.models.backbones.', 'mmpretrain.models.utils.')
            )
            if not module or fetches or module.endswith('.timm_backbone'):
                kind = str(node['type'])[:60]
                raise ValueError(f'the config text builds {kind!r}, which is no part to trust')
        if '_scope_' in node:
            raise ValueError('the config text sets a _scope_')
        node = list(node.values())
    if isinstance(node, (list, tuple)):
        for item in node:
            _check_parts(item)


def _registered(kind: Any) -> type | None:
    """Return the class that is registered under a name, importing nothing by it."""
    scope, _, name = kind.rpartition('.') if isinstance(kind, str) else ('', '', None)
    for registry in (MODELS, WEIGHT_INITIALIZERS):
        registry.import_from_location()
        while registry is not None:
            part = registry.module_dict.get(name) if scope in ('', registry.scope) else None
            if inspect.isclass(part):
                return part
            registry = registry.parent
    return None
