# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The backbone inside a pretraining checkpoint: its weights, its config, its module."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from nasiam_mm.export.parts import check_backbone
from nasiam_mm.files.checkpoint import find_file, misfits, read_checkpoint, weights_of
from nasiam_mm.files.config_file import read_config
from nasiam_mm.files.config_text import config_within
from nasiam_mm.files.digest import file_digest
from nasiam_mm.models.backbones.decided import inline, read_decisions
from nasiam_mm.models.backbones.derive import derived_weights
from nasiam_mm.models.backbones.handing import kind_of
from nasiam_mm.registry import MODELS

PREFIX = 'backbone.'
State = Mapping[str, Tensor]


@dataclass(frozen=True)
class PretrainedBackbone:
    """A backbone as a checkpoint holds it."""

    path: Path  # of the checkpoint
    sha256: str  # of the file, in hex
    cfg: dict[str, Any]  # model.backbone of the config that trained it
    state_dict: State  # by bare name (conv1.weight)

    def build(self) -> nn.Module:
        """Build it with these weights, in eval mode; ValueError where they do not fit exactly."""
        module = build_backbone(self.cfg)
        check_fit(self.path, module.state_dict(), self.state_dict)
        module.load_state_dict(self.state_dict, strict=True)
        module.eval()  # mmpretrain's train() returns nothing to chain on
        return module


def build_backbone(cfg: Mapping[str, Any]) -> nn.Module:
    """Build a backbone from its config, without pretrained weights of its own, or ValueError."""
    # The scope is ours whatever the caller's: mmdet has a ResNet of its own.
    cfg = {**copy.deepcopy(dict(cfg)), 'init_cfg': None, '_scope_': 'nasiam_mm'}
    try:
        return MODELS.build(cfg)
    except (KeyError, TypeError, AssertionError) as error:
        raise ValueError(f'backbone {cfg.get("type")} cannot be built: {error}') from error


def check_fit(path: Path, expected: State, found: State, owner: str = 'backbone') -> None:
    """Require that ``found``, of ``path``, has the names and shapes of ``owner``, or ValueError."""
    if problems := misfits(expected, found):
        more = f' and {len(problems) - 3} more' if len(problems) > 3 else ''
        named = ', '.join(problems[:3]) + more
        mend = 'give the config it was trained with, or a checkpoint that fits'
        raise ValueError(f'{path}: does not fit the {owner}: {named}; {mend}')


def read_pretrained(path: Path | str, config: Path | str | None = None) -> PretrainedBackbone:
    """Read the backbone out of a checkpoint written by mmengine.

    Only ``backbone.*`` is taken: EMA targets, key encoders, necks and heads stay. The ``module.``
    of a wrapped model is dropped. Nothing that the file brings is run; without ``config`` its own
    copy of the config counts. FileNotFoundError if there is no such file or http address,
    ValueError if it is not such a checkpoint, or holds no usable backbone.
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
        tops = ', '.join(sorted({name.split('.')[0] for name in weights})[:8]) or 'nothing'
        found = f"no weight is named '{PREFIX}*', names begin with {tops}"
        raise ValueError(f'{path}: {found}; give a checkpoint that mmengine wrote in pretraining')
    broken = [k for k, v in state_dict.items() if v.is_floating_point() and not v.isfinite().all()]
    if broken:
        raise ValueError(f'{path}: {broken[0]} is not finite; use an earlier checkpoint')
    cfg = _backbone_cfg(path, config, checkpoint)
    if kind_of(cfg) is not None:
        try:
            state_dict = derived_weights(state_dict, build_backbone(cfg).state_dict())
        except ValueError as error:
            raise ValueError(f'{path}: {error}') from None
    return PretrainedBackbone(path, file_digest(path), cfg, state_dict)


def _backbone_cfg(path: Path, config: Path | str | None, checkpoint: Any) -> dict[str, Any]:
    """Return ``model.backbone`` of a config or, as data that may name no code, of a checkpoint."""
    try:
        if config is None:
            model = config_within(checkpoint).get('model')
        else:
            model = read_config(config).get('model')
        backbone = model.get('backbone') if isinstance(model, dict) else None
        if not isinstance(backbone, dict):
            raise ValueError('has no model.backbone')
        if config is None:
            check_backbone(backbone)
    except ValueError as error:
        trained = 'give the config that trained it by --config to nasiam export'
        mend = f'{trained}, by --pretrain-config to nasiam detect'
        problem = f'{error}; {mend}'
        raise ValueError(f'{config or path}: {problem}') from error
    return _as_decided(copy.deepcopy(dict(backbone)), dict(model or {}), path)


def _as_decided(backbone: dict[str, Any], model: dict, path: Path) -> dict[str, Any]:
    """Put what was decided of a backbone of choices into its config.

    It is what its config says, or the algorithm's, or, of a search, ``genotype.json`` beside it.
    """
    if kind_of(backbone) is None:
        return backbone
    given = backbone.get('genotype') or model.get('genotype')
    if given is None and backbone.get('space') is not None:
        given = str(path.parent / 'genotype.json')
    try:
        genotype = None if given is None else read_decisions(given)
    except ValueError as error:
        raise ValueError(f'{path}: what was decided of its backbone: {error}') from None
    decided = {} if genotype is None else inline(genotype)
    open_settings = dict(space=None, mixing=None, auxiliary=None)
    return {**backbone, **open_settings, 'genotype': decided or None}
