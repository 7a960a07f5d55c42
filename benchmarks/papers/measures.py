# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What is measured of a run: cached features, downstream tasks, linear evaluation, detection."""

import json
import os
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmengine.config import Config

from benchmarks.papers.planning import Job, config_digest, read_recipe
from benchmarks.papers.rows import digest_of, write_log
from benchmarks.papers.spec import Recipe, Table
from benchmarks.tasks.settings import CLASSIFIERS, PROTOCOL
from nasiam_mm.files.atomic import write_json, write_text
from nasiam_mm.runs.record import merge_logs

# Runs a tool: step, script, arguments.
Call = Callable[..., None]
FEATURES, TASKS, LINEAR, DETECTION = 'features', 'tasks', 'linear', 'detection'
_FROZEN = ('frozen_stages', 'norm_eval')
# Figure of a table -> metrics of mmdet that it may be, from 0 to 1.
_APS = {
    'box_ap': ('coco/bbox_mAP', 'pascal_voc/mAP'),
    'box_ap50': ('coco/bbox_mAP_50', 'pascal_voc/AP50'),
    'box_ap75': ('coco/bbox_mAP_75', 'pascal_voc/AP75'),
    'mask_ap': ('coco/segm_mAP',),
    'mask_ap50': ('coco/segm_mAP_50',),
    'mask_ap75': ('coco/segm_mAP_75',),
}


@dataclass(frozen=True)
class Trained:
    """A trained run.

    Attributes:
        job: The run.
        folder: Its folder.
        checkpoint: Its last checkpoint; None for a detector from random weights,
            whose training is its measure.
        sha256: Digest of that file.
    """

    job: Job
    folder: Path
    checkpoint: Path | None
    sha256: str | None

    def read(self, measure: str) -> dict[str, Any] | None:
        """Read a measurement, if it is of this checkpoint and has its log."""
        return read_measurement(self.folder, measure, self.sha256)


def read_measurement(folder: Path, measure: str, sha256: str | None) -> dict[str, Any] | None:
    """Read a measurement, if it is of the checkpoint with this digest and has its log."""
    try:
        found = json.loads((folder / f'{measure}.json').read_text(encoding='utf-8'))
    except (FileNotFoundError, json.JSONDecodeError):
        return None
    if 'log' in found and digest_of(folder / found['log']) != found['log_sha256']:
        return None
    return found if found.get('checkpoint_sha256') == sha256 else None


def missing_measures(table: Table, root: Path, job: Job, measures: Mapping[str, Any]) -> list[str]:
    """Name what a table needs of a run and is not in ``measures``.

    Args:
        table: The table.
        root: Root of the project.
        job: The run.
        measures: Measure -> what it was made with, as :func:`summary` gives it.
    """
    if job.is_search:
        return []
    missing = []
    if table.detection and measures.get(DETECTION) != config_digest(
        detection_config(table, root, job)
    ):
        missing.append(DETECTION)
    if job.is_detector:
        return missing
    if table.features and not set(table.fractions) <= set(measures.get(FEATURES, [])):
        missing.append(FEATURES)
    if table.tasks:
        made = measures.get(TASKS, {})
        is_current = made.get('protocol') == PROTOCOL
        if not is_current or not set(table.tasks) <= set(made['tasks']):
            missing.append(TASKS)
    if table.linear and measures.get(LINEAR) != config_digest(linear_config(table, root, job)):
        missing.append(LINEAR)
    return missing


def summary(measure: str, found: Mapping[str, Any]) -> Any:
    """Return what a measurement was made with: label fractions, or a config's digest."""
    if measure == FEATURES:
        return [row['fraction'] for row in found['few_labels']]
    if measure == TASKS:
        return {'protocol': found['protocol'], 'tasks': sorted(found['tasks'])}
    return found['config_sha256']


def figures(measure: str, found: Mapping[str, Any]) -> dict[str, float]:
    """Take the figures of the tables out of a measurement."""
    if measure == DETECTION:
        metrics = found['metrics']
        named = ((ap, name) for ap, names in _APS.items() for name in names)
        return {ap: 100 * metrics[name] for ap, name in named if name in metrics}
    if measure == LINEAR:
        return {f'linear_{name}': found[f'accuracy/{name}'] for name in ('top1', 'top5')}
    if measure == TASKS:
        return {
            f'{task}/{name}': statistics.fmean(of[name])
            for task, of in found['tasks'].items()
            for name in CLASSIFIERS
        }
    figures = {
        'knn_fixed_test': found['knn_fixed']['test_top1'],
        'knn_test': found['knn']['test_top1'],
        'cached_test': found['linear_cached']['test_top1'],
    }
    if 'test_top5' in found['linear_cached']:
        figures['cached_test_top5'] = found['linear_cached']['test_top5']
    return figures


def measure_features(run: Trained, table: Table, root: Path, call: Call) -> None:
    """Evaluate cached features, on the test images what the validation images selected."""
    earlier = run.read(FEATURES)
    # What another table measured stays measured.
    fractions = {*table.fractions, *(summary(FEATURES, earlier) if earlier else [])}
    out = run.folder / 'features.new.json'
    call(
        FEATURES, 'tools/benchmarks/evaluate_features.py', run.folder / 'config.py',
        run.checkpoint, '--work-dir', run.folder / 'features', '--split', 'test',
        '--fractions', *sorted(fractions), '--out', out,
    )  # fmt: skip
    _finish(out, run, FEATURES)


