# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What an alpha step and a search iteration cost, against a pretrain iteration.

Counts FLOPs of the alpha step and of the full step (every gradient), and times
alpha step, weight step and pretrain step in turn, in process time on the CPU
and by events on a GPU. The views are made beforehand and left out. The last
line is JSON.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def parse_args() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split('\n')[0])
    parser.add_argument(
        '--search', default=str(ROOT / 'configs/nasiam/simsiam_r18_search_cifar10.py')
    )
    parser.add_argument(
        '--pretrain', default=str(ROOT / 'configs/nasiam/simsiam_r18_baseline_cifar10.py')
    )
    parser.add_argument('--batch-size', type=int, default=32)
    parser.add_argument('--repeats', type=int, default=7)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--device', default='cpu', choices=['cpu', 'cuda'])
    return parser.parse_args()


def main() -> None:
    """Build both models, count, time, print."""
    args = parse_args()

    import torch
    from mmengine.config import Config
    from mmengine.registry import init_default_scope
    from torch.utils.flop_counter import FlopCounterMode

    from nasiam_mm.engine import alpha_gradients
    from nasiam_mm.models import searched_cells
    from nasiam_mm.registry import MODELS, OPTIMIZERS

    init_default_scope('nasiam_mm')
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    search_cfg, pretrain_cfg = Config.fromfile(args.search), Config.fromfile(args.pretrain)
    search = MODELS.build(search_cfg.model).to(args.device).train()
    pretrain = MODELS.build(pretrain_cfg.model).to(args.device).train()
    alphas = [cell.alpha for cell in searched_cells(search).values()]
    data = {
        'inputs': [torch.randn(args.batch_size, 3, 32, 32, device=args.device) for _ in range(2)],
        'data_samples': None,
    }

    def optimizer_of(model: torch.nn.Module, cfg: Config) -> torch.optim.Optimizer:
        weights = [p for p in model.parameters() if p.requires_grad]
        return OPTIMIZERS.build(dict(cfg.optim_wrapper.optimizer, params=weights))

    search_optimizer = optimizer_of(search, search_cfg)
    pretrain_optimizer = optimizer_of(pretrain, pretrain_cfg)
    alpha_cfg = next(hook for hook in search_cfg.custom_hooks if hook.type == 'AlphaStepHook')
    alpha_optimizer = OPTIMIZERS.build(dict(alpha_cfg.optimizer, params=alphas))

    def alpha_step() -> None:
        _, gradients = alpha_gradients(search, data, alphas)
        for alpha, gradient in zip(alphas, gradients, strict=True):
            alpha.grad = gradient
        alpha_optimizer.step()
        alpha_optimizer.zero_grad()

    def step(model: torch.nn.Module, optimizer: torch.optim.Optimizer) -> None:
        model.loss(data['inputs'], data['data_samples'])['loss'].backward()
        optimizer.step()
        optimizer.zero_grad()

    def full_step() -> None:
        for alpha in alphas:
            alpha.requires_grad_(True)
        step(search, search_optimizer)
        for alpha in alphas:
            alpha.requires_grad_(False)
            alpha.grad = None

    def flops(run) -> float:
        with FlopCounterMode(display=False) as counter:
            run()
        return counter.get_total_flops() / args.batch_size / 1e9

    def seconds(run) -> float:
        if args.device == 'cuda':
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begin.record()
            run()
            end.record()
            torch.cuda.synchronize()
            return begin.elapsed_time(end) / 1000
        begin = time.process_time()
        run()
        return time.process_time() - begin

    steps = {
        'alpha': alpha_step,
        'weight': lambda: step(search, search_optimizer),
        'full': full_step,
        'pretrain': lambda: step(pretrain, pretrain_optimizer),
    }
    counted = {name: flops(run) for name, run in steps.items()}
    # In turn, so that a drift of the machine's speed meets all alike.
    rounds = [{name: seconds(run) for name, run in steps.items()} for _ in range(args.repeats)]
    median = {name: statistics.median(r[name] for r in rounds) for name in steps}
    ratios = sorted((r['alpha'] + r['weight']) / r['pretrain'] for r in rounds)
    print(f'{"step":<10}{"GFLOP/image":>14}{"ms/image":>12}')
    for name in steps:
        print(f'{name:<10}{counted[name]:>14.3f}{1e3 * median[name] / args.batch_size:>12.2f}')
    print(
        json.dumps(
            {
                'alpha_step_flops_ratio': round(counted['alpha'] / counted['full'], 4),
                'search_flops_over_pretrain': round(
                    (counted['alpha'] + counted['weight']) / counted['pretrain'], 4
                ),
                'search_over_pretrain': round(statistics.median(ratios), 4),
                'search_over_pretrain_range': [round(ratios[0], 4), round(ratios[-1], 4)],
                'full_over_pretrain': round(
                    statistics.median((2 * r['full']) / r['pretrain'] for r in rounds), 4
                ),
                'batch_size': args.batch_size,
                'repeats': args.repeats,
                'threads': args.threads,
                'device': args.device,
                'torch': torch.__version__,
            }
        )
    )


if __name__ == '__main__':
    main()
