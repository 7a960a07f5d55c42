# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The page of one run says what its files say, exactly; what is missing it names."""

import html
import json
import re
import shutil
from random import Random

import pytest

from benchmarks.mutants import change
from nasiam_mm.architecture.genotype import save_genotype
from nasiam_mm.report.page.facts import read_facts
from nasiam_mm.report.page.parts.setting import commands
from nasiam_mm.report.page.parts.verdict import held_against
from nasiam_mm.report.page.single import page_of
from nasiam_mm.report.page.write import write_at_end, write_page
from tests.test_report.page.folders import (
    OPS,
    SCORES,
    add_neighbours,
    genotype,
    make_long,
    make_search,
    softmax,
    study,
)  # fmt: skip
from tests.test_report.page.reading import Page


@pytest.fixture(scope='module')
def searched(tmp_path_factory):
    folder = make_search(tmp_path_factory.mktemp('runs') / 'photos')
    add_neighbours(folder)
    text = page_of(read_facts(folder))
    return folder, text, Page(text)


def test_figures_are_those_of_the_files(searched):
    _, _, page = searched
    verdict = page.told('verdict')
    assert 'In part a coin toss: 1 of 2 choices are within noise. No verdict yet' in verdict
    # 160 iterations of 0.5 s; the loss falls from 5 by 2; kNN is 30 + epoch.
    for figure in ('epochs 4 of 4', 'kNN top-1 % (val) 34', 'loss 3', 'minutes of iterations 1.33'):
        assert figure.replace(' ', '') in verdict.replace(' ', ''), figure
    assert '--study NAME --trials 0 --candidate' in verdict
    weights = [max(softmax(scores)) for scores in SCORES]
    head = page.told('genotype')
    for n, weight in enumerate(weights):
        lead = weight - sorted(softmax(SCORES[n]))[-2]
        row = f'projector {n} 512 → 512 {("linear_bn_relu", "avg_pool_3_bn")[n]} {weight:.3f} 0.250'
        assert f'{row} {lead:.3f}'.replace(' ', '') in head.replace(' ', '')
    assert head.count('within noise') == 2  # on its card, in its row
    assert 'projector.0.op0.25' in page.told('health').replace(' ', '')
    assert 'seed7' in page.told('setting').replace(' ', '')
    assert f'nasiam search {searched[0]}/simclr_r18_search_cifar10_demo.py --seed 7' in (
        page.told('commands')
    )


def test_alpha_has_the_uniform_line_and_one_winner_a_layer(searched):
    _, text, page = searched
    alpha = text[text.index('<section id="alpha"') :]
    alpha = alpha[: alpha.index('</section>')]
    drawings = re.findall(r'<svg viewBox="0 0 280 170".*?</svg>', alpha)
    assert len(drawings) == 2
    for drawing, scores in zip(drawings, SCORES, strict=True):
        levels = re.findall(r'<path class="level" d="M[\d.]+ ([\d.]+)H', drawing)
        thick = re.findall(r'<path class="line c\d+ d\d thick" d="M([^"]+)"', drawing)
        assert len(levels) == len(thick) == 1 and drawing.count('class="line ') == len(OPS)
        ticks = dict(re.findall(r'y="([\d.]+)" class="end">([\d.]+)<', drawing))
        (y0, low), (y1, high) = next(iter(ticks.items())), list(ticks.items())[-1]
        # The axis begins at 0; 4 is how far a label stands below its line.
        assert float(low) == 0
        unit = (float(y1) - float(y0)) / (float(high) - float(low))

        def height(value, y0=float(y0) - 4, unit=unit):
            return y0 + unit * value

        assert float(levels[0]) == pytest.approx(height(0.25), abs=0.2)
        last = float(thick[0].split()[-1])
        assert last == pytest.approx(height(max(softmax(scores))), abs=0.2)
    assert 'projector 1: avg_pool_3_bn, within noise' in page.told('alpha')


def test_all_is_in_the_page_and_nothing_is_fetched(searched):
    _, text, page = searched
    assert not re.search(r'https?:|//[a-z]|@import|url\(|<script|<iframe|<object|javascript:', text)
    for tag, attributes in page.attributes:
        for name, value in attributes.items():
            if name in ('src', 'href', 'srcset', 'action', 'data', 'poster'):
                assert value.startswith('#') or value.startswith('data:'), (tag, value)
            assert not name.startswith('on')
    images = [a for tag, a in page.attributes if tag == 'img']
    assert len(images) == 6 and all(a['alt'] and a['width'] == '64' for a in images)


