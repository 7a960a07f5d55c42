# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The page of one run, one study or one genotype."""

from nasiam_mm.report.page.facts import Facts
from nasiam_mm.report.page.frame import frame
from nasiam_mm.report.page.markup import paragraph
from nasiam_mm.report.page.parts.head import alpha, head
from nasiam_mm.report.page.parts.neighbours import neighbours
from nasiam_mm.report.page.parts.setting import commands, environment
from nasiam_mm.report.page.parts.training import collapse, health, loss_and_knn
from nasiam_mm.report.page.parts.verdict import score_cost, verdict


def page_of(facts: Facts) -> str:
    """Return the page; what a folder lacks is left out with a word."""
    parts = [('verdict', 'Verdict', verdict(facts)), ('genotype', 'Genotype', head(facts))]
    if facts.is_search:
        parts += [
            ('alpha', 'Alpha by epoch', alpha(facts)),
            ('health', 'Health of the search', health([facts])),
        ]
    if not facts.study and facts.path.is_dir():
        parts += [
            ('curves', 'Loss and kNN', loss_and_knn([facts])),
            ('collapse', 'Collapse, and measures of the backbone', collapse([facts])),
        ]
    if facts.path.is_dir():
        parts.append(('cost', 'Score against cost', score_cost(facts)))
    if not facts.study and facts.path.is_dir():
        parts.append(('neighbours', 'Neighbours of images', neighbours(facts)))
    parts += [
        ('setting', 'Data and environment', environment(facts)),
        ('commands', 'Commands to repeat it', commands(facts)),
    ]
    if facts.faults:
        told = [paragraph(f'{name}: {why}') for name, why in facts.faults.items()]
        parts.append(('faults', 'Files that could not be read', ''.join(told)))
    return frame(title(facts), subtitle(facts), parts)


def title(facts: Facts) -> str:
    """Name what this is of, and the images."""
    data = facts.dataset
    is_named = not data or data.lower() in facts.name.lower()
    return facts.name if is_named else f'{facts.name} on {data}'


def subtitle(facts: Facts) -> str:
    """Say in a line what this is."""
    if facts.study:
        kind = 'study of heads'
    elif not facts.path.is_dir():
        kind = 'genotype'
    else:
        kind = 'search by gradient' if facts.is_search else 'training'
    told = [facts.framework, kind, facts.dataset]
    if (seed := facts.settings.get('seed', facts.provenance.get('seed'))) is not None:
        told.append(f'seed {seed}')
    if facts.config is not None:
        told.append(facts.config.name)
    return ', '.join(filter(None, told))
