# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The tables and figures of the NASiam paper, and of heads against chance."""

from benchmarks.papers.catalogue import TABLES
from benchmarks.papers.edits import Edit, batch_size, epochs, resnet50, space
from benchmarks.papers.spec import Head, Recipe, Row, Table
from benchmarks.papers.titles import FRAMEWORKS

DEMO_NOTE = (
    'Demo scale: ResNet-18 of base width 16, 10,000 images of CIFAR-10, 5 epochs. Figures compare '
    'within this table only.'
)
_DEMO_SEARCHES = (
    'Demo scale: ResNets of base width 16, 10,000 images of CIFAR-10, 6 epochs. What so short a '
    'search chooses is no finding about the frameworks.'
)
CIFAR10_LINEAR = 'benchmarks/linear/r18_cifar10_linear'
CIFAR100_LINEAR = 'benchmarks/linear/r18_cifar100_linear'
IMAGENET_LINEAR = 'benchmarks/linear/r50_imagenet_linear'
RANDOM_DRAWS = (1, 2, 3, 4, 5)
# What the authors published for a framework, and what they searched it for.
_PUBLISHED = {
    'simclr': ('genotypes/published/simclr_r50_cifar10.json', 'published (for ResNet-50)'),
    'simsiam': ('genotypes/published/simsiam_r18_cifar10.json', 'published'),
    'mocov2': ('genotypes/published/mocov2_r18_cifar10.json', 'published'),
}


def columns(scale: str, curves: bool = False) -> dict[str, str]:
    """Return the usual columns: kNN at demo scale, the linear protocol at paper scale."""
    knn = {'knn_fixed_test': 'kNN top-1 (k 200, T 0.1)', 'knn_test': 'kNN top-1 (k, T by val)'}
    cached = {'cached_test': 'linear top-1 (cached)'}
    last = {'loss': 'last loss', 'std': 'std of z'} if curves else {'loss': 'last loss'}
    if scale == 'demo':
        return {**knn, **cached, **last}
    linear = {'linear_top1': 'linear top-1', 'linear_top5': 'linear top-5'}
    return {**linear, **knn, **cached, **last}


def cifar10(stem: str, kind: str, scale: str) -> str:
    """Name the shipped R18 config of a framework: search, pretrain or baseline."""
    return f'nasiam/{stem}_r18_{kind}_cifar10' + ('_demo' if scale == 'demo' else '')


def linear_of(scale: str, config: str = CIFAR10_LINEAR) -> str:
    """Name the linear evaluation of a scale; the demo has the cached features alone."""
    return config if scale == 'paper' else ''


def notes(scale: str, *more: str) -> tuple[str, ...]:
    """Return the notes of a table."""
    return (*((DEMO_NOTE,) if scale == 'demo' else ()), *more)


@TABLES.register_module(name='heads')
def heads(scale: str) -> Table:
    """Searched heads against the standard, random genotypes and the published one."""
    rows: list[Row] = []
    for stem in ('simclr', 'simsiam') if scale == 'demo' else FRAMEWORKS:
        name = FRAMEWORKS[stem]
        search = Recipe(cifar10(stem, 'search', scale))

        def pretrain(head: Head, stem: str = stem) -> Recipe:
            return Recipe(cifar10(stem, 'pretrain', scale), head=head)

        standard, chance = f'{name} standard', f'{name} random, mean of {len(RANDOM_DRAWS)}'
        draws = {f'{name} random {n}': Head('random', search, draw=n) for n in RANDOM_DRAWS}
        rows.append(Row(standard, Recipe(cifar10(stem, 'baseline', scale))))
        rows += [Row(row, pretrain(head), (standard,)) for row, head in draws.items()]
        rows.append(Row(chance, against=(standard,), members=tuple(draws)))
        searched = pretrain(Head('searched', search))
        # What a search must beat to be worth its cost is chance in the same space.
        rows.append(Row(f'{name} searched', searched, (standard, chance)))
        if stem in _PUBLISHED:
            file, label = _PUBLISHED[stem]
            head = Head('published', file=file)
            rows.append(Row(f'{name} {label}', pretrain(head), (standard, chance)))
    return Table(
        'Heads: standard, random, searched, published',
        tuple(rows),
        columns(scale),
        linear=linear_of(scale),
        notes=notes(
            scale,
            'A searched head comes from a search with the seed of its run; a random genotype is '
            'the same for all seeds, drawn uniformly from the space of the search.',
        ),
    )