def test_contents_headings_and_drawings_have_names(searched):
    _, text, page = searched
    assert len(page.ids) == len(set(page.ids))
    linked = [a['href'][1:] for tag, a in page.attributes if tag == 'a']
    assert set(linked) <= set(page.ids) and len(linked) == 11
    # An image has a description, or is none to a reader.
    for tag, attributes in page.attributes:
        if tag == 'svg':
            assert attributes.get('aria-label') or attributes.get('aria-hidden') == 'true'
    assert text.count('<h1') == 1 and 'lang="en"' in text
    # Every chart has its figures as a table.
    assert text.count('<figure>') == text.count('<summary>figures</summary>')


def test_the_study_that_is_named_finds_the_other_phases(tmp_path, monkeypatch):
    """Beside a run's copy of its config there are none of them."""
    monkeypatch.chdir(tmp_path)
    folder = make_search(tmp_path / 'out/search')
    for copy in folder.glob('*.py'):
        copy.unlink()
    (folder / 'simclr_r18_search_cifar10.py').write_text('')
    command = held_against(read_facts(folder))
    assert 'search nasiam/simclr_r18_search_cifar10.py --study NAME' in command
    (folder / 'simclr_r18_search_cifar10.py').write_text("data = dict(root='my photos')")
    named = read_facts(folder)
    assert "cifar10.py --data 'my photos' --study NAME" in held_against(named)
    assert "cifar10.py --data 'my photos' --genotype" in html.unescape(commands(named))
    (folder / 'simclr_r18_search_cifar10.py').write_text("data = dict(root='data/cifar10')")
    assert '--data' not in held_against(read_facts(folder))
    for phase in ('search', 'pretrain'):
        (tmp_path / f'out/simclr_r18_{phase}_cifar10.py').write_text('')
    command = held_against(read_facts(folder))
    assert 'search out/simclr_r18_search_cifar10.py --study NAME' in command
    # Of one's own images the commands are those without a config.
    assert '--data' not in commands(read_facts(folder))
    (tmp_path / 'out/preset.json').write_text(json.dumps({'asked': {'data': '/my photos'}}))
    told = commands(read_facts(folder))
    assert 'nasiam pretrain --data &#x27;/my photos&#x27; --out out --genotype' in told
    asked = {'data': '/my photos', 'size': 32, 'labels': None, 'skip_unreadable': True}
    (tmp_path / 'out/preset.json').write_text(json.dumps({'asked': asked}))
    own = "nasiam search --data '/my photos' --out out --size 32 --skip-unreadable --study "
    assert held_against(read_facts(folder)) == own + 'checked'
    (folder / 'verdict.json').write_text(json.dumps(study()))
    (folder / 'study.txt').write_text('heads')
    told = html.unescape(commands(read_facts(folder)))
    assert f'{own}heads\n# add the options' in told and 'give another --out' in told
    given = 'nasiam search --data photos --out out --study heads --trials 3 --cfg-options a.b=1'
    (folder / 'verdict.json').write_text(json.dumps({**study(), 'command': given}))
    assert f'{given}\n# this goes on' in commands(read_facts(folder))


ODD = [None, True, -1, 10**400, 1e308, float('nan'), '', '<b>', 'x' * 5000, [], {}, [None, 1]]
HOSTILE = '<script>alert(1)</script><img src=x onerror=alert(2)>"\'&'


def test_text_of_files_is_no_markup(tmp_path):
    folder = make_search(tmp_path / 'a<b>&"quoted"')
    told = genotype(dataset=HOSTILE, config=HOSTILE, versions={HOSTILE: HOSTILE})
    save_genotype(told, folder / 'genotype.json')
    owner = {'decided by': {HOSTILE: HOSTILE, 'seed': HOSTILE, 'train_cfg.max_epochs': HOSTILE}}
    (folder / 'owner.json').write_text(json.dumps(owner))
    kept = {'contributions': {HOSTILE: 0.5}, 'not_removable': [HOSTILE]}
    (folder / 'contributions.json').write_text(json.dumps(kept))
    with (folder / '20260101_000000/vis_data/scalars.json').open('a') as file:
        file.write(json.dumps({f'knn/{HOSTILE}_top1': 3, HOSTILE: 1, 'epoch': 1, 'step': 1}) + '\n')
        file.write(json.dumps({f'measure/{HOSTILE}': 3, 'epoch': 1, 'step': 1}) + '\n17\n[1')
    (folder / 'verdict.json').write_text('{')
    text = page_of(read_facts(folder))
    page = Page(text)
    assert not {'script', 'b'} & {tag for tag, _ in page.attributes}
    assert not [a for tag, a in page.attributes if tag == 'img']
    assert '&lt;script&gt;' in text
    assert 'verdict.json' in page.told('faults')


