# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claims: what a search leaves behind is what alpha says, each epoch and at the end."""

import json
import math
import re

import pytest

from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.search.recorder import GenotypeHook
from tests.small import SPACE, search, train


@pytest.mark.usefixtures('pictures')
def test_files_scalars_and_log_of_a_search(tmp_path):
    runner = train(search('simsiam', tmp_path, epochs=2))
    names = sorted(path.name for path in (tmp_path / 'genotypes').iterdir())
    assert names == ['epoch_1.json', 'epoch_2.json']
    final = load_genotype(tmp_path / 'genotype.json')
    assert final == load_genotype(tmp_path / 'genotypes/epoch_2.json')
    assert final.framework == 'SimSiam' and final.top_k == 1
    assert final.provenance['epoch'] == 2 and final.provenance['seed'] == 0
    assert final.provenance['dataset'] == 'CIFAR10'
    assert len(final.provenance['dataset_digest']) == 64
    architecture = runner.model.architecture
    for head, choices in architecture.choices.items():
        for n, (choice, alpha) in enumerate(zip(choices, architecture.alpha(head), strict=True)):
            decision = final.decisions[f'{head}.{n}.op']
            rows = zip(choice.options, alpha, choice.present, strict=True)
            scores = {option: a for option, a, here in rows if here}
            assert decision.options == choice.options and decision.scored == scores
            assert decision.chosen == tuple(sorted(scores, key=scores.get, reverse=True)[:1])
    told = final.provenance['decided_at']
    assert told['projector'] == [[16, 16, False]] * 3
    assert told['predictor'] == [[32, 16, False], [16, 32, True]]
    for picture in ('genotype.png', 'alpha.png'):
        assert (tmp_path / picture).read_bytes().startswith(b'\x89PNG')
    history = json.loads((tmp_path / 'alpha.json').read_text())
    assert history['epochs'] == [0, 1, 2]
    (scalars,) = tmp_path.glob('*/vis_data/scalars.json')
    entries = [json.loads(line) for line in scalars.read_text().splitlines()]
    entropies = [
        e['alpha/predictor/1/entropy'] for e in entries if 'alpha/predictor/1/entropy' in e
    ]
    assert len(entropies) == 2 and all(0 < entropy <= 1.0987 for entropy in entropies)
    (log,) = tmp_path.glob('*/*.log')
    ops = ' '.join('+'.join(decision.chosen) for decision in final.of('projector'))
    assert f'Epoch 2 projector: {ops} (entropy' in log.read_text()


def test_ties_are_reported(tmp_path):
    cfg = search('simclr', tmp_path)
    cfg.default_hooks.pop('alpha_step')  # all alphas stay equal
    cfg.experiment_name = tmp_path.name  # or two runs of one second share a logger
    train(cfg)
    decision = load_genotype(tmp_path / 'genotype.json').decisions['projector.0.op']
    assert decision.chosen == ('linear_bn_relu',)
    assert decision.tied == ('max_pool_3_bn', 'avg_pool_3_bn', 'identity')
    (log,) = tmp_path.glob('*/*.log')
    tie = ': linear_bn_relu ties with max_pool_3_bn, avg_pool_3_bn, identity; the first'
    # Layers that say the same share a line.
    lines = [line for line in log.read_text().splitlines() if tie in line]
    layers = ', '.join(map(str, range(len(load_genotype(tmp_path / 'genotype.json').decisions))))
    (line,) = lines  # one epoch
    assert f'Epoch 1 projector layers {layers}{tie}' in line


def test_gates_are_made_shares_and_layers_without_any_are_told(tmp_path):
    cfg = search('simclr', tmp_path, relaxation=dict(type='Sigmoid'))
    cfg.default_hooks.genotype.selection = dict(type='Threshold', threshold=0.9)
    cfg.experiment_name = tmp_path.name  # or two runs of one second share a logger
    train(cfg)
    (log,) = tmp_path.glob('*/*.log')
    text = log.read_text()
    layers = len(load_genotype(tmp_path / 'genotype.json').decisions)
    told = f'no operation reaches the threshold 0.9 at {layers} of {layers} choices: projector.0.op'
    assert told in text
    entropies = re.findall(r'Epoch \d projector: .*entropy ([\d.]+) nats', text)
    assert entropies and all(float(entropy) <= 1.387 for entropy in entropies)
    (scalars,) = tmp_path.glob('*/vis_data/scalars.json')
    found = [json.loads(line) for line in scalars.read_text().splitlines()]
    values = [entry[key] for entry in found for key in entry if key.endswith('/entropy')]
    assert values and max(values) <= math.log(4) + 1e-9


def test_heads_may_have_spaces_of_their_own(tmp_path):
    cfg = search('simsiam', tmp_path)
    cfg.model.head.predictor.space = ['linear_bn_relu', 'identity']
    train(cfg)
    final = load_genotype(tmp_path / 'genotype.json')
    assert final.of('projector')[0].options == tuple(SPACE)
    assert {d.options for d in final.of('predictor')} == {('linear_bn_relu', 'identity')}


def test_what_a_space_fixes_is_in_the_genotype(tmp_path):
    space = dict(op=SPACE, depth=[3], width_ratio=[2], temperature=[0.3])
    train(search('simclr', tmp_path, space=space))
    final = load_genotype(tmp_path / 'genotype.json')
    assert final.settings('projector') == {'depth': 3, 'width_ratio': 2}
    assert final.settings() == {'temperature': 0.3}
    assert len(final.of('projector')) == 2
    assert all(decision.scored for decision in final.of('projector'))
    assert (tmp_path / 'genotype.png').exists()


@pytest.mark.parametrize('k', [0, 3, '1'])
def test_a_number_of_operations_that_cannot_be(k):
    with pytest.raises(ValueError, match=f'GenotypeHook.top_k must be 1 or 2, got {k!r}'):
        GenotypeHook(top_k=k)


def test_hook_is_registered():
    from nasiam_mm.registry import HOOKS

    assert HOOKS.get('GenotypeHook') is GenotypeHook
