# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Plays ``nasiam train``: a head's score is a sum over its options, with the noise of its seed.

It starts in hundredths of a second, as it needs nothing but Python. On SIGTERM it notes how far it
is and ends with 143; started again it goes on from there. ``epochs.log`` of the work directory has
a line for each epoch that it trained.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

EFFECTS = {
    'projector.depth': {1: -3.0, 2: 0.0, 3: 2.0, 4: -1.0},
    'projector.hidden_norm': {'none': -1.0, 'bn': 0.0, 'ln': 1.0},
    'temperature': {0.1: 1.5, 0.2: 0.0, 0.5: -4.0},
}
STANDARD = 40.0  # the score of the standard head, but for noise
MEASURES = ('linear', 'rankme', 'lidar', 'alpha_req', 'alignment', 'uniformity', 'contrast')
NOISE = 0.3
IMAGES = 400


def true_score(options: dict) -> float:
    """Score of a head over many seeds."""
    return STANDARD + sum(EFFECTS.get(name, {}).get(o, 0.0) for name, o in options.items())


def main() -> None:
    config = Path(sys.argv[1])
    cfg: dict = {}
    exec(config.read_text(), cfg)
    work = Path(sys.argv[sys.argv.index('--work-dir') + 1])
    epochs, seed = cfg['train_cfg']['max_epochs'], cfg['randomness']['seed']
    options = {}
    if file := cfg['model'].get('genotype'):
        decisions = json.loads(Path(file).read_text())['decisions']
        options = {name: row['chosen'][0] for name, row in decisions.items()}
    score = true_score(options) + random.Random(seed).gauss(0, NOISE)
    score += random.Random(f'{sorted(options.items())} {seed}').gauss(0, NOISE / 3)
    # A head of this depth ends with the highest score of all, and has collapsed.
    collapsed = os.environ.get('COLLAPSES') == str(options.get('projector.depth'))
    fails = os.environ.get('FAILS') == str(options.get('projector.depth'))
    if collapsed:
        score += 20
    work.mkdir(parents=True, exist_ok=True)
    state = work / 'done'
    done = int(state.read_text()) if state.is_file() else 0
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    logs = work / f'{done}/vis_data/scalars.json'
    logs.parent.mkdir(parents=True, exist_ok=True)
    for epoch in range(done + 1, epochs + 1):
        time.sleep(float(os.environ.get('EPOCH_SECONDS', 0)))
        if fails:
            print('error: the loss is nan')
            sys.exit(2)
        share = 0.5 + 0.5 * epoch / epochs
        with logs.open('a') as log:
            at = {'epoch': epoch, 'step': epoch}
            rows = [{'knn/val_top1': share * score, **at}]
            rows += [{f'measure/{name}': share * score, **at} for name in MEASURES]
            std, rank = (0.01, 1.5) if collapsed else (0.9, 40.0)
            rows.append({'collapse/std': std, 'collapse/effective_rank': rank, **at})
            log.writelines(json.dumps(row) + '\n' for row in rows)
        with (work / 'epochs.log').open('a') as log:
            log.write(f'{epoch}\n')
        state.write_text(str(epoch))
    if cfg['probe'].get('final'):
        right = round(score / 100 * IMAGES)
        bits = ''.join('1' if n < right else '0' for n in range(IMAGES))
        found = dict(top1=100 * right / IMAGES, images=IMAGES, k=5, temperature=0.1, epoch=epochs)
        found['correct'] = int(bits, 2).to_bytes(IMAGES // 8, 'big').hex()
        (work / 'final.json').write_text(json.dumps(found))


if __name__ == '__main__':
    main()
