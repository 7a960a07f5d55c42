# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Claim: the operation of docs/extend is searched over, found and trained, package untouched."""

import re
import sys

import pytest
from mmengine.runner import Runner
from mmengine.utils import import_modules_from_strings
from torch import nn

from nasiam_mm.architecture.reading import load_genotype
from nasiam_mm.registry import CANDIDATE_OPS
from tests.reduced import ROOT, light, reduced


@pytest.fixture
def user_file(tmp_path, monkeypatch):
    page = (ROOT / 'docs/extend/operation.md').read_text(encoding='utf-8')
    text = re.search(r'```python title="examples/own_operation.py"\n(.*?)```', page, re.S)[1]
    assert len([line for line in text.splitlines() if line]) <= 10
    (tmp_path / 'my_ops.py').write_text(text, encoding='utf-8')
    monkeypatch.syspath_prepend(tmp_path)
    # The test of the pages may have registered the example itself.
    earlier = CANDIDATE_OPS.module_dict.pop('linear_bn_gelu', None)
    yield 'my_ops'
    sys.modules.pop('my_ops', None)
    CANDIDATE_OPS.module_dict.pop('linear_bn_gelu', None)
    if earlier is not None:
        CANDIDATE_OPS.module_dict['linear_bn_gelu'] = earlier


def test_operation_of_a_users_file(user_file, tmp_path):
    import_modules_from_strings([user_file])
    space = ['linear_bn_gelu', 'identity']
    search = light(reduced('nasiam/simclr_r18_search_cifar10', tmp_path / 'search'))
    search.model.space = space
    Runner.from_cfg(search).train()
    path = tmp_path / 'search/genotype.json'
    genotype = load_genotype(path)
    decisions = genotype.of('projector')
    assert len(decisions) == 6
    assert all(list(decision.options) == list(decision.scored) == space for decision in decisions)

    pretrain = light(reduced('nasiam/simclr_r18_pretrain_cifar10', tmp_path / 'pretrain'))
    pretrain.model.genotype = str(path)
    runner = Runner.from_cfg(pretrain)
    chosen = [decision.chosen for decision in decisions]
    gelus = [m for m in runner.model.neck.modules() if isinstance(m, nn.GELU)]
    assert len(gelus) == chosen.count(('linear_bn_gelu',))
    runner.train()