def test_hostile_study_and_neighbours(tmp_path):
    folder = tmp_path / 'study'
    folder.mkdir()
    compared = {'name': HOSTILE, 'mean': 1.0, 'interval': [0.0, 2.0], 'n': HOSTILE, 'p': None}
    scored = [{'head': HOSTILE, 'source': HOSTILE, 'score': 1.0, 'seconds': 1.0}, 3, {'score': 'x'}]
    told = study(sentence=HOSTILE, verdict={'compared': [compared, 3]}, scored=scored,
                 notes=[HOSTILE], refused=[HOSTILE], budget={HOSTILE: HOSTILE})  # fmt: skip
    (folder / 'verdict.json').write_text(json.dumps(told))
    (folder / 'study.txt').write_text(HOSTILE)
    page = Page(page_of(read_facts(folder)))
    assert not {'script', 'img'} & {tag for tag, _ in page.attributes}
    run = make_search(tmp_path / 'run')
    row = {'label': 'cat', 'png': '"><script>', 'neighbours': []}
    kept = {'epoch': 1, 'bank': 1, 'images': [row]}
    (run / 'neighbours.json').write_text(json.dumps(kept))
    facts = read_facts(run)
    assert not facts.neighbours and 'none of ours' in facts.faults['neighbours.json']
    assert '<script' not in page_of(facts)


def test_a_study_begins_with_its_sentence(tmp_path):
    (tmp_path / 'verdict.json').write_text(json.dumps(study()))
    (tmp_path / 'study.txt').write_text('heads')
    page = Page(page_of(read_facts(tmp_path)))
    assert page.told('verdict').startswith("Verdict use 'ab': +1.50 points")
    assert '[0.5, 2.5]' in page.told('verdict') and 'collapsed' in page.told('verdict')
    assert '--study heads' in page.told('commands')
    cost = page.told('cost').replace(' ', '')
    # Minutes add up in the order the trials ended; what is best so far does not fall.
    for row in ('1random30', '2tpe34.5', '3random31', '2bestsofar34.5', '3bestsofar34.5'):
        assert row in cost, row


@pytest.mark.parametrize(
    'name', ['alpha.json', 'contributions.json', 'owner.json', 'genotype.json']
)
@pytest.mark.parametrize('content', [None, '{', '[]', '3', '{"decided by": 3}'])
def test_what_is_missing_or_broken_is_left_out_with_a_word(tmp_path, name, content):
    folder = make_search(tmp_path / 'run')
    (folder / name).unlink()
    if content is not None:
        (folder / name).write_text(content)
    page = Page(page_of(read_facts(folder)))
    assert 'kNN top-1 % (val)' in page.told('verdict')
    if name == 'alpha.json':
        assert 'No curves of alpha' in page.told('alpha')
    if name == 'genotype.json':
        assert 'No genotype' in page.told('genotype')
    assert 'None were looked up; nasiam report' in page.told('neighbours')


def test_genotype_alone(tmp_path):
    path = tmp_path / 'head.json'
    save_genotype(genotype(), path)
    assert write_page(path) == tmp_path / 'head.html'
    page = Page((tmp_path / 'head.html').read_text())
    assert 'A genotype of 2 choices' in page.told('verdict') and 'curves' not in page.ids


def test_refusals(tmp_path):
    with pytest.raises(FileNotFoundError, match='does not exist; name a work directory'):
        read_facts(tmp_path / 'no')
    with pytest.raises(ValueError, match='holds nothing of a run: no log, genotype or verdict'):
        read_facts(tmp_path)
    (run := tmp_path / 'all/search').mkdir(parents=True)
    (run / 'owner.json').touch()
    with pytest.raises(ValueError, match=f'nothing of a run: .*; name a run in it: {run}$'):
        read_facts(run.parent)
    shutil.rmtree(run.parent)
    line = write_at_end(tmp_path)
    assert line.startswith('no report was written (ValueError') and 'tries again' in line
    assert not list(tmp_path.iterdir())


def test_a_thousand_epochs_stay_below_a_megabyte(tmp_path):
    size = write_page(make_long(tmp_path / 'long')).stat().st_size
    assert 200_000 < size < 1_000_000


@pytest.mark.parametrize('of', ['run', 'study'])
def test_no_malformed_file_ends_it(tmp_path, of):
    base = tmp_path / of
    if of == 'run':
        add_neighbours(make_search(base))
    else:
        base.mkdir()
        (base / 'verdict.json').write_text(json.dumps(study()))
    files = sorted(path for path in base.rglob('*.json') if path.name != 'scalars.json')
    whole = {path: path.read_text() for path in files}
    for seed in range(120):
        draw = Random(seed)
        path = draw.choice(files)
        path.write_text(json.dumps(change(json.loads(whole[path]), draw, ODD)))
        try:
            text = page_of(read_facts(base))
        except ValueError as error:
            assert 'holds nothing of a run' in str(error)
        else:
            assert '<b>' not in text and len(text) < 1_000_000
        path.write_text(whole[path])