@TABLES.register_module(name='t1')
def space_ablation(scale: str, curves: bool = False) -> Table:
    """Space S against S', without the pools (NASiam, table 1 and figure 2)."""
    shorter = scale == 'paper'
    pretrain = cifar10('simsiam', 'pretrain', scale)

    def recipe(*edits: Edit) -> Recipe:
        search = Recipe(
            cifar10('simsiam', 'search', scale), (*edits, *([epochs(50)] if shorter else []))
        )
        return Recipe(pretrain, (epochs(100),) if shorter else (), Head('searched', search))

    standard = Recipe(cifar10('simsiam', 'baseline', scale), (epochs(100),) if shorter else ())
    return Table(
        "NASiam on SimSiam, space S against S' (without the pools)",
        (
            Row('S', recipe(), paper='66.6 / 91.3'),
            Row("S'", recipe(space(['linear_bn_relu', 'identity'])), ('S',), '63.7 / 86.1'),
            Row('standard head', standard, ('S',)),
        ),
        columns(scale, curves),
        'paper, linear top-1 / top-5 (table 1)',
        linear=linear_of(scale),
        curves=curves,
        notes=notes(scale),
    )


@TABLES.register_module(name='fig2')
def fig2(scale: str) -> Table:
    """Table 1 with the losses over the epochs (NASiam, figure 2)."""
    return space_ablation(scale, curves=True)


def cifar_comparison(scale: str, dataset: int) -> Table:
    """Three frameworks with their own and with a searched head (NASiam, tables 2 and 3)."""
    paper = {
        10: {'mocov2': ('89.8', '90.4'), 'simclr': ('91.1', '91.8'), 'simsiam': ('89.5', '91.0')},
        100: {'mocov2': ('62.9', '64.3'), 'simclr': ('63.6', '68.2'), 'simsiam': ('63.7', '64.1')},
    }[dataset]
    suffix = '_demo' if scale == 'demo' else ''
    # Batch 256, 50 epochs of search, 800 of pretraining: the shipped recipes otherwise.
    short = (batch_size(256), epochs(50)) if scale == 'paper' else ()
    long = (batch_size(256),) if scale == 'paper' else ()
    rows: list[Row] = []
    for stem, (theirs, nasiam) in paper.items():
        name = FRAMEWORKS[stem]
        config = f'nasiam/{stem}_r18_{{}}_cifar{dataset}{suffix}'
        head = Head('searched', Recipe(config.format('search'), short))
        rows.append(Row(name, Recipe(config.format('baseline'), long), paper=theirs))
        recipe = Recipe(config.format('pretrain'), long, head)
        rows.append(Row(f'NASiam ({name})', recipe, (name,), nasiam))
    number = 2 if dataset == 10 else 3
    return Table(
        f'CIFAR-{dataset}, ResNet-18',
        tuple(rows),
        columns(scale),
        f'paper, linear top-1 (table {number})',
        linear=linear_of(scale, CIFAR10_LINEAR if dataset == 10 else CIFAR100_LINEAR),
        notes=notes(scale),
    )


@TABLES.register_module(name='t2')
def t2(scale: str) -> Table:
    """NASiam, table 2."""
    return cifar_comparison(scale, 10)


@TABLES.register_module(name='t3')
def t3(scale: str) -> Table:
    """NASiam, table 3."""
    only_at_paper_scale('t3', scale, 'there is no small CIFAR-100')
    return cifar_comparison(scale, 100)


@TABLES.register_module(name='t4')
def t4(scale: str) -> Table:
    """NASiam, table 4: ImageNet, ResNet-50, heads searched on CIFAR-100."""
    only_at_paper_scale('t4', scale, 'there is no small ImageNet')
    rows: list[Row] = []
    for stem, theirs, nasiam in (
        ('mocov2', '67.4', ''),
        ('byol', '66.5', ''),
        ('simclr', '66.5', '67.2'),
        ('simsiam', '67.1', '67.4'),
    ):
        name = FRAMEWORKS[stem]
        rows.append(Row(name, Recipe(f'nasiam/{stem}_r50_baseline_imagenet'), paper=theirs))
        if nasiam:
            head = Head('searched', Recipe(f'nasiam/{stem}_r50_search_cifar100'))
            recipe = Recipe(f'nasiam/{stem}_r50_pretrain_imagenet', head=head)
            rows.append(Row(f'NASiam ({name})', recipe, (name,), nasiam))
    return Table(
        'ImageNet, ResNet-50, 100 epochs',
        tuple(rows),
        {'linear_top1': 'linear top-1', 'linear_top5': 'linear top-5', 'loss': 'last loss'},
        'paper, linear top-1 (table 4)',
        linear=IMAGENET_LINEAR,
        features=False,
        notes=(
            'Batch 256 for MoCo v2 and SimSiam, 4096 for BYOL and SimCLR, as in the paper; here in '
            'one process, whose BatchNorm sees all of it, and MoCo has no others to shuffle over.',
        ),
    )


