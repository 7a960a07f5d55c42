# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A search iteration of SimSiam, split into loading, alpha and weights; its heads alone."""

import gc
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import MessageHub
from mmengine.runner import Runner
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.configs import without_workers
from benchmarks.speed.authors_search import AuthorsSearch
from benchmarks.speed.clock import Sections, measure_in_turn, now, turns
from benchmarks.speed.figures import Measurement, Ratio, Side
from benchmarks.speed.setup import Setup
from benchmarks.speed.steps import make_fastest
from nasiam_mm.architecture.alpha import Architecture
from nasiam_mm.architecture.choice import op_choices
from nasiam_mm.datasets.replay import endless_batches
from nasiam_mm.ops.candidates import SPACES
from nasiam_mm.refusals import one_line
from nasiam_mm.registry import MODELS
from nasiam_mm.search.gradient.hook import AlphaStepHook

SEARCH, PRETRAIN = 'simsiam_r18_search_cifar10', 'simsiam_r18_baseline_cifar10'
LOADING, COMPUTE, ALL = 'loading', 'compute: alpha and weights', 'all: loading and compute'
# What is reported -> the sections it adds up. The authors' code loads the held-out batch by
# workers started anew ('fresh loading'); 'loading in process' is the same without workers.
PARTS = {
    LOADING: ('loading', 'fresh loading'),
    'loading without workers': ('loading', 'loading in process'),
    'alpha': ('alpha',),
    'weights': ('weights',),
    COMPUTE: ('alpha', 'weights'),
    ALL: ('loading', 'fresh loading', 'alpha', 'weights'),
    'all, loading without workers': ('loading', 'loading in process', 'alpha', 'weights'),
}
OURS, PUBLISHED, BEST = 'ours', "ours, authors' space", "ours, authors' space, bf16 channels_last"
PLAIN, FUSED = 'a product per candidate', 'fused'
PRETRAINED, AUTHORS = 'ours, pretraining', "authors' code"


class Timed:
    """An iterator whose steps count as loading."""

    def __init__(self, batches: Iterator[Any], sections: Sections) -> None:
        self.batches, self.sections = batches, sections

    def __iter__(self) -> 'Timed':
        return self

    def __next__(self) -> Any:
        with self.sections.section('loading'):
            return next(self.batches)


class Iteration:
    """Our iteration: a real Runner, the hook and the loaders of the config, stepped by hand.

    Loading is what brings the two views of a batch to the model, in this
    process: dataset, collating, views.

    Args:
        cfg: Config of a search, or of a pretraining, whose alpha part stays 0.
        device: ``'cpu'`` or ``'cuda'``.
        work_dir: Folder of the run.
    """

    def __init__(self, cfg: Config, device: str, work_dir: str) -> None:
        without_workers(cfg._cfg_dict)
        MessageHub._instance_dict.clear()
        cfg.work_dir, cfg.log_level = work_dir, 'ERROR'
        cfg.experiment_name = Path(work_dir).name
        self.runner = Runner.from_cfg(cfg)
        self.runner._init_model_weights()
        self.runner.optim_wrapper = self.runner.build_optim_wrapper(cfg.optim_wrapper)
        self.model = self.runner.model.to(device).train()
        if cfg.model.data_preprocessor.get('channels_last'):
            self.model.to(memory_format=torch.channels_last)
        hooks = [hook for hook in self.runner.hooks if isinstance(hook, AlphaStepHook)]
        self.hook = hooks[0] if hooks else None
        self.sections = Sections(lambda: now(device))
        self.batches = Timed(endless_batches(self.runner.train_dataloader, 0), self.sections)
        if self.hook is not None:
            self.hook.before_run(self.runner)
            self.hook.before_train(self.runner)
            self.hook.batches = Timed(self.hook.batches, self.sections)
        preprocessor = self.model.data_preprocessor
        preprocessor.register_forward_pre_hook(lambda *_: self.sections.enter('loading'))
        preprocessor.register_forward_hook(lambda *_: self.sections.leave())

    def __call__(self) -> None:
        """Go one iteration."""
        batch = next(self.batches)
        if self.hook is not None:
            with self.sections.section('alpha'):
                self.hook.before_train_iter(self.runner, 0, batch)
        with self.sections.section('weights'):
            self.model.train_step(batch, self.runner.optim_wrapper)


def our_iteration(setup: Setup, side: str, work_dir: str) -> Iteration:
    """Build one of our sides."""
    cfg = setup.config(PRETRAIN if side == PRETRAINED else SEARCH)
    if side in (PUBLISHED, BEST):
        cfg.model.space = list(SPACES['S+'])
    if side == BEST:
        make_fastest(cfg)
    return Iteration(cfg, setup.device, work_dir)


def iteration_sides(setup: Setup, folder: str) -> dict[str, Callable[[], Any]]:
    """Return what builds each side; a side is called for an iteration and has ``sections``."""
    sides: dict[str, Callable[[], Any]] = {
        side: lambda side=side, number=number: our_iteration(
            setup, side, str(Path(folder, f'speed_{number}'))
        )
        for number, side in enumerate((OURS, PRETRAINED, PUBLISHED, BEST))
    }
    sides[AUTHORS] = lambda: AuthorsSearch(setup)
    return sides


