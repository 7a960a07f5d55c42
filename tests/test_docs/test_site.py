# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Links of the pages lead somewhere, on a code host and in the site, whose assets are its own.

`make docs`, which .ci/run calls, builds the site strictly; what is here takes seconds.
"""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest
import yaml
from mkdocs.config import load_config
from mkdocs.structure.files import get_files

from docs.site import pages
from docs.site.docstrings import as_markdown
from tests.reduced import ROOT
from tests.test_docs.shown import PAGES, name_of

SHOWN = [*PAGES, ROOT / 'CHANGELOG.md']
LINK = re.compile(r'(?<=\]\()[^)\s]+(?=\))')
CODE = re.compile(r'^```.*?^```|`[^`\n]*`', re.DOTALL | re.MULTILINE)


def links(text):
    """Return the links of a page to its own or another file, code left out."""
    found = LINK.findall(CODE.sub('', text))
    return [link for link in found if '://' not in link]


def anchors(path):
    """Return the anchors that a code host gives the headings of a page."""
    headings = re.findall(r'^#+ (.*)$', path.read_text(encoding='utf-8'), re.MULTILINE)
    return {re.sub(r'[^\w\- ]', '', heading.lower()).replace(' ', '-') for heading in headings}


@pytest.mark.parametrize('page', SHOWN, ids=name_of)
def test_links_lead_to_files_of_the_repository(page):
    for link in links(page.read_text(encoding='utf-8')):
        path, _, anchor = link.partition('#')
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert target.is_relative_to(ROOT), link
        if anchor:
            assert anchor in anchors(target), link


@pytest.fixture(scope='module')
def site():
    """Config and files of the site, less its theme."""
    config = load_config(str(ROOT / 'mkdocs.yml'), plugins=[])
    return config, config.plugins.on_files(get_files(config), config=config)  # by the hook


@pytest.mark.parametrize('page', SHOWN, ids=name_of)
def test_links_lead_to_files_of_the_site(page, site):
    config, files = site
    uri = pages.place_of(name_of(page))
    asked = SimpleNamespace(file=SimpleNamespace(src_uri=uri))
    text = page.read_text(encoding='utf-8')
    mended = config.plugins.on_page_markdown(text, page=asked, config=config, files=files)
    assert CODE.findall(mended) == CODE.findall(text)
    assert len(links(mended)) == len(links(text))
    for link in links(mended):
        path = Path('/site', uri).parent / link.partition('#')[0]
        where = path.resolve().relative_to('/site').as_posix()
        assert link.startswith('#') or where in files.src_uris, link


def test_links_out_of_docs_are_mended(site):
    config, files = site
    asked = SimpleNamespace(file=SimpleNamespace(src_uri='extend/some.md'))
    text = '[a](../../README.md#data) [b](../../setup.py) [c](../study.md) [d](https://x) `[e](f)`'
    mended = config.plugins.on_page_markdown(text, page=asked, config=config, files=files)
    assert mended == (
        '[a](../readme.md#data) [b](../repository/setup.py) '
        '[c](../study.md) [d](https://x) `[e](f)`'
    )
    assert 'repository/setup.py' in files.src_uris
    config.plugins.on_page_markdown('[x](../../no.py)', page=asked, config=config, files=files)
    assert 'repository/no.py' not in files.src_uris


def test_every_page_is_in_the_navigation():
    def leaves(node):
        if isinstance(node, str):
            return [node]
        parts = node.values() if isinstance(node, dict) else node
        return [leaf for part in parts for leaf in leaves(part)]

    config = yaml.safe_load((ROOT / 'mkdocs.yml').read_text(encoding='utf-8'))
    shown = leaves(config['nav'])
    assert sorted(shown) == sorted(pages.place_of(name_of(page)) for page in SHOWN)


def test_every_room_has_its_place_in_the_api():
    text = ''.join(page.read_text(encoding='utf-8') for page in (ROOT / 'docs/api').glob('*.md'))
    shown = re.findall(r'^::: nasiam_mm\.(\S+)$', text, re.MULTILINE)
    package = ROOT / 'nasiam_mm'
    rooms = {path.parent.name for path in package.glob('*/__init__.py')} - {'cli'}
    rooms |= {path.stem for path in package.glob('*.py')} - {'__init__', '__main__', 'version'}
    assert sorted(shown) == sorted([*rooms, 'cli.commands'])


@pytest.mark.parametrize(
    'output',
    [
        '<script src="https://cdn.example/x.js">',
        '<link rel="stylesheet" href="//fonts.example/css">',
        '<img alt="badge" src=https://badge.example/b.svg>',
        '<pre class="mermaid">',
    ],
)
def test_a_page_that_loads_from_elsewhere_is_told(output, caplog):
    asked = SimpleNamespace(file=SimpleNamespace(src_uri='a.md'))
    own = '<script src="assets/x.js"></script><a href="https://arxiv.org"></a>'
    assert pages.on_post_page(own, page=asked, config=None) == own and not caplog.records
    pages.on_post_page(own + output, page=asked, config=None)
    assert 'a.md loads from elsewhere' in caplog.text


def test_the_theme_brings_its_own_fonts():
    config = yaml.safe_load((ROOT / 'mkdocs.yml').read_text(encoding='utf-8'))
    assert config['theme']['font'] is False


def test_docstrings_become_markdown():
    text = 'See :class:`~a.B` and `X-Y`_, X-Y_ of Z_x.\n\n    .. _X-Y: https://x.y/z\n'
    assert as_markdown(text) == 'See `a.B` and [X-Y](https://x.y/z), [X-Y](https://x.y/z) of Z_x.'


def test_make_docs_counts_warnings():
    """With --quiet no warning is counted, and a strict build passes whatever is dead."""
    [line] = re.findall(r'-m mkdocs build(.*)', (ROOT / 'Makefile').read_text(encoding='utf-8'))
    assert line.split() == ['--strict']
