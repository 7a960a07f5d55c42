# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The page in a real Chromium: it loads, complains of nothing, asks for nothing, draws all."""

import base64
import io
import json

import pytest
from PIL import Image

from nasiam_mm.report.page.write import write_comparison, write_page
from tests.test_report.page.browser import DARK, LIGHT, MISSING, Browser, executable
from tests.test_report.page.folders import add_neighbours, make_long, make_search, study

pytestmark = pytest.mark.skipif(executable() is None, reason=MISSING)


@pytest.fixture(scope='module')
def browser(tmp_path_factory):
    browser = Browser(tmp_path_factory.mktemp('profile'))
    yield browser
    browser.close()


@pytest.fixture(scope='module')
def pages(tmp_path_factory):
    """Pages by name, and the number of drawings in each."""
    root = tmp_path_factory.mktemp('pages')
    one, two = make_search(root / 'one'), make_search(root / 'two', knn=40.0, seed=8)
    hostile = 'a_very_long_name_of_a_head_' * 4
    heads = {'ab': 'projector: linear_bn_relu identity; predictor: ' + hostile, hostile: 'depth=2'}
    compared = [
        {'name': name, 'n': 3, 'collapsed': 0, 'mean': mean, 'interval': [mean - 1.0, mean + 1.0],
         'p': 0.012345} for name, mean in (('ab', 0.1), (hostile, -0.1))
    ]  # fmt: skip
    add_neighbours(one)
    (root / 'study').mkdir()
    (root / 'study/verdict.json').write_text(json.dumps(study()))
    (root / 'wide').mkdir()
    told = study(heads=heads, verdict={'compared': compared}, refused=[{'head': hostile, 'why': 3}])
    (root / 'wide/verdict.json').write_text(json.dumps(told))
    write_comparison([one, two], root / 'both.html')
    return {
        'search': write_page(one), 'study': write_page(root / 'study'), 'both': root / 'both.html',
        'wide': write_page(root / 'wide'),
    }  # fmt: skip


DRAWINGS = {'search': 2 + 2 + 6 + 3 + 2 + 1, 'study': 2, 'both': 4 + 1 + 2 + 6, 'wide': 2}
# Texts that lie on a piece of the line of 0, by the letters as the browser has drawn them.
ON_ZERO = """[...document.querySelectorAll('svg')].flatMap(svg => {
  const zero = svg.querySelector('.zero');
  if (!zero) return [];
  const pieces = zero.getAttribute('d').slice(1).split('M').map(p => p.split(/[ v]/).map(Number));
  return [...svg.querySelectorAll('text')].filter(text => {
    const box = text.getBBox();
    return pieces.some(([x, y, length]) => box.x < x && x < box.x + box.width
      && box.y < y + length && y < box.y + box.height);
  }).map(text => text.textContent);
})"""
# Tables and code that are cut: wider than their box, which does not scroll.
CUT = """[...document.querySelectorAll('table, pre')].filter(e => {
  const box = e.tagName === 'PRE' ? e : e.parentElement;
  return box.scrollWidth > box.clientWidth + 1 && getComputedStyle(box).overflowX !== 'auto';
}).length"""
BOXES = '[...document.querySelectorAll("main svg[role=img]")].map(svg => {' \
    'const b = svg.getBoundingClientRect(); return [b.width, b.height]; })'  # fmt: skip
# Of every line of a chart: its length, and whether it can be seen.
STROKES = '[...document.querySelectorAll("figure svg .line, figure svg .level")].map(p => [' \
    'p.getTotalLength(), getComputedStyle(p).stroke])'  # fmt: skip


@pytest.mark.parametrize('scheme', [LIGHT, DARK])
@pytest.mark.parametrize('width', [400, 1600])
@pytest.mark.parametrize('name', DRAWINGS)
def test_loads_and_draws(browser, pages, name, width, scheme):
    browser.open(pages[name], width, scheme)
    assert browser.complaints() == []
    assert {url.split(':')[0] for url in browser.requests()} <= {'file', 'data'}
    assert sum(url.startswith('file') for url in browser.requests()) == 1
    boxes = browser.value(BOXES)
    assert len(boxes) == DRAWINGS[name]
    assert all(wide > 100 and high >= 12 for wide, high in boxes)
    background = browser.value('getComputedStyle(document.body).backgroundColor')
    strokes = browser.value(STROKES)
    assert strokes and all(length > 5 for length, _ in strokes)
    assert background not in {stroke for _, stroke in strokes} | {'none'}
    # Nothing sticks out of a narrow window; what is wide scrolls within itself.
    assert browser.value('document.documentElement.scrollWidth <= innerWidth')
    assert browser.value('document.body.scrollWidth <= innerWidth')
    assert browser.value(CUT) == 0
    assert browser.value(ON_ZERO) == []
    shot = base64.b64decode(browser.call('Page.captureScreenshot', format='png')['data'])
    image = Image.open(io.BytesIO(shot)).convert('L')
    assert image.size == (width, 900) and len(image.getcolors()) > 20
    darkness = image.histogram()
    assert (sum(darkness[:64]) > sum(darkness[192:])) == (scheme == DARK)


