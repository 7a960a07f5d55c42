# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What a code host reads: the forms of issues, and how to cite."""

import re

import pytest
import yaml

from nasiam_mm.cli.main import COMMANDS
from nasiam_mm.version import __version__
from tests.reduced import ROOT

FOLDER = ROOT / '.github/ISSUE_TEMPLATE'
FORMS = sorted(path for path in FOLDER.glob('*.yml') if path.stem != 'config')
KINDS = {'checkboxes', 'dropdown', 'input', 'markdown', 'textarea'}


def test_there_are_forms_for_bugs_and_questions():
    assert [path.stem for path in FORMS] == ['bug', 'question']
    config = yaml.safe_load((FOLDER / 'config.yml').read_text(encoding='utf-8'))
    assert isinstance(config['blank_issues_enabled'], bool)


@pytest.mark.parametrize('path', FORMS, ids=lambda path: path.stem)
def test_a_form_has_what_the_host_asks_for(path):
    """The keys of GitHub's syntax for issue forms."""
    form = yaml.safe_load(path.read_text(encoding='utf-8'))
    assert form.keys() <= {'name', 'description', 'title', 'labels', 'body', 'assignees'}
    assert form['name'] and form['description']
    for field in form['body']:
        assert field['type'] in KINDS
        assert field.keys() <= {'type', 'id', 'attributes', 'validations'}
        assert field['attributes']['label']
        assert isinstance(field.get('validations', {}).get('required', False), bool)
    names = [field['id'] for field in form['body']]
    assert len(set(names)) == len(names) and all(re.fullmatch(r'[\w-]+', name) for name in names)
    assert any(field.get('validations', {}).get('required') for field in form['body'])
    for command in re.findall(r'`nasiam (\w+)`', path.read_text(encoding='utf-8')):
        assert command in COMMANDS


def test_the_citation_is_of_this_version():
    found = yaml.safe_load((ROOT / 'CITATION.cff').read_text(encoding='utf-8'))
    # What version 1.2.0 of the Citation File Format requires.
    assert {'cff-version', 'message', 'title', 'authors'} <= found.keys()
    assert found['cff-version'] == '1.2.0' and found['type'] == 'software'
    assert found['version'] == __version__ and found['license'] == 'Apache-2.0'
    (paper,) = found['references']
    assert {'type', 'title', 'authors'} <= paper.keys()
    assert paper['title'] in ' '.join((ROOT / 'README.md').read_text(encoding='utf-8').split())
