# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Write docs/zoo.md: the recipes of model-index.yml, and the genotypes that exist.

python docs/site/zoo.py
"""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from nasiam_mm.architecture.genotype import Genotype
from nasiam_mm.architecture.reading import load_genotype

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / 'docs/zoo.md'
_HEAD = """# Zoo

Recipes and heads that exist. This page is written by `python docs/site/zoo.py`, from
[model-index.yml](../model-index.yml) with its metafiles and from the genotype files; nothing here
is typed. Weights are not published: a recipe is trained with your images, and what was measured
with some of them is in [evaluation.md](evaluation.md) and [results](results/README.md).

## Recipes

A batch is that of all processes together.
"""
_GENOTYPES = """
## Genotypes

`nasiam train RECIPE --genotype FILE` pretrains with one; the file format is in
[genotypes/README.md](../genotypes/README.md). Heads are written input first: `relu`, `silu`, `elu`,
`hardswish` are a linear map with BatchNorm and that activation, `max` and `avg` pooling over three
channels with BatchNorm. A head that several files hold is listed once, with their number. Those of
the table of heads stand in its rows: [results/heads](results/heads/README.md).
"""


def metafiles() -> list[dict[str, Any]]:
    """Return what the metafiles of model-index.yml hold."""
    index = yaml.safe_load((ROOT / 'model-index.yml').read_text(encoding='utf-8'))
    return [yaml.safe_load((ROOT / path).read_text(encoding='utf-8')) for path in index['Import']]


def recipe_tables() -> Iterator[str]:
    """Yield a heading and a table for each collection."""
    for meta in metafiles():
        for collection in meta['Collections']:
            name, page = collection['Name'], collection['README'].removeprefix('docs/')
            told = f'[{page}]({page})'
            if paper := collection.get('Paper'):
                told = f'[{paper["Title"]}]({paper["URL"]}); {told}'
            yield f'\n### {name}\n\n{told}\n\n'
            rows = [_recipe(model) for model in meta['Models'] if model['In Collection'] == name]
            yield table(('recipe', 'backbone', 'data', 'length', 'batch'), rows)


def _recipe(model: dict[str, Any]) -> tuple[str, ...]:
    about, path = model['Metadata'], model['Config']
    unit = 'Epochs' if 'Epochs' in about else 'Iterations'
    return (
        f'[{path.removeprefix("configs/")}](../{path})',
        about['Architecture'][0],
        about['Training Data'],
        f'{about[unit]} {unit.lower()}',
        str(about['Batch Size']),
    )


def found_genotypes() -> dict[Path, tuple[Genotype, int]]:
    """Return the distinct genotypes of the repository by their first file, and their numbers.

    Published ones come first, then those that a search left, then those that were trained.
    """
    paths = [*(ROOT / 'genotypes').rglob('*.json'), *(ROOT / 'docs').rglob('*genotype.json')]
    first: dict[tuple, Path] = {}
    found: dict[Path, tuple[Genotype, int]] = {}
    for path in sorted(paths, key=_order):
        genotype = load_genotype(path)
        chosen = tuple((name, decision.chosen) for name, decision in genotype.decisions.items())
        path = first.setdefault((genotype.framework, chosen), path)
        known, count = found.get(path, (genotype, 0))
        found[path] = (known, count + 1)
    return found


def _order(path: Path) -> tuple[bool, bool, str]:
    where = path.relative_to(ROOT).as_posix()
    return (not where.startswith('genotypes/'), '_search_' not in where, where)


def _genotype(path: Path, genotype: Genotype, count: int) -> tuple[str, ...]:
    where = path.relative_to(ROOT).as_posix()
    link = where.removeprefix('docs/') if where.startswith('docs/') else f'../{where}'
    name = where.removesuffix('.json').removesuffix('/genotype').replace('/runs/', '/')
    name = name.removeprefix('docs/results/').removeprefix('genotypes/')
    files = f' ({count} files)' if count > 1 else ''
    return (f'[{name}]({link}){files}', genotype.framework, told_head(genotype), origin(genotype))


def told_head(genotype: Genotype) -> str:
    """Return what was decided, in a cell of a table."""
    parts = []
    for head in genotype.heads:
        layers = ['+'.join(_short(op) for op in layer.chosen) for layer in genotype.of(head)]
        settings = [f'{name} {_short(value)}' for name, value in genotype.settings(head).items()]
        parts.append(f'{head}: {", ".join([" ".join(layers), *settings])}')
    parts += [f'{name} {value}' for name, value in genotype.settings().items()]
    return '; '.join(parts)


def _short(option: Any) -> str:
    ends = {'max_pool_3_bn': 'max', 'avg_pool_3_bn': 'avg'}
    return ends.get(option, str(option).removeprefix('linear_bn_'))


def origin(genotype: Genotype) -> str:
    """Return where a genotype comes from, by its provenance."""
    known = genotype.provenance
    if source := known.get('imported_from'):
        return f'published: {source}'
    if known.get('selection') == 'random' or 'drawn' in known:
        return f'drawn at random, seed {known["seed"]}'
    if 'dataset' not in known:
        return 'unknown'
    told = f'searched on {known["dataset"]}, seed {known["seed"]}'
    if 'epoch' in known:
        told += f', epoch {known["epoch"]} of {known["max_epochs"]}'
    if version := known.get('versions', {}).get('nasiam_mm'):
        told += f', version {version}'
    if 'undecided' in known:
        told += f'; within noise: {len(known["undecided"])} of {len(genotype.decisions)} choices'
    return told


def table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table in Markdown."""
    lines = [head, ('---',) * len(head), *rows]
    return ''.join(f'| {" | ".join(line)} |\n' for line in lines)


def render() -> str:
    """Return the text of the page."""
    rows = [_genotype(path, *found) for path, found in found_genotypes().items()]
    heads = table(('file', 'framework', 'head', 'provenance'), rows)
    return f'{_HEAD}{"".join(recipe_tables())}{_GENOTYPES}\n{heads}'


if __name__ == '__main__':
    PAGE.write_text(render(), encoding='utf-8')