def measure_tasks(run: Trained, table: Table, root: Path, call: Call) -> None:
    """Classify the frozen features of downstream tasks."""
    earlier = run.read(TASKS) or {}
    # What another table measured stays measured.
    kept = earlier['tasks'] if earlier.get('protocol') == PROTOCOL else {}
    out = run.folder / 'tasks.new.json'
    call(
        TASKS, 'benchmarks/tasks/measure.py', run.folder / 'config.py', run.checkpoint,
        '--work-dir', run.folder / 'tasks', '--tasks', *sorted({*kept, *table.tasks}),
        '--out', out,
    )  # fmt: skip
    _finish(out, run, TASKS)


def measure_linear(run: Trained, table: Table, root: Path, call: Call) -> None:
    """Train a linear classifier by the protocol and test its last epoch."""
    cfg = linear_config(table, root, run.job)
    config, work = run.folder / 'linear.py', run.folder / 'linear'
    write_text(cfg.pretty_text, config)
    last = work / f'epoch_{cfg.train_cfg.max_epochs}.pth'
    if not last.is_file():
        call(
            LINEAR, 'tools/train.py', config, '--work-dir', work, '--checkpoint', run.checkpoint,
            '--resume',
        )  # fmt: skip
    out = run.folder / 'linear.new.json'
    call(LINEAR, 'tools/test.py', config, last, '--work-dir', work, '--out', out)
    _finish(out, run, LINEAR, config_sha256=config_digest(cfg))


def measure_detection(run: Trained, table: Table, root: Path, call: Call) -> None:
    """Train a detector on the backbone, or on random weights, and evaluate its last epoch."""
    job, cfg = run.job, detection_config(table, root, run.job)
    config, digest = run.folder / 'detection.py', config_digest(cfg)
    write_text(cfg.pretty_text, config)
    # Named by backbone and config, so that no other training is gone on with.
    work = run.folder / 'detection' / f'{digest[:10]}-{(run.sha256 or "random")[:10]}'
    if not (work / 'transfer.json').is_file():
        source = '--random-init' if run.checkpoint is None else run.checkpoint
        call(
            DETECTION, 'tools/benchmarks/detection_transfer.py', config, source,
            '--work-dir', work, '--seed', job.seed, '--resume',
        )  # fmt: skip
    found = json.loads((work / 'transfer.json').read_text(encoding='utf-8'))
    log = f'{DETECTION}.jsonl'
    measured = {
        **found,
        'checkpoint_sha256': run.sha256,
        'config': os.path.relpath(table.detection.path(root), root),
        'config_sha256': digest,
        'log': log,
        'log_sha256': write_log(merge_logs(work), run.folder / log),
    }
    write_json(measured, run.folder / f'{DETECTION}.json')


MEASURES = {
    FEATURES: measure_features,
    TASKS: measure_tasks,
    LINEAR: measure_linear,
    DETECTION: measure_detection,
}


def detection_config(table: Table, root: Path, job: Job) -> Config:
    """Return the config of the detector of a run, with its seed."""
    cfg = read_recipe(table.detection, root)
    cfg.randomness = {**cfg.get('randomness', {}), 'seed': job.seed}
    return cfg


def linear_config(table: Table, root: Path, job: Job) -> Config:
    """Return the config of the linear evaluation of a run: its backbone, frozen, and its seed."""
    cfg = read_recipe(Recipe(linear_protocol(table, job)), root)
    kept = {key: cfg.model.backbone[key] for key in _FROZEN if key in cfg.model.backbone}
    cfg.model.backbone = {**job.cfg.model.backbone, **kept}
    cfg.model.head.in_channels = job.cfg.model.neck.in_channels
    cfg.randomness = {**cfg.get('randomness', {}), 'seed': job.seed}
    return cfg


def linear_protocol(table: Table, job: Job) -> str:
    """Name the config of the linear evaluation: the table's, or the one of a transformer.

    That trains at a rate of its own, on a token and not on maps.
    """
    if 'arch' not in job.cfg.model.backbone:
        return table.linear
    folder, _, name = table.linear.rpartition('/')
    backbone = Path(job.recipe.config).name.split('_')[1]
    return '_'.join([f'{folder}/{backbone}', *name.split('_')[1:]])


def _finish(out: Path, run: Trained, measure: str, **more: str) -> None:
    """Give a measurement its name, with what it is of."""
    found = json.loads(out.read_text(encoding='utf-8'))
    write_json({'checkpoint_sha256': run.sha256, **more, **found}, run.folder / f'{measure}.json')
    out.unlink()


def training_metrics(log: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Return the last epoch's mean loss and the last deviation, rank and kNN of a training log."""
    metrics = {}
    if losses := [entry for entry in log if 'loss' in entry]:
        epoch = losses[-1].get('epoch')
        values = [entry['loss'] for entry in losses if entry.get('epoch') == epoch]
        metrics['loss'] = sum(values) / len(values)
    names = dict(std='collapse/std', effective_rank='collapse/effective_rank')
    for metric, name in {**names, 'knn_val': 'knn/val_top1'}.items():
        if values := [entry[name] for entry in log if name in entry]:
            metrics[metric] = values[-1]
    return metrics
