# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What is said of recipes is held against those that are there; a default may be said as well."""

import json

import pytest

from nasiam_mm.presets.asked import PHASES, Asked, refuse_asked


@pytest.fixture
def folder(tmp_path):
    """A folder of results whose recipes were asked for with no more than the images."""
    out = tmp_path / 'out'
    out.mkdir()
    files = {phase: f'{phase}.py' for phase in PHASES}
    for name in files.values():
        (out / name).touch()
    asked = Asked(str(tmp_path)).as_json()
    (out / 'preset.json').write_text(json.dumps({'asked': asked, 'files': files}))
    return out


def test_what_is_there_is_found_with_its_defaults_said_or_not(folder, tmp_path):
    for framework in (None, 'simclr'):
        assert refuse_asked(folder, Asked(str(tmp_path), framework))['files']['search']
    assert refuse_asked(tmp_path / 'new', Asked(str(tmp_path))) is None


@pytest.mark.parametrize(
    ('more', 'told'),
    [
        ({'framework': 'byol'}, 'holds recipes for --framework simclr, not byol; take another --o'),
        ({'size': 64}, 'holds recipes without --size, not 64; take another --out, or edit'),
        ({'labels': 'none'}, 'holds recipes without --labels, not none'),
        ({'skip_unreadable': True}, 'holds recipes made without --skip-unreadable; take another'),
        ({'skip_unreadable': 'no'}, "skip_unreadable: 'no' is no True or False"),
    ],
)
def test_another_wish_is_refused(folder, tmp_path, more, told):
    with pytest.raises(ValueError, match=told):
        refuse_asked(folder, Asked(str(tmp_path), **more))


def test_a_record_that_is_damaged_is_named(folder, tmp_path):
    (folder / 'search.py').unlink()
    with pytest.raises(ValueError, match='recipe search.py is not there any more; take another'):
        refuse_asked(folder, Asked(str(tmp_path)))
    (folder / 'preset.json').write_text('{"asked": 3')
    with pytest.raises(ValueError, match=f'{folder}/preset.json: '):
        refuse_asked(folder, Asked(str(tmp_path)))
