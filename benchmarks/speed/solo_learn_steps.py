# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A step of solo-learn's methods, from a checkout of it, without its Trainer.

It needs ``lightning``, ``timm``, ``einops`` and ``omegaconf``. What it does
otherwise than the papers stays: a CIFAR stem with padding 2 (34 x 34 maps), an
online classifier beside the loss, a three-layer projector in SimSiam, images
and model in channels_last.
"""

import importlib
import logging
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from mmengine.config import Config
from torch import Tensor

from benchmarks.speed.settings import Settings

METHODS = {'simsiam': 'simsiam', 'simclr': 'simclr', 'mocov2': 'mocov2plus', 'byol': 'byol'}


def solo_learn_step(
    framework: str, settings: Settings, cfg: Config, views: Sequence[Tensor]
) -> Callable[[], None]:
    """Build the step of a method at the widths and optimizer settings of our config.

    Raises:
        FileNotFoundError: If the checkout holds no ``solo`` package.
        ImportError: If a package it needs is absent.
    """
    methods, omegaconf = _import(Path(settings.solo_learn))
    method = METHODS[framework]
    model = methods[method](omegaconf.OmegaConf.create(_options(method, settings, cfg)))
    model.to(settings.device, memory_format=torch.channels_last).train()
    optimizer = model.configure_optimizers()
    batch_size = len(views[0])
    labels = torch.zeros(batch_size, dtype=torch.long, device=settings.device)
    batch = [torch.arange(batch_size, device=settings.device), list(views), labels]

    def step() -> None:
        loss = model.training_step(batch, 0)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        # What its on_train_batch_end does where there is a Trainer.
        for online, average in getattr(model, 'momentum_pairs', ()):
            model.momentum_updater.update(online, average)

    return step


def _import(checkout: Path) -> tuple[dict, object]:
    if not (checkout / 'solo' / 'methods').is_dir():
        raise FileNotFoundError(f'{checkout} is no checkout of solo-learn: no solo/methods')
    if str(checkout) not in sys.path:
        sys.path.append(str(checkout))
    # It warns of deprecated imports, and of every self.log without a Trainer.
    warnings.filterwarnings('ignore', module=r'solo\.|timm\.|lightning\.')
    logging.getLogger('lightning.pytorch').setLevel(logging.ERROR)
    omegaconf = importlib.import_module('omegaconf')
    return importlib.import_module('solo.methods').METHODS, omegaconf


def _options(method: str, settings: Settings, cfg: Config) -> dict:
    neck, optimizer = cfg.model.neck, cfg.optim_wrapper.optimizer
    method_kwargs = {
        'proj_hidden_dim': neck.hid_channels,
        'proj_output_dim': neck.out_channels,
        'temperature': cfg.model.head.get('temperature', 0.2),
    }
    if 'predictor' in cfg.model.head:
        method_kwargs['pred_hidden_dim'] = cfg.model.head.predictor.hid_channels
    if method == 'mocov2plus':
        method_kwargs['queue_size'] = cfg.model.queue_len
    return {
        'method': method,
        'backbone': {'name': 'resnet18'},
        'method_kwargs': method_kwargs,
        'momentum': {'base_tau': 0.99, 'final_tau': 1.0},
        'data': {
            'dataset': 'cifar10', 'num_classes': 10, 'num_large_crops': 2, 'num_small_crops': 0,
        },
        'max_epochs': 800,
        'optimizer': {
            'name': 'sgd',
            'batch_size': settings.batch_size,
            'lr': optimizer.lr,
            'classifier_lr': 0.1,
            'weight_decay': optimizer.weight_decay,
            'kwargs': {'momentum': optimizer.momentum},
        },
        'scheduler': {'name': 'none'},
    }  # fmt: skip
