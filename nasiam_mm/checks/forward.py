# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A model's loss on batches of any size that cost nothing: on the meta device."""

import copy
from collections.abc import Sequence
from functools import reduce
from typing import Any

import torch
from mmengine.config import Config
from mmpretrain.structures import DataSample
from torch import Tensor, nn
from torch.utils.data import DataLoader

from nasiam_mm.models.cost import weights_as_shapes
from nasiam_mm.registry import MODELS

_SLOTS = {'SGD': 1, 'LARS': 1, 'Adam': 2, 'AdamW': 2, 'LAMB': 2}  # tensors an optimizer keeps


class Forward:
    """The model of a config as shapes alone, fed with the shapes that its data have.

    Two real samples go through pipeline and preprocessor; no number of the model is computed.

    Args:
        cfg: Config of a training, its data section resolved.
        loader: Its training loader.

    Raises:
        ValueError: If the model cannot be built, or a sample cannot be read.
    """

    def __init__(self, cfg: Config, loader: DataLoader) -> None:
        model = copy.deepcopy(dict(cfg.model))
        if cfg.get('data_preprocessor') is not None:
            model.setdefault('data_preprocessor', copy.deepcopy(cfg.data_preprocessor))
        # A model may have one of its own where the config names none, or no type of it.
        with weights_as_shapes():
            self.model: Any = MODELS.build(model)
        keys = next(iter(loader.batch_sampler))[:2]
        names = ('peek', '__getitems__')
        fetch = next(
            (getattr(loader.dataset, n) for n in names if hasattr(loader.dataset, n)), None
        )
        samples = fetch(keys) if fetch else [loader.dataset[key] for key in keys]
        data = self.model.data_preprocessor(loader.collate_fn(samples), True)
        self.preprocessor = copy.deepcopy(self.model.data_preprocessor)  # of numbers, not shapes
        inputs = data['inputs']
        told = data.get('data_samples')
        has_numbers = isinstance(told, Tensor)
        self.is_labelled = told is not None and not has_numbers
        if hasattr(self.model, 'check_images'):
            self.model.check_images(len(loader.dataset), has_numbers)
        self.shapes = [v.shape[1:] for v in ([inputs] if isinstance(inputs, Tensor) else inputs)]
        self.is_list = not isinstance(inputs, Tensor)
        if hasattr(self.model, 'check_views'):
            self.model.check_views(len(self.shapes))
            _refuse_stretched(self.model.backbone, [shape[-1] for shape in self.shapes])
        self.model.to('meta').train()
        wrapper = cfg.get('optim_wrapper') or {}
        kind = str((wrapper.get('optimizer') or {}).get('type', '')).rsplit('.', 1)[-1]
        weights = [p.nbytes for p in self.model.parameters() if p.requires_grad]
        state = sum(value.nbytes for value in self.model.state_dict().values())
        slots = _SLOTS.get(kind, 1) * sum(weights)
        self.checkpoint_bytes = state + slots
        self.training_bytes = state + slots + sum(weights)  # and their gradients
        self.current = self.mend = ''
        self.cfg = dict(cfg.model)
        for name, part in self._parts():
            part.register_forward_pre_hook(self._note(name))
            part.register_forward_hook(self._note_behind(name))

    def run(self, size: int) -> None:
        """Compute the loss of a batch; ValueError with the part that does not take it."""
        still = {'update_state': False} if hasattr(self.model, 'momentum_pairs') else {}
        with torch.device('meta'), torch.no_grad():
            views = [torch.empty(size, *shape) for shape in self.shapes]
            label = torch.zeros(1, dtype=torch.long)
            samples = [DataSample().set_gt_label(label) for _ in range(size)]
            inputs: Any = views if self.is_list else views[0]
            try:
                self.model.loss(inputs, samples if self.is_labelled else None, **still)
            except (RuntimeError, ValueError, TypeError, AttributeError) as error:
                text = ' '.join(str(error).split()).rstrip('.')
                if 'meta tensor' in text:
                    return  # a loss that reads numbers cannot be judged by shapes
                told = f'{self.current}: {text}' if self.current else text
                raise ValueError(told + self.mend) from error

    def _parts(self) -> list[tuple[str, nn.Module]]:
        names = ('backbone', 'neck', 'head', 'head.predictor')
        parts = dict(self.model.named_modules())
        return [(name, parts[name]) for name in names if name in parts]

    def _note(self, name: str) -> Any:
        def note(part: nn.Module, inputs: tuple) -> None:
            given = inputs[0] if inputs else None
            given = given[-1] if isinstance(given, (tuple, list)) and given else given
            shape = tuple(given.shape) if isinstance(given, Tensor) else '?'
            self.current, self.mend = f'model.{name}, given {shape}', ''
            settings = reduce(lambda node, key: node.get(key) or {}, name.split('.'), self.cfg)
            wanted = settings.get('in_channels')
            if isinstance(wanted, int) and len(shape) > 1 and wanted != shape[1]:
                self.mend = f'; set model.{name}.in_channels={shape[1]}'
            elif len(shape) == 2 and _pools(part):
                self.mend = f'; set model.{name}.with_avg_pool=False'
            elif len(shape) == 4 and _may_pool(part) and not _pools(part):
                self.mend = f'; set model.{name}.with_avg_pool=True'

        return note

    def _note_behind(self, name: str) -> Any:
        def note(part: nn.Module, inputs: tuple, output: Any) -> None:
            given = output[-1] if isinstance(output, (tuple, list)) and output else output
            shape = tuple(given.shape) if isinstance(given, Tensor) else '?'
            self.current, self.mend = f'behind model.{name}, which gives {shape}', ''

        return note


def _pools(part: nn.Module) -> bool:
    return bool(getattr(part, 'with_avg_pool', False)) or getattr(part, 'pool', None) is not None


def _may_pool(part: nn.Module) -> bool:
    return hasattr(part, 'with_avg_pool') or hasattr(part, 'pool')


def _refuse_stretched(backbone: nn.Module, sides: Sequence[int]) -> None:
    """Refuse views that a transformer's positions would be stretched for, or that it would cut.

    Smaller views beside those of its size are taken, as in SwAV.
    """
    size, patches = (getattr(backbone, name, None) for name in ('img_size', 'patch_resolution'))
    if not size or not patches or getattr(backbone, 'pos_embed', None) is None:
        return
    side, patch = size[0], size[0] // patches[0]
    if side != max(sides):
        told = f'its positions are for {side} pixels, the views have {max(sides)}'
        raise ValueError(f'model.backbone: {told}; set model.backbone.img_size={max(sides)}')
    if cut := [view for view in sides if view % patch]:
        told = f'views of {cut[0]} pixels are no multiple of its patches of {patch}'
        raise ValueError(f'model.backbone: {told}; set model.backbone.patch_size')
