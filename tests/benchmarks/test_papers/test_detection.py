# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Detection as a measure of a table: made for real, on four images.

1. Rows carry the APs of transfer.json, the digest of its config, and both logs.
2. Random weights need no pretraining; a pretrained row shares its run with other tables.
3. A row stands only with the log of its detector; what was interrupted goes on.
"""

import json
import shutil

import pytest
from mmengine.config import Config

import nasiam_mm.detection  # noqa: F401  installs the adapter before mmdet is imported
from benchmarks.papers import execution
from benchmarks.papers.catalogue import find_table
from benchmarks.papers.edits import put
from benchmarks.papers.execution import RunFailed, Workshop
from benchmarks.papers.planning import all_jobs, plan_run, plan_table
from benchmarks.papers.publishing import make_runs, publish
from benchmarks.papers.rows import digest_of, read_row
from benchmarks.papers.spec import Recipe, Row, Table
from tests.benchmarks.test_papers import test_execution
from tests.reduced import MINI, ROOT, reduced
from tests.test_detection.toy_detection import load_tool

BASELINE, DETECTOR = (
    'nasiam/simclr_r18_baseline_cifar10_demo', 'detection/mask-rcnn_r18-fpn_cifar10det_demo',
)  # fmt: skip
SHIPPED = find_table('detection', 'demo')
TABLE = Table(
    SHIPPED.title,
    (
        Row('scratch', Recipe(DETECTOR)),
        Row('standard', Recipe(BASELINE), ('scratch',)),
    ),
    SHIPPED.columns,
    features=False,
    detection=Recipe(DETECTOR),
    notes=SHIPPED.notes,
)
TOOL = 'detection_transfer.py'


def run_here(command, root, console):
    # A visualizer is made once a process, and would log to the first detector's folder.
    from mmdet.visualization import DetLocalVisualizer

    DetLocalVisualizer._instance_dict.clear()
    return test_execution.run_here(command, root, console)


def tiny_detector(data):
    """The demo's detector on a narrow head, one epoch of one batch."""
    cfg = Config.fromfile(ROOT / f'configs/{DETECTOR}.py')
    cfg.merge_from_dict(
        {
            'model.rpn_head.feat_channels': 8,
            'model.roi_head.bbox_head.fc_out_channels': 16,
            'model.roi_head.mask_head.num_convs': 1,
            'model.test_cfg.rcnn.score_thr': 0.0,
            'train_cfg.max_epochs': 1,
            'optim_wrapper.optimizer.lr': 0.001,
            'train_dataloader.dataset.data_root': f'{data}/',
            'val_dataloader.dataset.data_root': f'{data}/',
            'val_evaluator.ann_file': f'{data}/annotations/val.json',
        }
    )
    return cfg


@pytest.fixture(scope='module')
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp('project')
    (folder / 'tools').symlink_to(ROOT / 'tools')
    make_set = load_tool('dataset_converters/make_cifar10_detection')
    settings = make_set.DetectionSet(4, 2, 64, (1, 2), (16, 32))
    make_set.make_detection_set(ROOT / MINI, folder / 'set', settings)
    baseline = reduced(BASELINE, folder)
    baseline.pop('work_dir')
    for name, cfg in ((BASELINE, baseline), (DETECTOR, tiny_detector(folder / 'set'))):
        path = folder / f'configs/{name}.py'
        path.parent.mkdir(parents=True)
        cfg.dump(path)
    return folder


@pytest.fixture(scope='module')
def made(root):
    workshop = Workshop(root, root / 'runs')
    plan = plan_table(TABLE, [3], root)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(execution, '_run', run_here)
        assert make_runs(all_jobs(plan), TABLE, workshop) == []
    return workshop, plan


def row_of(made, name):
    workshop, plan = made
    folder = workshop.of(plan[name][3])
    return folder, read_row(folder, plan[name][3].digest)


def transfer_of(folder):
    (found,) = folder.glob('detection/*/transfer.json')
    return json.loads(found.read_text())


@pytest.mark.parametrize('name', ['scratch', 'standard'])
def test_figures_are_those_of_the_detector(made, name):
    folder, row = row_of(made, name)
    transfer = transfer_of(folder)
    for figure, metric in (('box_ap', 'bbox_mAP'), ('mask_ap75', 'segm_mAP_75')):
        assert row['metrics'][figure] == 100 * transfer['metrics'][f'coco/{metric}']
    assert set(SHIPPED.columns) <= set(row['metrics'])
    assert transfer['seed'] == row['seed'] == 3
    assert row['versions']['onedl-mmdetection'] == transfer['versions']['onedl-mmdetection']
    assert row['wall_seconds']['detection'] > 0
    assert 'detection' in row['process_seconds']
    log = [json.loads(line) for line in (folder / 'detection.jsonl').read_text().splitlines()]
    (evaluated,) = [entry for entry in log if 'coco/bbox_mAP' in entry]
    assert evaluated['coco/bbox_mAP'] == transfer['metrics']['coco/bbox_mAP']


def test_random_weights_need_no_pretraining(made):
    folder, row = row_of(made, 'scratch')
    assert (row['head'], row['checkpoint_sha256']) == ('random-init', None)
    assert row['run'].startswith('mask-rcnn_r18-fpn_cifar10det_demo-random-init-seed3-')
    assert transfer_of(folder)['pretraining'] == 'random init'
    assert not list(folder.rglob('backbone.pth'))
    assert set(row['wall_seconds']) == {'detection'}
    assert (row['log'], row['measure_logs']) == ('detection.jsonl', {})