def absent(setup: Setup) -> dict[str, str]:
    """Say why the authors' code is not run, if it is not."""
    if setup.nasiam is None:
        return {AUTHORS: 'no checkout; give --nasiam CHECKOUT'}
    return {AUTHORS: 'its widths are fixed; leave out --quick'} if setup.divisor > 1 else {}


def measure_search(setup: Setup) -> Iterator[Measurement]:
    """Time the parts of an iteration of every side, in turn."""
    missing = absent(setup)
    with TemporaryDirectory() as folder:
        runs, counted, failed = {}, {}, dict(missing)
        for name, build in iteration_sides(setup, folder).items():
            if name in missing:
                continue
            try:
                runs[name] = build()
                counted[name] = count_sections(runs[name], setup.batch_size)
            except Exception as error:  # a peer may fail in any way; the others go on
                runs.pop(name, None)
                failed[name] = f'{type(error).__name__}: {one_line(error)}'
        found: dict[str, list[dict[str, float]]] = {name: [] for name in runs}

        def is_near() -> bool:
            return any(m.is_near() for m in _measurements(found, counted, failed, setup))

        for name, run in turns(runs, setup.repeats, is_near):
            run.sections.totals.clear()
            run()
            found[name].append(dict(run.sections.totals))
        runs.clear()
        gc.collect()
    yield from _measurements(found, counted, failed, setup)


def count_sections(run: Any, images: int) -> dict[str, float]:
    """Count the FLOPs of the parts of an iteration, 1e9 per image."""
    with FlopCounterMode(display=False) as counter:
        clock, run.sections.read = run.sections.read, counter.get_total_flops
        run.sections.totals.clear()
        run()
        run.sections.read = clock
    return {name: flops / images / 1e9 for name, flops in run.sections.totals.items()}


def _measurements(
    found: dict[str, list[dict[str, float]]],
    counted: dict[str, dict[str, float]],
    failed: dict[str, str],
    setup: Setup,
) -> Iterator[Measurement]:
    equal, best = "authors' code / ours, float32", "authors' code / ours, best"
    bounds = {COMPUTE: {equal: 1.65}, ALL: {best: 5.0}}
    for name, parts in PARTS.items():
        ratios = [Ratio('search / pretraining', OURS, PRETRAINED, at_most=1.5)]
        ratios = ratios if name in bounds else []
        for label, side in ((equal, PUBLISHED), (best, BEST)):
            ratios.append(Ratio(label, AUTHORS, side, at_least=bounds.get(name, {}).get(label)))
        measurement = Measurement(f'Search iteration, {name}', 'ms/image', ratios=ratios)
        measurement.not_run.update(failed)
        for side, rounds in found.items():
            sums = [sum(totals.get(part, 0.0) for part in parts) for totals in rounds]
            samples = [1000 * total / setup.batch_size for total in sums]
            if not any(samples):
                continue
            flops = sum(counted[side].get(part, 0.0) for part in ('alpha', 'weights'))
            if name in ('alpha', 'weights'):
                flops = counted[side][name]
            measurement.sides[side] = Side(samples, None if name.startswith('loading') else flops)
        yield measurement


def measure_heads(setup: Setup) -> Iterator[Measurement]:
    """Time forward and backward pass of SimSiam's searched R18 heads in two spaces."""
    model = setup.config('simsiam_r18_search_cifar10').model
    for label, space in (('S', SPACES['S']), ("the authors' space", SPACES['S+'])):
        for head in (model.neck, model.head.predictor):
            head_cfg = dict(head, space=space, with_avg_pool=False)
            yield measure_in_turn(
                f'Searched {head.name}, {label}',
                {
                    side: lambda fused=side == FUSED, head_cfg=head_cfg: _pass(
                        dict(head_cfg, fused=fused), setup
                    )
                    for side in (PLAIN, FUSED)
                },
                repeats=setup.repeats,
                images=setup.batch_size,
                device=setup.device,
                ratios=[Ratio('plain / fused', PLAIN, FUSED)],
            )


def _pass(head_cfg: dict, setup: Setup) -> Callable[[], None]:
    """Build what runs a head forward and backward, alpha's gradient and the weights' alike."""
    torch.manual_seed(0)
    head = MODELS.build(head_cfg).to(setup.device).train()
    choices = op_choices(head.name, head.cell.space, head.cell.shapes)
    architecture = Architecture({head.name: choices}).to(setup.device)
    head.cell.bind(architecture)
    alpha = architecture.alpha(head.name).requires_grad_(True)
    features = torch.randn(setup.batch_size, head_cfg['in_channels'], device=setup.device)

    def run() -> None:
        (output,) = head([features])
        output.square().mean().backward()
        head.zero_grad()
        alpha.grad = None

    return run
