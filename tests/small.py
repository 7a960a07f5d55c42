# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Frameworks by their descriptors, small: a model alone, or the config of a search of seconds."""

from pathlib import Path
from unittest import mock

import torch
from mmengine.config import Config, ConfigDict
from mmengine.hooks import Hook
from mmengine.logging import MessageHub, MMLogger
from mmengine.registry import RUNNERS
from mmengine.runner import Runner
from mmengine.visualization import Visualizer
from torch import Tensor, nn

from nasiam_mm.architecture.alpha import Architecture
from nasiam_mm.architecture.choice import op_choices
from nasiam_mm.architecture.genotype import Genotype, random_genotype, save_genotype
from nasiam_mm.config_walk import walk
from nasiam_mm.models.frameworks import FRAMEWORKS, Framework
from nasiam_mm.models.heads import head_shapes
from nasiam_mm.ops.candidates import SPACES, LayerShape
from nasiam_mm.registry import MODELS
from nasiam_mm.search.selection import TopK, genotype_of
from tests.reduced import light, reduced

SPACE = list(SPACES['S'])
WIDTH = 16  # of the features
BACKBONE = dict(
    type='ResNet_CIFAR',
    depth=18,
    base_channels=8,
    stem_channels=8,
    num_stages=2,
    strides=(1, 2),
    dilations=(1, 1),
    out_indices=(1,),
    norm_cfg=dict(type='BN'),
)


def searched_shapes(model: ConfigDict) -> dict[str, tuple[LayerShape, ...]]:
    """Widths of the heads that a model's config searches, by name, nothing built."""
    heads = [part for part in walk([model.neck, model.get('head')]) if part.type == 'HeadMLP']
    found = [head for head in heads if head.get('space') or model.get('space')]
    return {head.name: head_shapes(**head) for head in found}


def config(framework: Framework | str, **changes) -> ConfigDict:
    """Config of a framework's example over a small ResNet, its heads to be searched."""
    if isinstance(framework, str):
        framework = FRAMEWORKS[framework]
    heads = {} if 'genotype' in changes else dict(space=SPACE)
    return ConfigDict({**framework.example(WIDTH), 'backbone': BACKBONE, **heads, **changes})


def build(framework: Framework | str, seed: int = 0, **changes) -> nn.Module:
    """Build and initialise a framework in training mode; alpha and copies off their start."""
    torch.manual_seed(seed)
    model = MODELS.build(config(framework, **changes))
    model.init_weights()
    if model.architecture is not None:
        for alpha in model.architecture.alphas():
            nn.init.normal_(alpha, std=0.3)
    for average, _ in model.momentum_pairs():
        for weight in average.parameters():
            weight.data += 0.01 * torch.randn_like(weight)
    return model.train()


def batch(count: int = 8, size: int = 16, dtype: torch.dtype = torch.float32) -> dict:
    """Preprocessed batch of two random views, each (N, 3, H, W)."""
    inputs = [torch.randn(count, 3, size, size, dtype=dtype) for _ in range(2)]
    return dict(inputs=inputs, data_samples=None)


def top_k(
    architecture: Architecture, framework: str, k: int = 1, provenance: dict | None = None
) -> Genotype:
    """Genotype of the k operations of highest alpha at each layer."""
    selection = TopK(k)
    return genotype_of(selection.decide(architecture), selection, framework, provenance or {})


def tensors(model: nn.Module) -> dict[str, Tensor]:
    """Copies of all parameters and buffers, those that no checkpoint holds included."""
    both = [*model.named_parameters(), *model.named_buffers()]
    return {name: value.detach().clone() for name, value in both}


def search(
    framework: Framework | str, work_dir: Path, epochs: int = 1, batch_size: int = 32, **changes
) -> Config:
    """Config of a search of a framework's example, with alpha step and genotype alone."""
    cfg = light(reduced('nasiam/simclr_r18_search_cifar10', work_dir, epochs, batch_size))
    preprocessor = cfg.model.data_preprocessor
    cfg.model = config(framework, data_preprocessor=preprocessor, **changes)
    leave_hooks(cfg, 'alpha_step', 'genotype')
    return cfg


def train(cfg: Config, *hooks: Hook) -> Runner:
    """Run a config, with hooks beside its own."""
    # Runs of one second have one name, and would share what mmengine makes for a name.
    for made in (MessageHub, MMLogger, Visualizer):
        made._instance_dict.clear()
    cfg.setdefault('runner_type', 'Runner')
    # Laying out the config takes longer than the run.
    with mock.patch.object(Config, 'pretty_text', ''):
        runner = RUNNERS.build(cfg)
        for hook in hooks:
            runner.register_hook(hook)
        runner.train()
    return runner


def leave_hooks(cfg: Config, *names: str) -> None:
    """Leave out the hooks of a recipe but these; the runtime's stay."""
    known = {'alpha_step', 'genotype', 'health', 'collapse', 'predictor_lr', 'probe'}
    for name in known - set(names):
        cfg.default_hooks.pop(name, None)


def use_genotype_of_the_search(cfg: Config, name: str, folder: Path) -> None:
    """Put a random genotype of the search's own heads into a pretraining recipe."""
    name = name.replace('_pretrain_', '_search_').replace('imagenet', 'cifar100')
    search = reduced(name.replace('vit-small', 'vit-tiny'), folder)
    choices = {
        head: op_choices(head, search.model.space, shapes)
        for head, shapes in searched_shapes(search.model).items()
    }
    cfg.model.genotype = str(folder / 'genotype.json')
    save_genotype(random_genotype(search.model.type, choices, seed=1), cfg.model.genotype)
