# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Losses that look across processes, recomputed in one process by their formulas.

1. NT-Xent is taken over the union of the ranks, and its gradient, averaged as
   DistributedDataParallel does, is that of the union.
2. MoCo's keys are normalised among a random half of all images, not among those of their query;
   the shuffle is a function of the step and leaves the generator alone.
3. The queue takes the keys of all ranks.
4. MoCo v3 contrasts each rank's queries with the keys of all; the mean of the gradients is that of
   the joint batch.
5. PIRL's bank takes the projections of all ranks, each at its image's row.
"""

import os

import torch
import torch.distributed as dist
from mmengine.registry import init_default_scope

from tests.test_distributed.processes import run_processes
from tests.test_models.test_algorithms.toys import build, unit, views

BATCH = 4  # a process
TEMPERATURE, MOCOV3_TEMPERATURE = 0.5, 0.2


def join():
    init_default_scope('nasiam_mm')
    dist.init_process_group('gloo')
    return int(os.environ['RANK'])


def model_and_views(framework, **kwargs):
    """The same model in every process, and the views of both."""
    torch.manual_seed(1)
    return build(framework, **kwargs), [views(BATCH) for _ in range(2)]


def nt_xent(folder):
    rank = join()
    model, batches = model_and_views('SimCLR')
    loss = model.loss(batches[rank], None)['loss']
    loss.backward()
    trained = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
    return dict(loss=loss.detach(), gradients=trained)


def test_nt_xent_over_the_union_of_the_ranks(tmp_path):
    two = run_processes(2, nt_xent, tmp_path / 'two')
    model, batches = model_and_views('SimCLR')
    # Each rank normalises its own images, both views together.
    embedded = [model.neck(model.backbone(torch.cat(batch)))[0].chunk(2) for batch in batches]
    first, second = (torch.cat([pair[n] for pair in embedded]) for n in range(2))
    z = unit(torch.cat([first, second]))
    count = len(first)
    total = 0
    for i in range(2 * count):
        partner = (i + count) % (2 * count)
        others = [k for k in range(2 * count) if k != i]
        similarity = (z[others] @ z[i]) / TEMPERATURE
        total = total + similarity.exp().sum().log() - z[partner] @ z[i] / TEMPERATURE
    loss = total / (2 * count)
    loss.backward()
    for record in two:
        torch.testing.assert_close(record['loss'], loss.detach())
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            mean = (two[0]['gradients'][name] + two[1]['gradients'][name]) / 2
            torch.testing.assert_close(mean, parameter.grad, atol=1e-6, rtol=1e-4)


def mocov3(folder):
    rank = join()
    model, batches = model_and_views('MoCoV3')
    loss = model.loss(batches[rank], None, update_state=False)['loss']
    loss.backward()
    trained = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
    return dict(loss=loss.detach(), gradients=trained)


def test_mocov3_over_the_union_of_the_ranks(tmp_path):
    two = run_processes(2, mocov3, tmp_path / 'two')
    model, batches = model_and_views('MoCoV3')
    # Each rank normalises its own images, each view alone.
    views_of = [[batch[view] for batch in batches] for view in (0, 1)]
    z = [[model.neck(model.backbone(part))[0] for part in parts] for parts in views_of]
    queries = [torch.cat([model.head.predictor([part])[0] for part in parts]) for parts in z]
    with torch.no_grad():
        encode = model.momentum_encoder
        keys = [unit(torch.cat([encode(part)[0] for part in parts])) for parts in views_of]
    loss = 0
    for query, key in ((queries[0], keys[1]), (queries[1], keys[0])):
        for i, q in enumerate(unit(query)):
            similarity = key @ q / MOCOV3_TEMPERATURE
            loss = loss + similarity.exp().sum().log() - similarity[i]
    loss = loss * 2 * MOCOV3_TEMPERATURE / (2 * BATCH)
    loss.backward()
    assert not torch.allclose(two[0]['loss'], two[1]['loss'])
    torch.testing.assert_close((two[0]['loss'] + two[1]['loss']) / 2, loss.detach())
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            mean = (two[0]['gradients'][name] + two[1]['gradients'][name]) / 2
            torch.testing.assert_close(mean, parameter.grad, atol=1e-6, rtol=1e-4)


def pirl(folder):
    rank = join()
    model, batches = model_and_views('PIRL', bank_len=20, feat_dim=6, negatives=8)
    rows = torch.arange(2 * BATCH).flip(0)[rank * BATCH : (rank + 1) * BATCH]
    before = model.bank.clone()
    model.loss(batches[rank], rows)
    return dict(before=before, after=model.bank)


def test_pirl_writes_the_rows_of_all_ranks(tmp_path):
    two = run_processes(2, pirl, tmp_path / 'two')
    model, batches = model_and_views('PIRL', bank_len=20, feat_dim=6, negatives=8)
    projected = torch.cat([unit(model.neck(model.backbone(batch[0]))[0]) for batch in batches])
    expected = model.bank.clone()
    expected[: 2 * BATCH] = unit(expected[: 2 * BATCH] + projected.detach().flip(0))
    for record in two:
        assert torch.equal(record['before'], model.bank)
        torch.testing.assert_close(record['after'], expected)


def keys(folder):
    rank = join()
    model, batches = model_and_views('MoCo', symmetric=True, queue_len=32)
    generator = torch.get_rng_state()
    shuffled = model._keys(batches[rank][0])
    assert torch.equal(torch.get_rng_state(), generator)
    model.encoder_k.steps += 1
    next_step = model._keys(batches[rank][0])
    model.encoder_k.steps -= 1
    model.loss(batches[rank], None)
    return dict(keys=shuffled, next_step=next_step, queue=model.queue, pointer=model.queue_ptr)


def test_keys_are_normalised_among_a_shuffled_half(tmp_path):
    two = run_processes(2, keys, tmp_path / 'two')
    model, batches = model_and_views('MoCo', symmetric=True, queue_len=32)

    def expected(number, step):
        images = torch.cat([batch[number] for batch in batches])
        order = torch.randperm(2 * BATCH, generator=torch.Generator().manual_seed(step))
        encoded = torch.empty(2 * BATCH, 6)
        with torch.no_grad():
            for half in order.chunk(2):
                encoded[half] = unit(model.encoder_k(images[half])[0])
        return encoded

    gathered = torch.cat([record['keys'] for record in two])
    torch.testing.assert_close(gathered, expected(0, step=0))
    apart = torch.cat([unit(model.encoder_k(batch[0])[0]) for batch in batches])
    assert not torch.allclose(gathered, apart, atol=1e-3)
    torch.testing.assert_close(torch.cat([r['next_step'] for r in two]), expected(0, step=1))
    assert not torch.allclose(expected(0, step=0), expected(0, step=1), atol=1e-3)
    for record in two:
        assert record['pointer'].item() == 4 * BATCH
        entered = record['queue'][:, : 4 * BATCH].T
        torch.testing.assert_close(entered, torch.cat([expected(view, step=1) for view in (0, 1)]))
        assert torch.equal(record['queue'], two[0]['queue'])
