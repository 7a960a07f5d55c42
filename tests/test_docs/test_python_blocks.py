# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Every block of Python that a page shows runs."""

import pytest
import torch

import nasiam_mm.engine  # noqa: F401
from nasiam_mm.export.layouts import ResNetSpec, build_resnet
from nasiam_mm.presets import scale
from nasiam_mm.registry import CANDIDATE_OPS
from tests.reduced import ROOT
from tests.test_datasets.photos import write_mixed
from tests.test_docs.shown import PAGES, blocks, name_of

# Blocks with a title are files of examples/, which test_extend.py runs.
SHOWN = [
    (name_of(page), number, code)
    for page in PAGES
    for number, (language, rest, code) in enumerate(blocks(page))
    if language == 'python' and 'title=' not in rest
]
SAVED = ('r50.safetensors', 'r50.pth', 'r18.pth', 'narrow.pth')  # what docs/detection.md loads


@pytest.mark.parametrize(
    ('page', 'number', 'code'), SHOWN, ids=[f'{page} {number}' for page, number, _ in SHOWN]
)
def test_a_block_runs(page, number, code, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(ROOT)
    # What it registers is forgotten, so that it may stand in two pages, and in an example.
    ours = {n: op for n, op in CANDIDATE_OPS.module_dict.items() if op.__module__[:7] != 'example'}
    monkeypatch.setattr(CANDIDATE_OPS, '_module_dict', ours)
    names = {'__name__': f'shown_{number}'}
    if any(name in code for name in SAVED):
        names |= exported(tmp_path)
    if "'photos'" in code:
        for folder in ('photos', 'more'):
            write_mixed(tmp_path / folder)
        for limits in ('_SEARCH', '_TRAINING'):  # an epoch each
            monkeypatch.setattr(scale, limits, {'cpu': (1, 1), 'cuda': (1, 1)})
    code = code.replace('dict(...)', 'dict()')  # left out for the reader
    exec(compile(code, f'{page}, block {number}', 'exec'), names)


def exported(folder):
    """Write the weights that a block loads, and return what an earlier block has imported."""
    import timm
    import torchvision
    from safetensors.torch import save_file

    with torch.device('meta'):  # nothing is drawn
        plain, small = torchvision.models.resnet50(), torchvision.models.resnet18()
        plain.fc = small.fc = torch.nn.Identity()
        small.conv1 = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False)
        of_timm = timm.create_model('resnet50', num_classes=0)
    torch.save(zeros(plain), folder / 'r50.pth')
    torch.save(zeros(small), folder / 'r18.pth')
    narrow = build_resnet(ResNetSpec(18, 16, 16, cifar_stem=True), 'torchvision')
    torch.save(zeros(narrow), folder / 'narrow.pth')
    save_file(zeros(of_timm), folder / 'r50.safetensors')
    return {'torch': torch, 'torchvision': torchvision}


def zeros(model):
    """Return a state of the model's shapes."""
    return {name: torch.zeros(value.shape) for name, value in model.state_dict().items()}


def test_blocks_are_found():
    assert len(SHOWN) >= 8
    assert {'README.md', 'docs/concepts.md'} <= {page for page, _, _ in SHOWN}
