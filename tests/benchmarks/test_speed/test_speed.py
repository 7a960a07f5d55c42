# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The speed benchmark: its arithmetic, its turns, what it reports, and a quick run of it.

1. Spreads and ratios are those of the samples; a target is met or missed by the median.
2. A section within another is charged once; sides take turns; one that fails is reported.
3. A window of a run holds the iterations it says; history grows to the length asked for.
4. What runs from a checkout leaves no module behind.
5. The tool measures every item that needs no peer, and says of each peer why it was not run.
"""

import json
import sys
from types import SimpleNamespace

import pytest
import scipy.stats
import torch
from mmengine.logging import MessageHub

from benchmarks.speed import start
from benchmarks.speed.authors_search import OnTheCPU, import_main_search
from benchmarks.speed.clock import Sections, measure_in_turn, turns
from benchmarks.speed.figures import (
    Measurement,
    Ratio,
    Side,
    Spread,
    median_interval,
    render,
    render_all,
)  # fmt: skip
from benchmarks.speed.setup import Setup, write_images
from benchmarks.speed.whole_runs import RunIsMeasured, WindowHook, lengthen_history
from tests.forked import run_forked
from tests.reduced import ROOT


def measured() -> Measurement:
    return Measurement(
        'Step',
        'ms/image',
        {
            'ours': Side([2.0, 4.0, 3.0], 6.746),
            'theirs': Side([3.0, 4.0, 9.0], 8.573, 'as it ships'),
        },
        [
            Ratio('theirs / ours', 'theirs', 'ours', at_least=1.5),
            Ratio('ours / 20 ms', 'ours', 20.0, at_most=0.1),
            Ratio('absent / ours', 'absent', 'ours', at_least=1.0),
        ],
        {'absent': 'no checkout'},
    )


def test_spread_is_minimum_median_maximum():
    assert Spread.of([5.0, 1.0, 2.0]) == Spread(1.0, 2.0, 5.0)
    assert Spread.of([4.0, 1.0]) == Spread(1.0, 2.5, 4.0)


def test_ratios_divide_repetition_by_repetition():
    found = measured()
    pairs, constant, absent = (found.samples_of(ratio) for ratio in found.ratios)
    # Not the ratio of the medians, 4 / 3.
    assert pairs == [1.5, 1.0, 3.0]
    assert constant == [0.1, 0.2, 0.15]
    assert absent == []


def test_the_interval_of_the_median_meets_misses_or_leaves_open_the_target():
    least, most, free = Ratio('', '', '', 1.5), Ratio('', '', '', None, 0.1), Ratio('', '', '')
    told = [least.verdict(samples) for samples in ([1.5, 1.6], [1.4, 1.6], [1.3, 1.4])]
    assert told == ['>= 1.5: met', '>= 1.5: undecided', '>= 1.5: missed']
    told = [most.verdict(samples) for samples in ([0.1, 0.1], [0.1, 0.2], [0.2, 0.2])]
    assert told == ['<= 0.1: met', '<= 0.1: undecided', '<= 0.1: missed']
    assert free.verdict([0.0]) == ''


@pytest.mark.parametrize(
    ('count', 'cut'), [(1, 0), (5, 0), (6, 0), (8, 0), (9, 1), (15, 3), (20, 5), (50, 17)]
)
def test_the_interval_is_that_of_the_sign_test(count, cut):
    samples = [float((7 * n) % count) for n in range(count)] if count % 7 else range(count)
    assert median_interval(list(samples)) == (cut, count - 1 - cut)
    # At most 2.5 % lie beyond each end, and one more sample cut off would be more.
    assert count < 6 or scipy.stats.binom.cdf(cut, count, 0.5) <= 0.025
    assert scipy.stats.binom.cdf(cut + 1, count, 0.5) > 0.025


def test_a_target_nearby_takes_fifteen_repetitions():
    assert measured().is_near()  # 1.5 of at least 1.5
    far = measured()
    far.ratios = [Ratio('theirs / ours', 'theirs', 'ours', at_least=1.0)]
    assert not far.is_near()
    counts = [len(list(turns({'a': 1}, n, lambda: True))) for n in (1, 5, 15, 20)]
    assert counts == [1, 15, 15, 20]
    assert len(list(turns({'a': 1}, 5, lambda: False))) == 5


def test_what_the_import_takes_is_taken_off(monkeypatch):
    spent = iter([1.0] * 6 + [2.0, 3.0, 0.1, 0.5, 1.5, 9.0] + [11.0, 1.5, 0.5, 0.2, 4.0, 2.5])
    monkeypatch.setattr(start, '_spent', lambda command: next(spent))
    [found] = start.measure_start(Setup(str(ROOT), 'unused', repeats=2))
    assert found.sides[start.ENGINE].samples == [3.0, 4.0]
    assert found.sides[start.AFTER].samples == [6.0, 7.0]


def test_json_holds_raw_samples_spreads_and_verdicts():
    data = json.loads(json.dumps(measured().as_dict()))
    assert data['sides']['theirs']['samples'] == [3.0, 4.0, 9.0]
    assert data['sides']['ours']['spread'] == {'minimum': 2.0, 'median': 3.0, 'maximum': 4.0}
    assert [ratio['name'] for ratio in data['ratios']] == ['theirs / ours', 'ours / 20 ms']
    assert [ratio['target'] for ratio in data['ratios']] == [
        '>= 1.5: undecided',
        '<= 0.1: undecided',
    ]
    assert data['not_run'] == {'absent': 'no checkout'}


def test_rendering_shows_figures_flops_targets_and_what_was_not_run():
    lines = [' '.join(line.replace('|', ' ').split()) for line in render(measured()).splitlines()]
    assert 'side median min max unit GFLOP/image' in lines
    assert 'ours 3 2 4 ms/image 6.746' in lines
    assert 'theirs (as it ships) 4 3 9 ms/image 8.573' in lines
    assert 'theirs / ours 1.5 1 3 1 to 3 (n 3) >= 1.5: undecided' in lines
    assert '- absent: not run: no checkout' in lines
    assert not any(line.startswith('absent / ours') for line in lines)
    assert '- load: 9.1' in render_all([measured()], {'load': 9.1}, 'python speed.py')


def test_a_section_within_another_is_charged_once():
    readings = iter([0.0, 1.0, 4.0, 5.0, 15.0, 15.5])
    sections = Sections(lambda: next(readings))
    with sections.section('weights'), sections.section('loading'):  # 0 to 5, 1 to 4
        pass
    with sections.section('weights'):  # 15 to 15.5; what is between belongs to none
        pass
    assert sections.totals == {'weights': 2.5, 'loading': 3.0}


def test_sides_take_turns_in_alternating_order():
    assert [name for name, _ in turns({'a': 1, 'b': 2}, 3)] == ['a', 'b', 'b', 'a', 'a', 'b']


def test_a_side_that_fails_is_reported_and_the_others_go_on():
    weight = torch.randn(4, 5)
    calls = []

    def fail():
        raise ImportError("No module named 'peer'")

    def ours():
        calls.append(torch.randn(3, 4) @ weight)

    found = measure_in_turn(
        'Step', {'peer': fail, 'ours': lambda: ours}, repeats=2, images=3, device='cpu'
    )
    assert found.not_run == {'peer': "ImportError: No module named 'peer'"}
    assert list(found.sides) == ['ours'] and len(found.sides['ours'].samples) == 2
    assert len(calls) == 3  # the first is counted, not timed
    assert found.sides['ours'].gflop == pytest.approx(2 * 4 * 5 / 1e9)


def test_settings_read_the_config_for_the_run_and_survive_json(tmp_path):
    setup = Setup(str(ROOT), str(tmp_path), batch_size=8, divisor=16, images=1000)
    assert Setup.from_json(setup.to_json()) == setup
    write_images(tmp_path, 1000)
    cfg = setup.config('mocov2_r18_baseline_cifar10')
    assert cfg.model.backbone.base_channels == 4
    assert (cfg.model.neck.in_channels, cfg.model.neck.out_channels) == (32, 8)
    assert cfg.model.feat_dim == 8 and cfg.model.queue_len == 4096
    assert cfg.train_dataloader.batch_size == 8
    assert cfg.train_dataloader.dataset.dataset.data_root == str(tmp_path)
    assert cfg.probe.bank.dataset.parts == [('bank', 900), ('val', 100)]


def test_a_window_holds_its_iterations_and_ends_the_run():
    clock, between = iter([10.0, 12.0, 50.0, 53.0]), []
    hook = WindowHook(
        lambda: next(clock), first=3, length=2, count=2, between=lambda _, n: between.append(n)
    )
    done = 0
    with pytest.raises(RunIsMeasured):
        for done in range(100):
            hook.after_train_iter(SimpleNamespace(iter=done), done)
    # After iterations 3, 5 and 7; what is between two windows belongs to none.
    assert done + 1 == 7
    assert hook.seconds == [1.0, 1.5] and between == [1, 2]


def test_history_grows_to_the_length_asked_for():
    hub = MessageHub.get_instance('history')
    for value in (1.0, 2.0, 3.0):
        hub.update_scalar('train/loss', value)
    lengthen_history(SimpleNamespace(message_hub=hub), 1000)
    hub.update_scalar('train/loss', 7.0)
    values, counts = hub.get_scalar('train/loss').data
    assert len(values) == len(counts) == 1001
    assert values[-4:].tolist() == [1.0, 2.0, 3.0, 7.0]


def test_code_of_a_checkout_is_imported_without_a_trace(tmp_path):
    (tmp_path / 'utils.py').write_text('NAME = "of the checkout"\n')
    (tmp_path / 'main_search.py').write_text(
        'from torch.utils.tensorboard import SummaryWriter\nfrom utils import NAME\n'
    )
    path = list(sys.path)
    before = {name: sys.modules.get(name) for name in ('utils', 'torch.utils.tensorboard')}
    assert import_main_search(tmp_path).NAME == 'of the checkout'
    assert sys.path == path
    assert {name: sys.modules.get(name) for name in before} == before
    with pytest.raises(FileNotFoundError, match='give a checkout of the NASiam repository'):
        import_main_search(tmp_path / 'elsewhere')


def test_what_is_asked_for_on_cuda_is_made_on_the_cpu():
    with OnTheCPU():
        made = torch.zeros(2, 3, requires_grad=True, device='cuda')
    assert made.device.type == 'cpu' and made.requires_grad


def test_written_images_pass_the_checks_of_the_data_set(tmp_path):
    from nasiam_mm.datasets import CIFAR10

    write_images(tmp_path, 20)
    data = CIFAR10(data_root=str(tmp_path))
    assert len(data) == 20 and data[0]['img'].shape == (32, 32, 3)


def test_quick_run(tmp_path):
    done = run_forked(
        'benchmarks.speed', '--quick', '--repeats', '1',
        '--items', 'pretrain', 'views', 'decode', 'search', 'heads', 'runner', 'epochs', 'knn',
        'linear',
        '--out', tmp_path / 'speed.json', '--markdown', tmp_path / 'speed.md',
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout.splitlines()[-1])
    assert data == json.loads((tmp_path / 'speed.json').read_text())
    found = {each['name']: each for each in data['measurements']}
    assert len(found) == len(data['measurements'])
    peers = {'lightly', 'lightly channels_last', 'solo-learn'}
    for framework in ('simsiam', 'simclr', 'mocov2', 'byol'):
        step = found[f'Pretrain step, {framework}']
        assert set(step['not_run']) == peers
        flops = {name: side['gflop'] for name, side in step['sides'].items()}
        assert len(flops) == 4 and len({flops[name] for name in flops if 'ours' in name}) == 1
        # Stock MoCo contrasts in one direction; the other classes compute what ours do.
        directions = 2 if framework == 'mocov2' else 1
        assert flops['ours'] == pytest.approx(directions * flops['mmpretrain'], rel=1e-3)
    alpha, weights, both = (
        found[f'Search iteration, {part}']['sides']
        for part in ('alpha', 'weights', 'compute: alpha and weights')
    )
    heads = [each for name, each in found.items() if name.startswith('Searched ')]
    assert len(heads) == 4
    for head in heads:
        plain, fused = (side['gflop'] for side in head['sides'].values())
        assert plain == pytest.approx(fused, rel=1e-6)
    assert 'ours, pretraining' not in alpha
    assert alpha['ours']['gflop'] < 0.4 * weights['ours']['gflop']
    assert both['ours']['gflop'] == pytest.approx(alpha['ours']['gflop'] + weights['ours']['gflop'])
    assert set(found['Search iteration, alpha']['not_run']) == {"authors' code"}
    assert len(found['Two views']['sides']) == 4
    worker, preprocessor = (
        found[f'ImageNet, {part}, 500x375'] for part in ('a worker', 'the preprocessor')
    )
    assert list(worker['sides']) == ['decoding alone', 'stock', 'crops']
    assert list(preprocessor['sides']) == ['stock', 'crops']
    assert worker['ratios'][0]['median'] > 1
    runner = found['Runner, per iteration']['sides']
    assert runner['overhead']['samples'][0] == pytest.approx(
        runner['Runner']['samples'][0] - runner['bare loop']['samples'][0]
    )
    for name in ('kNN, 50 queries, bank 4,000 x 64', 'Linear probe, 500 x 16, 100 classes'):
        assert len(found[name]['sides']['ours']['samples']) == 1
    assert 'give --device cuda' in str(found['Epoch']['not_run'])
    text = (tmp_path / 'speed.md').read_text()
    assert all(f'### {name}' in text for name in found)
