"""Read the table of heads without nasiam_mm: python read.py [rows.jsonl].

A row is a run; its curves are lists, one figure an epoch. Prints, for each framework and scale, the
heads with the best mean kNN on test images, and what of each head counts.
"""

import json
import statistics
import sys
from collections import defaultdict
from pathlib import Path

DEFAULT = Path(__file__).with_name('rows.jsonl')


def read(path=DEFAULT):
    """Return the rows as dicts."""
    return [json.loads(line) for line in Path(path).read_text(encoding='utf-8').splitlines()]


if __name__ == '__main__':
    tables = defaultdict(lambda: defaultdict(list))
    for row in read(*sys.argv[1:2]):
        tables[row['framework'], row['scale']][row['head']].append(row)
    for (framework, scale), heads in sorted(tables.items()):
        means = {
            h: statistics.mean(row['knn_test'][-1] for row in rows) for h, rows in heads.items()
        }
        print(f'{framework} at {scale}: {len(heads)} heads, {sum(map(len, heads.values()))} runs')
        for head in sorted(means, key=means.get, reverse=True)[:5]:
            told = heads[head][0]['decided']
            print(f'  {means[head]:.2f} % of {len(heads[head])} runs  {head}  {told}')