@TABLES.register_module(name='fig3')
def fig3(scale: str) -> Table:
    """Loss of SimSiam and of NASiam over pretraining (NASiam, figure 3)."""
    table = cifar_comparison(scale, 10)
    return Table(
        'Loss of SimSiam and NASiam over pretraining',
        tuple(row for row in table.rows if 'SimSiam' in row.name),
        columns(scale, curves=True),
        'paper, linear top-1 (table 2)',
        linear=table.linear,
        curves=True,
        notes=table.notes,
    )


@TABLES.register_module(name='fig4')
def fig4(scale: str) -> Table:
    """Genotypes that searches find (NASiam, figure 4 and section 4.5)."""
    # The searches of table 2, and that of a deeper backbone.
    t2 = {row.name: row.recipe for row in cifar_comparison(scale, 10).rows if row.recipe.head}
    searches = {
        name: t2[f'NASiam ({name})'].head.search for name in ('SimSiam', 'SimCLR', 'MoCo v2')
    }
    if scale == 'paper':
        deeper = Recipe('nasiam/simsiam_r50_search_cifar100', (epochs(50),))
    else:
        deeper = Recipe(cifar10('simsiam', 'search', scale), (resnet50(),))
    dataset = 'CIFAR-100' if scale == 'paper' else 'CIFAR-10'
    paper = {
        'SimSiam': 'encoder: 6 linear_bn_relu; predictor: 2 avg_pool_3_bn between 2 linear_bn_relu',
        'deeper': 'encoder: 1 linear_bn_relu; predictor: as SimSiam, and 1 avg_pool_3_bn',
    }
    rows = [
        Row(f'{name}, ResNet-18, CIFAR-10', search, paper=paper.get(name, ''))
        for name, search in searches.items()
    ]
    rows.insert(1, Row(f'SimSiam, ResNet-50, {dataset}', deeper, paper=paper['deeper']))
    return Table(
        'Genotypes by framework, backbone and seed',
        tuple(rows),
        {'loss': 'last loss'},
        'paper (section 4.5)',
        features=False,
        genotypes=True,
        notes=(
            *((_DEMO_SEARCHES,) if scale == 'demo' else ()),
            "The paper's ResNet-50 is searched on CIFAR-100; it shows one genotype a search, and "
            'names no seed.',
        ),
    )


@TABLES.register_module(name='fig5')
def fig5(scale: str) -> Table:
    """ResNet-50 with a head searched for ResNet-18 (NASiam, figure 5)."""
    search, pretrain = (cifar10('simsiam', kind, scale) for kind in ('search', 'pretrain'))
    small, large = Recipe(search), Recipe(search, (resnet50(),))
    published = 'genotypes/published/simsiam_r{}_cifar10.json'
    sources = {
        'searched for ResNet-50': Head('searched', large),
        'searched for ResNet-18': Head('searched', small),
        'published for ResNet-50': Head('published', file=published.format(50)),
        'published for ResNet-18': Head('published', file=published.format(18)),
    }
    first = next(iter(sources))
    return Table(
        'ResNet-50 on CIFAR-10 with heads searched for another backbone',
        tuple(
            Row(name, Recipe(pretrain, (resnet50(),), head), () if name == first else (first,))
            for name, head in sources.items()
        ),
        columns(scale, curves=True),
        linear=linear_of(scale),
        curves=True,
        notes=notes(scale, "The paper shows the loss of ResNet-18's head at -1 from epoch 3 on."),
    )


def only_at_paper_scale(name: str, scale: str, why: str) -> None:
    """Refuse another scale than the paper's, with a ValueError."""
    if scale != 'paper':
        raise ValueError(f'{name} has no demo scale: {why}; give --scale paper')
