# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The searched heads alone: a matrix product per candidate, or one for all of an input."""

from collections.abc import Callable, Iterator

import torch

from benchmarks.speed.clock import measure_in_turn
from benchmarks.speed.figures import Measurement, Ratio
from benchmarks.speed.settings import PUBLISHED_SPACE, Settings
from nasiam_mm.registry import MODELS

PLAIN, FUSED = 'a product per candidate', 'fused'


def measure_heads(settings: Settings) -> Iterator[Measurement]:
    """Time forward and backward pass of SimSiam's searched R18 heads in two spaces."""
    cfg = settings.config('simsiam_r18_search_cifar10').model
    for space_name, space in (('S', cfg.neck.space), ("the authors' space", PUBLISHED_SPACE)):
        for head in (cfg.neck, cfg.head.predictor):
            head_cfg = dict(head, space=space, with_avg_pool=False)
            yield measure_in_turn(
                f'Searched {head.cell}, {space_name}',
                {
                    side: lambda fused=side == FUSED, head_cfg=head_cfg: _pass(
                        dict(head_cfg, fused=fused), settings
                    )
                    for side in (PLAIN, FUSED)
                },
                repeats=settings.repeats,
                images=settings.batch_size,
                device=settings.device,
                ratios=[Ratio('plain / fused', PLAIN, FUSED)],
            )


def _pass(head_cfg: dict, settings: Settings) -> Callable[[], None]:
    """Build what runs a head forward and backward, alpha's gradient and the weights' alike."""
    torch.manual_seed(0)
    head = MODELS.build(head_cfg).to(settings.device).train()
    head.cell.alpha.requires_grad_(True)
    features = torch.randn(settings.batch_size, head_cfg['in_channels'], device=settings.device)

    def run() -> None:
        (output,) = head([features])
        output.square().mean().backward()
        head.zero_grad()

    return run
