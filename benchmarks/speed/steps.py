# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""One pretrain step of each framework: ours, mmpretrain's own classes, peers."""

from collections.abc import Callable, Iterator

import torch
from mmengine.config import Config
from mmengine.logging import MessageHub, MMLogger
from mmengine.optim import build_optim_wrapper
from torch import Tensor, nn

from benchmarks.speed.clock import Build, measure_in_turn
from benchmarks.speed.figures import Measurement, Ratio
from benchmarks.speed.peers import lightly_model, solo_learn_step
from benchmarks.speed.setup import FRAMEWORKS, Setup
from nasiam_mm.registry import MODELS

OURS, OURS_NHWC, BEST = 'ours', 'ours channels_last', 'ours bf16 channels_last'
MMPRETRAIN, LIGHTLY, SOLO_LEARN = 'mmpretrain', 'lightly', 'solo-learn'
LIGHTLY_NHWC = 'lightly channels_last'
NOTES = {
    MMPRETRAIN: 'its own class of the name; its MoCo has one direction',
    SOLO_LEARN: 'as it ships: channels_last, stem padding 2, online classifier',
}
RATIOS = (
    Ratio('lightly / ours, float32, both NCHW', LIGHTLY, OURS),
    Ratio('lightly / ours, float32, each as it ships', LIGHTLY, OURS_NHWC, at_least=1.05),
    Ratio('lightly / ours, float32, both NHWC', LIGHTLY_NHWC, OURS_NHWC),
    Ratio('lightly, its layout alone', LIGHTLY, LIGHTLY_NHWC),
    Ratio('lightly / ours, best', LIGHTLY, BEST, at_least=2.0),
    Ratio('solo-learn / ours, both float32 channels_last', SOLO_LEARN, OURS_NHWC),
    Ratio('solo-learn / ours, best', SOLO_LEARN, BEST),
    Ratio('mmpretrain / ours, float32, both NCHW', MMPRETRAIN, OURS),
    Ratio('mmpretrain / ours, best', MMPRETRAIN, BEST),
)


class ViewsAsTheyAre(nn.Module):
    """Stands for a data preprocessor where the views are made beforehand."""

    def forward(self, data: dict, training: bool = False) -> dict:
        """Return the batch."""
        return data


def make_views(setup: Setup, channels_last: bool = False) -> list[Tensor]:
    """Two views of noise, each (N, 3, 32, 32), the same for every side."""
    draw = torch.Generator().manual_seed(0)
    views = [torch.randn(setup.batch_size, 3, 32, 32, generator=draw) for _ in range(2)]
    layout = torch.channels_last if channels_last else torch.contiguous_format
    return [view.to(setup.device, memory_format=layout) for view in views]


def make_fastest(cfg: Config) -> None:
    """Set what is fastest: bfloat16 autocast, NHWC images; the model is laid out by its builder."""
    cfg.optim_wrapper.type = 'AutocastOptimWrapper'
    cfg.model.data_preprocessor.channels_last = True


def config_step(cfg: Config, setup: Setup, channels_last: bool = False) -> Callable:
    """Build the step that a config describes, through ``train_step`` as a Runner calls it."""
    # mmengine lists every weight that it initialises.
    MMLogger.get_current_instance().setLevel('ERROR')
    MessageHub.get_current_instance().update_info('max_iters', 100000)  # for BYOL's schedule
    model = MODELS.build(cfg.model)
    model.init_weights()
    model.data_preprocessor = ViewsAsTheyAre()
    model.to(setup.device).train()
    if channels_last:
        model.to(memory_format=torch.channels_last)
    optim_wrapper = build_optim_wrapper(model, cfg.optim_wrapper)
    data = {'inputs': make_views(setup, channels_last), 'data_samples': None}
    return lambda: model.train_step(data, optim_wrapper)


def our_step(framework: str, setup: Setup, side: str) -> Callable:
    """Build our step: as shipped, with NHWC layout, or with bfloat16 as well."""
    cfg = setup.config(f'{framework}_r18_baseline_cifar10')
    if side == BEST:
        make_fastest(cfg)
    return config_step(cfg, setup, channels_last=side != OURS)


def mmpretrain_step(framework: str, setup: Setup) -> Callable:
    """Build the step of mmpretrain's own class, with its own optimizer wrapper."""
    cfg = setup.config(f'{framework}_r18_baseline_cifar10')
    cfg.model.type = f'mmpretrain.{cfg.model.type}'
    cfg.model.pop('symmetric', None)
    cfg.optim_wrapper.pop('constructor')
    cfg.optim_wrapper.optimizer.pop('fused', None)
    return config_step(cfg, setup)


def lightly_step(framework: str, setup: Setup, channels_last: bool = False) -> Callable:
    """Build a plain step around lightly's modules and loss, as its documentation writes it."""
    cfg = setup.config(f'{framework}_r18_baseline_cifar10')
    model = lightly_model(framework, cfg.model).to(setup.device).train()
    options = dict(cfg.optim_wrapper.optimizer)
    for ours in ('type', 'fused'):
        options.pop(ours, None)
    learning = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.SGD(learning, **options)
    if channels_last:
        model.to(memory_format=torch.channels_last)
    view1, view2 = make_views(setup, channels_last)

    def step() -> None:
        loss = model(view1, view2)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    return step


def step_sides(framework: str, setup: Setup) -> dict[str, Build]:
    """Return what builds the step of each side that was asked for."""
    sides: dict[str, Build] = {
        side: lambda side=side: our_step(framework, setup, side) for side in (OURS, OURS_NHWC, BEST)
    }
    sides[MMPRETRAIN] = lambda: mmpretrain_step(framework, setup)
    sides[LIGHTLY] = lambda: lightly_step(framework, setup)
    sides[LIGHTLY_NHWC] = lambda: lightly_step(framework, setup, channels_last=True)
    sides[SOLO_LEARN] = lambda: solo_learn_step(
        framework,
        setup,
        setup.config(f'{framework}_r18_baseline_cifar10'),
        make_views(setup, channels_last=True),
    )
    return sides


def absent_peers(setup: Setup) -> dict[str, str]:
    """Name the peers that were not asked for, and how to ask."""
    absent = {}
    if not setup.lightly:
        absent[LIGHTLY] = absent[LIGHTLY_NHWC] = 'not asked for; give --peers lightly'
    if setup.solo_learn is None:
        absent[SOLO_LEARN] = 'no checkout; give --solo-learn CHECKOUT'
    elif setup.divisor > 1:
        absent[SOLO_LEARN] = 'its backbone has one width; leave out --quick'
    return absent


def measure_steps(setup: Setup) -> Iterator[Measurement]:
    """Time a pretrain step of each framework on every side, in turn."""
    for framework in FRAMEWORKS:
        absent = absent_peers(setup)
        sides = step_sides(framework, setup)
        found = measure_in_turn(
            f'Pretrain step, {framework}',
            {name: build for name, build in sides.items() if name not in absent},
            repeats=setup.repeats,
            images=setup.batch_size,
            device=setup.device,
            notes=NOTES,
            ratios=RATIOS,
        )
        found.not_run.update(absent)
        yield found
