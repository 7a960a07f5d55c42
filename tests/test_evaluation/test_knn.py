# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims about the kNN vote.

1. Scores are the sums of exp(cos / T) worked out by hand.
2. They equal a loop over Python numbers, written independently, also with ties.
3. Neither the sizes of blocks nor the order of the bank changes a bit of them, and no matrix is
   made that grows with the bank.
4. Ties at the k-th place are shared; ties between classes go to the lower index.
5. The sweep is the single measurement, repeated; accuracies are exact counts.
6. Each unusable input has its own message.
"""

import math

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from nasiam_mm.evaluation import checks, neighbours
from nasiam_mm.evaluation.knn import knn_accuracy, knn_ranks, knn_scores, knn_sweep
from nasiam_mm.evaluation.neighbours import nearest_neighbours

EAST, NORTH, WEST = [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]
NORTH_EAST = [1.0, 1.0]


def knn_predict(query, bank, bank_labels, num_classes, k=200, temperature=0.1, **blocks):
    """Scores of all queries, (Q, C), for one k and temperature."""
    chunks = knn_scores(query, bank, bank_labels, num_classes, [k], [temperature], **blocks)
    return torch.cat([scores[k, temperature] for _, scores in chunks])


def loop_scores(query, bank, labels, num_classes, k, temperature):
    """The definition in plain Python; ``k`` places, shared by whoever ties for the last ones."""

    def unit(vector):
        norm = math.sqrt(sum(value * value for value in vector))
        return [value / norm if norm else 0.0 for value in vector]

    all_scores = []
    for row in query.tolist():
        cosines = []
        for other in bank.tolist():
            cosine = sum(a * b for a, b in zip(unit(row), unit(other), strict=True))
            cosines.append(round(cosine * 2**24) / 2**24)
        last = sorted(cosines, reverse=True)[k - 1]
        left = k - sum(cosine > last for cosine in cosines)
        share = left / sum(cosine == last for cosine in cosines)
        scores = [0.0] * num_classes
        for cosine, label in zip(cosines, labels.tolist(), strict=True):
            places = 1.0 if cosine > last else share if cosine == last else 0.0
            scores[label] += places * math.exp(cosine / temperature)
        all_scores.append(scores)
    return torch.tensor(all_scores, dtype=torch.float64)


@pytest.fixture
def clusters():
    """Noisy clusters around 7 directions: (query, its labels, bank, its labels)."""
    generator = torch.Generator().manual_seed(3)
    centres = torch.randn(7, 12, generator=generator)
    labels = torch.randint(7, (150,), generator=generator)
    features = centres[labels] + 1.5 * torch.randn(150, 12, generator=generator)
    return features[:40], labels[:40], features[40:], labels[40:]


def test_scores_by_hand():
    # Cosines of the query, east, with the bank: 1, 1/sqrt(2), 0, -1.
    query = torch.tensor([[3.0, 0.0]])  # the length does not count
    bank = torch.tensor([EAST, NORTH_EAST, NORTH, WEST])
    labels = torch.tensor([2, 0, 0, 1])

    scores = knn_predict(query, bank, labels, num_classes=4, k=3, temperature=0.5)

    expected = [math.exp(2**0.5) + 1.0, 0.0, math.exp(2.0), 0.0]
    assert scores.shape == (1, 4)
    expected = torch.tensor(expected, dtype=torch.float64)
    torch.testing.assert_close(scores[0], expected, rtol=1e-6, atol=0)
    # exp(2) = 7.39 beats exp(1.41) + 1 = 5.11; class 1 is the fourth neighbour, outside k.
    assert scores.argsort(1, descending=True)[0, :2].tolist() == [2, 0]


def test_temperature_turns_majority_into_nearest():
    query = torch.tensor([EAST])
    bank = torch.tensor([EAST, NORTH_EAST, NORTH_EAST])
    labels = torch.tensor([0, 1, 1])
    # Two votes of exp(0.707 / T) against one of exp(1 / T): equal at T = 0.293 / ln 2 = 0.4226.
    warm = knn_predict(query, bank, labels, 2, k=3, temperature=0.43)
    cold = knn_predict(query, bank, labels, 2, k=3, temperature=0.42)
    assert warm.argmax().item() == 1
    assert cold.argmax().item() == 0


@pytest.mark.parametrize('k', [1, 4, 110])
@pytest.mark.parametrize('temperature', [0.01, 0.1, 1.0])
def test_equals_loop(clusters, k, temperature):
    query, _, bank, labels = clusters
    scores = knn_predict(query, bank, labels, 7, k=k, temperature=temperature, chunk_size=16)
    expected = loop_scores(query, bank, labels, 7, k, temperature)
    torch.testing.assert_close(scores, expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize('k', [1, 3, 8, 20])
def test_equals_loop_with_many_ties(k):
    # Entries of -1, 0, 1 in three dimensions: few distinct cosines.
    generator = torch.Generator().manual_seed(1)
    query = torch.randint(-1, 2, (30, 3), generator=generator).float()
    bank = torch.randint(-1, 2, (60, 3), generator=generator).float()
    labels = torch.randint(5, (60,), generator=generator)
    query[0], bank[[0, 1]] = 0, 0
    scores = knn_predict(query, bank, labels, 5, k=k, temperature=0.2)
    torch.testing.assert_close(
        scores, loop_scores(query, bank, labels, 5, k, 0.2), rtol=1e-12, atol=1e-12
    )


def test_chunk_size_changes_nothing(clusters):
    query, _, bank, labels = clusters
    whole = knn_predict(query, bank, labels, 7, k=20, chunk_size=4096)  # Q < chunk
    for chunk_size in (1, 7, 40):
        chunked = knn_predict(query, bank, labels, 7, k=20, chunk_size=chunk_size)
        assert torch.equal(chunked, whole)


@pytest.mark.parametrize('bank_block', [1, 7, 64])
def test_blocks_of_the_bank_change_nothing(clusters, bank_block):
    query, _, bank, labels = clusters
    # Doubles tie across blocks; rounded features tie a lot.
    bank, labels = torch.cat([bank, bank]), torch.cat([labels, labels.flip(0)])
    for rounding in (8, 1):
        parts = (query * rounding).round(), (bank * rounding).round(), labels, 7
        [(_, whole)] = knn_scores(*parts, [1, 5, 60], [0.1, 1.0])
        [(_, blocks)] = knn_scores(*parts, [1, 5, 60], [0.1, 1.0], bank_block=bank_block)
        assert all(torch.equal(whole[key], blocks[key]) for key in whole)


class Largest(TorchDispatchMode):
    """Note the entries of the largest tensor that is made."""

    entries = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        made = [x for x in tree_leaves(result) if isinstance(x, torch.Tensor) and not x._is_view()]
        self.entries = max([self.entries, *(x.numel() for x in made)])
        return result


@pytest.mark.parametrize('spread', [0.0, 1.0])
def test_memory_is_bounded_in_every_dimension(monkeypatch, spread):
    for module in (checks, neighbours):
        monkeypatch.setattr(module, 'ENTRIES', 2**13)
    bank, labels = spread * torch.randn(4500, 16) + 1, torch.arange(4500) % 300
    with Largest() as made:
        knn_sweep(bank[:350], labels[:350], bank, labels, 300, [1, 1000], [0.1, 1.0])
        nearest_neighbours(bank[:70], bank, 20)
    # Where all tie, each entry is found by its row and its column.
    assert made.entries <= 2 * 2**13 < bank.numel()


def test_order_of_bank_changes_nothing(clusters):
    query, _, bank, labels = clusters
    bank = torch.cat([bank, bank[:30]])  # doubles tie, also for the last place
    labels = torch.cat([labels, labels[:30].flip(0)])
    scores = knn_predict(query, bank, labels, 7, k=5)
    for seed in range(5):
        order = torch.randperm(len(bank), generator=torch.Generator().manual_seed(seed))
        assert torch.equal(knn_predict(query, bank[order], labels[order], 7, k=5), scores)


def test_tie_for_last_place_is_shared():
    query = torch.tensor([EAST])
    bank = torch.tensor([EAST, NORTH, NORTH, NORTH])
    labels = torch.tensor([3, 0, 1, 1])
    # Three rows of cosine 0 share the two places left: 2/3 exp(0) each.
    scores = knn_predict(query, bank, labels, 4, k=3, temperature=1.0)
    expected = torch.tensor([[2 / 3, 4 / 3, 0.0, math.e]], dtype=torch.float64)
    torch.testing.assert_close(scores, expected, rtol=1e-12, atol=0)


def test_collapsed_features_score_at_chance():
    labels = torch.arange(10).repeat(20)
    constant = torch.full((200, 8), 0.3)
    accuracy = knn_accuracy(constant, labels, constant, labels, 10, k=50)
    # Every class gets the same score: ranked by index, one class in ten is first, five are in five.
    assert accuracy == {'top1': 10.0, 'top5': 50.0}


def test_accuracy_counts_exactly():
    directions = torch.eye(6)
    bank = directions.repeat(2, 1)
    bank_labels = torch.arange(6).repeat(2)
    query = directions[[0, 1, 2, 3]]
    query_labels = torch.tensor([0, 1, 2, 0])
    accuracy = knn_accuracy(query, query_labels, bank, bank_labels, 6, k=2)
    # The last query's neighbours are both of class 3: class 0 has no vote, hence no second place.
    assert accuracy == {'top1': 75.0, 'top5': 75.0}
    accuracy = knn_accuracy(query, torch.tensor([0, 1, 2, 5]), bank, bank_labels, 6, k=12)
    # All 12 vote: 3 leads, classes 0, 1, 2, 4 and 5 tie at cosine 0, and 5 is sixth.
    assert accuracy == {'top1': 75.0, 'top5': 75.0}
    accuracy = knn_accuracy(query, torch.tensor([0, 1, 2, 4]), bank, bank_labels, 6, k=12)
    assert accuracy == {'top1': 75.0, 'top5': 100.0}


def test_ranks_say_which_are_right():
    # Votes by hand: both neighbours of the first say 1; of the second one says 0, one 1.
    bank = torch.tensor([[1.0, 0.0], [1.0, 0.1], [0.0, 1.0], [0.2, 1.0]])
    query = torch.tensor([[1.0, 0.05], [0.0, 1.0], [0.0, 1.0], [1.0, 0.0]])
    given = query, torch.tensor([1, 0, 1, 2]), bank, torch.tensor([1, 1, 0, 1]), 3
    ranks = knn_ranks(*given, k=2, temperature=0.1)
    assert ranks.tolist() == [0, 0, 1, 3]  # one without a vote comes last
    assert knn_accuracy(*given, k=2, temperature=0.1) == {'top1': 50.0}


def test_top5_needs_more_than_five_classes(clusters):
    query, query_labels, bank, bank_labels = clusters
    five = query_labels < 5, bank_labels < 5
    parts = query[five[0]], query_labels[five[0]], bank[five[1]], bank_labels[five[1]]
    assert set(knn_accuracy(*parts, num_classes=5, k=3)) == {'top1'}
    assert set(knn_accuracy(*clusters, num_classes=7, k=3)) == {'top1', 'top5'}


def test_sweep_repeats_the_single_measurement(clusters):
    ks, temperatures = [1, 10, 110], [0.05, 0.1, 1.0]
    sweep = knn_sweep(*clusters, 7, ks, temperatures, chunk_size=16)
    assert list(sweep) == [(k, temperature) for k in ks for temperature in temperatures]
    for (k, temperature), top1 in sweep.items():
        assert top1 == knn_accuracy(*clusters, 7, k, temperature)['top1']
    # With the whole bank and T = 1 the vote is close to counting classes: worse than near ones.
    assert sweep[10, 0.1] > sweep[110, 1.0]


def test_half_precision_features_and_small_temperature(clusters):
    query, _, bank, labels = clusters
    scores = knn_predict(query.bfloat16(), bank.bfloat16(), labels, 7, k=10, temperature=0.002)
    assert scores.isfinite().all()
    expected = loop_scores(query.bfloat16(), bank.bfloat16(), labels, 7, 10, 0.002)
    assert torch.equal(scores.argmax(1), expected.argmax(1))


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'k': 111}, r'k = 111 does not fit a bank of 110 rows'),
        ({'k': 0}, r'k = 0 does not fit'),
        ({'temperature': 0.0}, r'temperature = 0.0 is not usable'),
        ({'temperature': 0.001}, r'temperature = 0.001 is not usable'),
        ({'temperature': float('nan')}, r'temperature = nan is not usable'),
        ({'chunk_size': 0}, r'chunk_size must be at least 1'),
        ({'bank_block': 0}, r'bank_block must be at least 1'),
        ({'num_classes': 3}, r'bank_labels holds \d, outside 0 to 2'),
        (
            {'bank_labels': torch.zeros(3).long()},
            r'bank_labels must be 110 class indices, got \(3,\)',
        ),
        ({'bank_labels': torch.zeros(110)}, r'class indices, got \(110,\) of torch.float32'),
        ({'bank': torch.randn(110, 5)}, r'query has width 12 and bank 5'),
        ({'query': torch.randn(4, 12, 2)}, r'query features must be an \(N, D\) matrix'),
        ({'query': torch.randn(0, 12)}, r'query features must be an \(N, D\) matrix'),
    ],
)
def test_unusable_input(clusters, change, message):
    query, _, bank, labels = clusters
    arguments = {'query': query, 'bank': bank, 'bank_labels': labels, 'num_classes': 7, 'k': 5}
    with pytest.raises(ValueError, match=message):
        knn_predict(**{**arguments, **change})


@pytest.mark.parametrize('name', ['query', 'bank'])
@pytest.mark.parametrize('value', [float('nan'), float('inf')])
def test_non_finite_features(clusters, name, value):
    query, _, bank, labels = clusters
    features = {'query': query.clone(), 'bank': bank.clone()}
    features[name][[4, 9], 2] = value
    with pytest.raises(ValueError, match=rf'2 of \d+ {name} features are not finite .*row 4'):
        knn_predict(**features, bank_labels=labels, num_classes=7, k=5)


def test_unusable_query_labels(clusters):
    query, query_labels, bank, labels = clusters
    with pytest.raises(ValueError, match=r'query_labels must be 40 class indices'):
        knn_accuracy(query, query_labels[:5], bank, labels, 7, k=5)
    with pytest.raises(ValueError, match='query_labels holds 7, outside 0 to 6'):
        knn_sweep(query, query_labels.clamp(7), bank, labels, 7, [5], [0.1])
