"""A table of your own: does the standard head of SimCLR like another temperature?"""

from benchmarks.papers.catalogue import TABLES
from benchmarks.papers.edits import put
from benchmarks.papers.spec import Recipe, Row, Table

BASELINE = 'nasiam/simclr_r18_baseline_cifar10_demo'


@TABLES.register_module(name='own')
def own(scale: str) -> Table:
    """Two temperatures of SimCLR."""
    warmer = Recipe(BASELINE, (put('model.head.temperature', 0.5),))
    rows = (
        Row('as shipped', Recipe(BASELINE)),
        Row('temperature 0.5', warmer, against=('as shipped',)),
    )
    return Table('Temperature of SimCLR', rows, {'knn_val': 'kNN val', 'loss': 'last loss'})
