# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
import json
from types import SimpleNamespace

from benchmarks.papers.measures import (
    Trained,
    figures,
    measure_tasks,
    missing_measures,
    summary,
    training_metrics,
)
from benchmarks.papers.spec import Table
from benchmarks.tasks.settings import PROTOCOL
from tests.reduced import ROOT


def test_metrics_are_the_last_ones():
    log = [
        {'loss': 5.0, 'epoch': 1, 'step': 10, 'collapse/std': 0.1},
        {'knn/val_top1': 20.0, 'epoch': 1, 'step': 10},
        {'loss': 2.0, 'epoch': 2, 'step': 20, 'collapse/std': 0.5},
        {'loss': 1.0, 'epoch': 2, 'step': 30, 'collapse/effective_rank': 7.0},
        {'knn/val_top1': 30.0, 'epoch': 2, 'step': 30},
    ]
    assert training_metrics(log) == {
        'loss': 1.5, 'std': 0.5, 'effective_rank': 7.0, 'knn_val': 30.0,
    }  # fmt: skip


TASKS_FOUND = {
    'protocol': PROTOCOL,
    'seed': 0,
    'tasks': {
        'digits': {'linear': [90.0, 92.0, 94.0], 'knn': [80.0, 82.0, 84.0], 'digest': 'a'},
        'faces': {'linear': [99.0, 99.0, 99.0], 'knn': [98.0, 98.0, 98.0], 'digest': 'b'},
    },
}


def test_tasks_are_measured_beside_those_that_were(tmp_path):
    """Another table's tasks stay; those of an earlier protocol are made anew."""
    calls = []

    def call(step, script, *arguments):
        calls.append([str(word) for word in (step, script, *arguments)])
        out = arguments[arguments.index('--out') + 1]
        out.write_text(json.dumps(TASKS_FOUND))

    job = SimpleNamespace(is_search=False, is_detector=False)
    run = Trained(job, tmp_path, tmp_path / 'epoch_1.pth', 'sha')
    table = Table('x', (), {}, features=False, tasks=('digits',))
    assert missing_measures(table, ROOT, job, {}) == ['tasks']
    measure_tasks(run, table, ROOT, call)
    found = run.read('tasks')
    assert found == {'checkpoint_sha256': 'sha', **TASKS_FOUND}
    assert figures('tasks', found) == {
        'digits/linear': 92.0, 'digits/knn': 82.0, 'faces/linear': 99.0, 'faces/knn': 98.0,
    }  # fmt: skip
    made = summary('tasks', found)
    assert missing_measures(table, ROOT, job, {'tasks': made}) == []
    more = Table('x', (), {}, features=False, tasks=('digits', 'cifar10'))
    assert missing_measures(more, ROOT, job, {'tasks': made}) == ['tasks']
    measure_tasks(run, more, ROOT, call)
    earlier = dict(TASKS_FOUND, protocol=PROTOCOL - 1, checkpoint_sha256='sha')
    (tmp_path / 'tasks.json').write_text(json.dumps(earlier))
    assert missing_measures(table, ROOT, job, {'tasks': summary('tasks', earlier)}) == ['tasks']
    measure_tasks(run, more, ROOT, call)
    asked = [words[words.index('--tasks') + 1 : words.index('--out')] for words in calls]
    assert asked == [['digits'], ['cifar10', 'digits', 'faces'], ['cifar10', 'digits']]
    assert calls[0][:2] == ['tasks', 'benchmarks/tasks/measure.py']
    assert (ROOT / calls[0][1]).is_file()
    # Another checkpoint has none.
    assert Trained(job, tmp_path, tmp_path / 'epoch_1.pth', 'other').read('tasks') is None
