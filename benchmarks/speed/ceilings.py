# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What the machine itself can do: matrix products and copies."""

import torch

from benchmarks.speed.clock import seconds
from benchmarks.speed.figures import Measurement, Side
from benchmarks.speed.settings import Settings


def measure_ceilings(settings: Settings) -> list[Measurement]:
    """Measure products of square matrices, in TFLOP/s, and copies, in GB/s read and written."""
    device = settings.device
    size, loops, count = (8192, 20, 2**28) if device == 'cuda' else (1024, 1, 2**24)
    products = Measurement(f'Matrix product, {size} x {size}', 'TFLOP/s')
    for dtype in (torch.bfloat16, torch.float32):
        factors = [torch.randn(size, size, device=device, dtype=dtype) for _ in range(2)]
        out = torch.empty(size, size, device=device, dtype=dtype)

        def multiply(factors: list = factors, out: torch.Tensor = out) -> None:
            for _ in range(loops):
                torch.mm(*factors, out=out)

        multiply()
        teraflop = 2 * size**3 * loops / 1e12
        samples = [teraflop / seconds(multiply, device) for _ in range(settings.repeats)]
        products.sides[str(dtype)] = Side(samples)
    copies = Measurement(f'Copy of {4 * count / 2**20:.0f} MiB', 'GB/s')
    source, target = (torch.ones(count, device=device) for _ in range(2))

    def copy() -> None:
        for _ in range(loops):
            target.copy_(source)

    copy()
    moved = 2 * 4 * count * loops / 1e9
    copies.sides['copy'] = Side([moved / seconds(copy, device) for _ in range(settings.repeats)])
    return [products, copies]