def contrast(first, second):
    """Contrast of two colours, 'rgb(r, g, b)' (WCAG 2)."""

    def luminance(color):
        channels = [int(c) / 255 for c in color[4:-1].split(',')]
        linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in channels]
        return sum(w * c for w, c in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    high, low = sorted([luminance(first), luminance(second)], reverse=True)
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize('scheme', [LIGHT, DARK])
def test_texts_and_lines_stand_out(browser, pages, scheme):
    browser.open(pages['search'], 1600, scheme)
    back = browser.value('getComputedStyle(document.body).backgroundColor')
    for _, stroke in browser.value(STROKES):
        assert contrast(stroke, back) >= 3
    of = 'getComputedStyle(document.querySelector({!r})).color'
    for place in ('p', '.note', 'a', '.alarm', '.absent', 'caption', 'dt', 'summary'):
        if browser.value(f'!!document.querySelector({place!r})'):
            assert contrast(browser.value(of.format(place)), back) >= 4.5, place


def test_a_thousand_epochs_open_within_a_second(browser, tmp_path):
    page = write_page(make_long(tmp_path / 'long'))
    timing = 'performance.getEntriesByType("navigation")[0].loadEventEnd'
    times = []
    for _ in range(5):  # other work shares this machine
        browser.open(page)
        times.append(browser.value(timing))
    assert 0 < min(times) < 1000, times


def press(browser, key, code):
    for kind in ('keyDown', 'keyUp'):
        browser.call('Input.dispatchKeyEvent', type=kind, key=key, code=key,
                     windowsVirtualKeyCode=code)  # fmt: skip


def test_by_keyboard(browser, pages):
    browser.open(pages['search'])
    seen = []
    for _ in range(60):
        press(browser, 'Tab', 9)
        seen.append(browser.value('document.activeElement.tagName'))
        if seen[-1] == 'SUMMARY':
            break
    # The way past the contents comes first, then the contents, then what scrolls and opens.
    assert seen[0] == 'A' and seen.count('A') == 11 and seen[-1] == 'SUMMARY'
    assert not browser.value('document.activeElement.parentElement.open')
    browser.call('Input.dispatchKeyEvent', type='keyDown', key='Enter', code='Enter', text='\r',
                 windowsVirtualKeyCode=13)  # fmt: skip
    assert browser.value('document.activeElement.parentElement.open')
    assert browser.value('getComputedStyle(document.activeElement).outlineWidth') == '3px'


def test_to_a_screen_reader(browser, pages):
    browser.open(pages['search'])
    nodes = browser.call('Accessibility.getFullAXTree')['nodes']
    shown = [(n['role']['value'], n.get('name', {}).get('value', '')) for n in nodes
             if not n['ignored'] and 'role' in n]  # fmt: skip
    images = [name for role, name in shown if role in ('image', 'img')]
    assert len(images) == DRAWINGS['search'] + 6 and all(images)
    assert any('kNN top-1, val images (%)' in name and 'from 31 to 34' in name for name in images)
    headings = [name for role, name in shown if role == 'heading']
    assert headings[:3] == ['one on CIFAR10', 'Verdict', 'Genotype']
    assert {'banner', 'navigation', 'main', 'contentinfo'} <= {role for role, _ in shown}


def test_on_paper(browser, pages):
    browser.open(pages['search'], scheme=DARK)
    browser.call('Emulation.setEmulatedMedia', media='print')
    assert browser.value('getComputedStyle(document.body).backgroundColor') == 'rgb(255, 255, 255)'
    assert browser.value('getComputedStyle(document.querySelector("nav")).display') == 'none'
    # What opens on demand is open.
    assert (
        browser.value('document.querySelector("details table").getBoundingClientRect().height') > 0
    )
    printed = browser.call('Page.printToPDF')['data']
    assert base64.b64decode(printed).startswith(b'%PDF')
    browser.call('Emulation.setEmulatedMedia', media='')