def test_a_pretrained_row_is_of_its_checkpoint(made):
    folder, row = row_of(made, 'standard')
    sha256 = digest_of(folder / 'train/epoch_1.pth')
    assert transfer_of(folder)['checkpoint_sha256'] == sha256 == row['checkpoint_sha256']
    assert (row['log'], list(row['measure_logs'])) == ('log.jsonl', ['detection.jsonl'])
    assert row['measures'] == {'detection': row_of(made, 'scratch')[1]['measures']['detection']}


def test_the_table_says_that_it_is_not_coco(made, tmp_path):
    workshop, plan = made
    target = tmp_path / 'docs/detection_demo.md'
    publish(TABLE, plan, workshop, [3], 'make it', target, with_evidence=True)
    text = target.read_text()
    assert text.startswith('# Transfer to detection: Mask R-CNN on the CIFAR-10 detection set (NOT')
    assert '**The set is made from CIFAR-10 and is not COCO**' in text
    _, row = row_of(made, 'standard')
    assert f'| standard | 1 | {row["metrics"]["box_ap"]:.2f} |' in text
    assert 'scratch: ' in text
    assert f'[detection](runs/{row["run"]}/detection.jsonl)' in text
    assert read_row(tmp_path / 'docs/runs' / row['run']) == row


@pytest.fixture
def copied(made, root, tmp_path):
    """The finished workshop, to be damaged."""
    workshop, plan = made
    shutil.copytree(workshop.folder, tmp_path / 'runs')
    return Workshop(root, tmp_path / 'runs'), plan


def counted(monkeypatch, run=None):
    """Note which tools are called, with what, and do ``run`` in place of them."""
    calls = []

    def call(command, root, console):
        calls.append(command[1:])
        return run(command) if run else run_here(command, root, console)

    monkeypatch.setattr(execution, '_run', call)
    return calls


@pytest.mark.parametrize('name', ['scratch', 'standard'])
def test_a_row_stands_only_with_the_log_of_its_detector(copied, monkeypatch, name):
    workshop, plan = copied
    job = plan[name][3]
    folder = workshop.of(job)
    row, log = read_row(folder), folder / 'detection.jsonl'
    text = log.read_text()
    for damaged in (None, text + '{}\n'):
        log.unlink() if damaged is None else log.write_text(damaged)
        assert workshop.state(job, TABLE) == 'begun'
        assert read_row(folder) is None
        # The training is there, so its log is collected again and nothing is trained.
        calls = counted(monkeypatch)
        assert workshop.make(job, TABLE) == row
        assert (calls, log.read_text()) == ([], text)
    assert workshop.state(job, TABLE) == 'measured'


def test_what_is_measured_is_not_made_again(copied, monkeypatch, capsys):
    workshop, plan = copied
    monkeypatch.setattr(execution, '_run', None)
    assert make_runs(all_jobs(plan), TABLE, workshop) == []
    assert capsys.readouterr().out.count('measured already') == 2


def test_an_interrupted_detector_leaves_no_row_and_is_resumed(copied, monkeypatch):
    workshop, plan = copied
    job = plan['standard'][3]
    folder = workshop.of(job)
    (folder / 'row.json').unlink()
    (folder / 'detection.json').unlink()
    (transfer,) = folder.glob('detection/*/transfer.json')
    metrics = transfer_of(folder)['metrics']
    transfer.unlink()
    calls = counted(monkeypatch, run=lambda command: -15)
    with pytest.raises(KeyboardInterrupt):
        workshop.make(job, TABLE)
    assert read_row(folder) is None
    ((script, config, checkpoint, *more),) = calls
    assert script.endswith(TOOL)
    assert (config, checkpoint) == (f'{folder}/detection.py', f'{folder}/train/epoch_1.pth')
    assert more == ['--work-dir', str(transfer.parent), '--seed', '3', '--resume']
    # It was stopped after its last epoch: what is left is the evaluation.
    calls = counted(monkeypatch)
    row = workshop.make(job, TABLE)
    assert [call[0].rsplit('/', 1)[-1] for call in calls] == [TOOL]
    assert transfer_of(folder)['metrics'] == metrics
    assert row['metrics']['box_ap'] == 100 * metrics['coco/bbox_mAP']


def test_another_checkpoint_or_detector_is_trained_anew(copied, monkeypatch):
    workshop, plan = copied
    job = plan['standard'][3]
    calls = counted(monkeypatch, run=lambda command: 2)
    longer = Recipe(DETECTOR, (put('train_cfg.max_epochs', 2),))
    other = Table('', TABLE.rows, TABLE.columns, features=False, detection=longer)
    with pytest.raises(RunFailed, match='detection failed'):
        workshop.make(job, other)
    checkpoint = workshop.of(job) / 'train/epoch_1.pth'
    checkpoint.write_bytes(checkpoint.read_bytes() + b'0')
    with pytest.raises(RunFailed, match='detection failed'):
        workshop.make(job, TABLE)
    folders = {call[call.index('--work-dir') + 1] for call in calls}
    old = {str(path.parent) for path in workshop.of(job).glob('detection/*/transfer.json')}
    assert len(folders) == 2
    assert not folders & old


def test_the_demos_detector_has_the_backbone_of_the_demos_pretraining():
    # So that random weights and pretrained ones differ in nothing else.
    detector = plan_run(Recipe(DETECTOR), 0, ROOT).cfg.model.backbone
    for row in SHIPPED.rows[1:]:
        backbone = plan_run(row.recipe, 0, ROOT).cfg.model.backbone
        for name in ('depth', 'base_channels', 'stem_channels'):
            assert detector[name] == backbone[name]
