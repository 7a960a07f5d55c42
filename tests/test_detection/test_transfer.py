# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The chain from a pretraining checkpoint to a row of figures, and its refusals.

1. On four images it exports, verifies, trains, evaluates and writes a row that can be checked.
2. The detector that mmdet builds from the written config holds the checkpoint's weights.
3. C4 detectors take stage 4 over into their shared head.
4. Whatever does not fit is one line, and no file is written.
"""

import hashlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from mmdet.registry import MODELS
from mmdet.visualization import DetLocalVisualizer
from mmengine.config import Config

from benchmarks.compare import compare_checkpoints
from nasiam_mm.detection import report, transfer
from nasiam_mm.export import read_pretrained
from nasiam_mm.runs.work_dir import release
from tests.test_detection.toy_detection import ROOT, load_tool, write_checkpoint

DEMO = ROOT / 'configs' / 'detection' / 'mask-rcnn_r18-fpn_cifar10det_demo.py'
# One epoch of one iteration, on narrow heads.
TINY = [
    'model.rpn_head.feat_channels=8',
    'model.roi_head.bbox_head.fc_out_channels=16',
    'model.roi_head.mask_head.num_convs=1',
    'train_cfg.max_epochs=1',
    'optim_wrapper.optimizer.lr=0.001',
    'model.test_cfg.rcnn.score_thr=0.0',
    'val_dataloader.dataset.pipeline.1.scale=(64,64)',
]


@pytest.fixture
def tool():
    return load_tool('benchmarks/detection_transfer')


@pytest.fixture
def arguments(cifar_checkpoint: Path, tiny_set: Path, tmp_path: Path) -> Callable[..., list[str]]:
    """Build a command line, with parts of it replaced."""

    def build(*more: str, config: Path = DEMO, checkpoint: Path = cifar_checkpoint) -> list[str]:
        return [
            *(str(config), str(checkpoint)),
            *('--data-root', str(tiny_set), '--work-dir', str(tmp_path / 'work')),
            *more,
            *('--cfg-options', *TINY),
        ]

    return build


@pytest.fixture
def source(cifar_checkpoint):
    return read_pretrained(cifar_checkpoint)


def r50_source(tmp_path: Path, **backbone):
    return read_pretrained(
        write_checkpoint(tmp_path / 'r50.pth', **{'type': 'ResNet', 'depth': 50, **backbone})
    )


def test_whole_chain(tool, arguments, source, tmp_path, capsys):
    tool.main(arguments())
    work_dir = tmp_path / 'work'
    row = json.loads((work_dir / 'transfer.json').read_text())
    config = work_dir / DEMO.name
    assert row['config_sha256'] == hashlib.sha256(config.read_bytes()).hexdigest()
    assert row['checkpoint_sha256'] == hashlib.sha256(source.path.read_bytes()).hexdigest()
    assert row['pretraining'] == 'pretrained.pth'
    assert row['mmcv_ops'] == 'torchvision adapter'
    assert row['versions']['torch'] == torch.__version__.split('+')[0]
    assert {'coco/bbox_mAP', 'coco/segm_mAP'} <= set(row['metrics'])
    assert all(-1 <= value <= 1 for value in row['metrics'].values())
    output = capsys.readouterr().out
    assert '120 of 120 backbone keys in the detector, outputs equal' in output
    assert 'NOT COCO' in output
    assert 'is not COCO: its figures compare only' in output

    cfg = Config.fromfile(config)
    assert cfg.model.backbone.init_cfg.checkpoint == str(work_dir / 'backbone.pth')
    assert cfg.model.backbone.base_channels == 4
    assert cfg.model.neck.in_channels == [16, 32]
    detector = MODELS.build({**cfg.model, '_scope_': 'mmdet'})
    detector.init_weights()
    assert detector.backbone.state_dict().keys() == source.state_dict.keys()
    for name, value in detector.backbone.state_dict().items():
        assert torch.equal(value, source.state_dict[name])
    # One iteration has trained: every weight of the backbone has moved.
    trained = torch.load(work_dir / 'epoch_1.pth', weights_only=False)['state_dict']
    moved = [
        not torch.equal(trained[f'backbone.{name}'], value)
        for name, value in source.state_dict.items()
        if name.endswith('weight')
    ]
    assert all(moved)


@pytest.mark.parametrize('config', [DEMO, DEMO.with_name('mask-rcnn_r50-fpn_ms-1x_coco.py')])
def test_a_transformer_is_refused_in_a_line(tool, arguments, config, tmp_path, no_change):
    arch = dict(embed_dims=12, num_layers=1, num_heads=2, feedforward_channels=12)
    vit = dict(type='MoCoV3ViT', arch=arch, img_size=16, patch_size=8)
    checkpoint = write_checkpoint(tmp_path / 'vit.pth', **vit)
    unchanged = no_change(tmp_path)
    with pytest.raises(
        ValueError, match='holds a MoCoV3ViT; .* mmdet has no pyramid of tok'
    ) as told:
        tool.main(arguments(config=config, checkpoint=checkpoint)[:2])
    assert '\n' not in str(told.value) and len(str(told.value)) <= 500
    unchanged()


def test_random_init_uses_no_pretrained_weight(tool, arguments, source, tmp_path):
    tool.main(arguments('--random-init', '--seed', '3'))
    work_dir = tmp_path / 'work'
    row = json.loads((work_dir / 'transfer.json').read_text())
    assert row['pretraining'] == 'random init'
    assert row['seed'] == 3
    assert not (work_dir / 'backbone.pth').exists()
    cfg = Config.fromfile(work_dir / DEMO.name)
    assert 'init_cfg' not in cfg.model.backbone
    assert cfg.model.backbone.base_channels == 4
    assert cfg.randomness.seed == 3


def test_random_init_needs_no_checkpoint(tool, tiny_set, tmp_path, capsys):
    command = [
        *(str(DEMO), '--random-init', '--data-root', str(tiny_set)),
        *('--work-dir', str(tmp_path / 'work'), '--cfg-options', *TINY),
        'model.backbone.base_channels=4',
        'model.backbone.stem_channels=4',
        'model.neck.in_channels=[16,32]',
    ]
    tool.main(command)
    row = json.loads((tmp_path / 'work/transfer.json').read_text())
    assert (row['pretraining'], row['checkpoint_sha256']) == ('random init', None)
    assert {'coco/bbox_mAP', 'coco/segm_mAP'} <= set(row['metrics'])
    # Stopped before its row was written, it is evaluated again and nothing is trained.
    (tmp_path / 'work/transfer.json').unlink()
    trained = (tmp_path / 'work/epoch_1.pth').read_bytes()
    tool.main([*command[:2], '--resume', *command[2:]])
    again = json.loads((tmp_path / 'work/transfer.json').read_text())
    assert again['metrics'] == row['metrics']
    assert (tmp_path / 'work/epoch_1.pth').read_bytes() == trained


def test_a_run_that_was_stopped_ends_as_one_left_alone(tool, arguments, tmp_path, monkeypatch):
    def command(folder, *more):
        words = ['--random-init', '--resume', '--work-dir', str(tmp_path / folder), *more]
        return [*arguments(*words), 'train_cfg.max_epochs=2', 'train_dataloader.batch_size=1']

    tool.main(command('whole'))
    finish = transfer.FiniteLossHook.after_train_iter

    def stop(hook, runner, *args, **kwargs):
        finish(hook, runner, *args, **kwargs)
        if runner.iter == 5:
            os.kill(os.getpid(), signal.SIGTERM)

    DetLocalVisualizer._instance_dict.clear()  # would log to the first folder
    monkeypatch.setattr(transfer.FiniteLossHook, 'after_train_iter', stop)
    with pytest.raises(SystemExit) as end:
        tool.main(command('torn'))
    assert end.value.code == 143
    torn = tmp_path / 'torn'
    assert (torn / 'interrupted.pth').is_file() and not (torn / 'transfer.json').exists()
    monkeypatch.undo()
    DetLocalVisualizer._instance_dict.clear()
    tool.main(command('torn'))
    assert compare_checkpoints(tmp_path / 'whole/epoch_2.pth', torn / 'epoch_2.pth') == []
    whole, resumed = (
        json.loads((tmp_path / name / 'transfer.json').read_text()) for name in ('whole', 'torn')
    )
    assert resumed['metrics'] == whole['metrics']
    assert not (torn / 'interrupted.pth').exists()


HOLD = """
import fcntl, os, sys
handle = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT)
fcntl.lockf(handle, fcntl.LOCK_EX)
print('held', flush=True)
sys.stdin.read()
"""


def test_a_folder_of_a_run_is_left_as_it_is(tool, arguments, tmp_path, no_change):
    work_dir = tmp_path / 'work'
    work_dir.mkdir()
    lock = work_dir / 'owner.lock'
    holder = subprocess.Popen(
        [sys.executable, '-c', HOLD, str(lock)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    try:
        assert holder.stdout.readline() == 'held\n'
        unchanged = no_change(tmp_path)
        with pytest.raises(ValueError, match='a run is going on in'):
            tool.main(arguments())
        unchanged()
    finally:
        holder.communicate()
    tool.main(arguments())
    kept = [work_dir / name for name in (DEMO.name, 'backbone.pth', 'owner.json', 'transfer.json')]
    before = [path.stat().st_mtime_ns for path in kept]
    for more, told in (([], 'holds this run already'), (['--seed', '5'], 'seed is 0 there and 5')):
        with pytest.raises(ValueError, match=told):
            tool.main(arguments(*more))
        release(work_dir)
        assert [path.stat().st_mtime_ns for path in kept] == before


def test_no_checkpoint_is_one_line(tool, tmp_path, no_change):
    unchanged = no_change(tmp_path)
    with pytest.raises(ValueError, match='no checkpoint; give one, or --random-init'):
        tool.main([str(DEMO), '--work-dir', str(tmp_path / 'work')])
    with pytest.raises(ValueError, match='--seed must be a whole number'):
        tool.main([str(DEMO), '--random-init', '--seed', '-1'])
    unchanged()


def test_dry_run_writes_nothing(tool, arguments, tmp_path, tiny_set, no_change, capsys):
    unchanged = no_change(tmp_path)
    tool.main(arguments('--dry-run'))
    unchanged()
    assert '120 of 120 backbone keys' in capsys.readouterr().out


def test_c4_takes_stage_4_into_the_shared_head(tmp_path):
    source = r50_source(tmp_path)
    cfg = transfer.load_config(DEMO.with_name('mask-rcnn_r50-c4_ms-1x_coco.py'))
    transfer.fit_config(cfg, source)
    assert transfer.check_detector(cfg, source) == 318
    transfer.set_pretrained(cfg, None)
    assert 'init_cfg' not in cfg.model.roi_head.shared_head
    transfer.set_pretrained(cfg, 'w.pth')
    for owner in (cfg.model.backbone, cfg.model.roi_head.shared_head):
        assert owner.init_cfg == dict(type='Pretrained', checkpoint='w.pth', prefix='backbone.')


def test_fpn_outputs_equal_in_mmdets_own_resnet(tmp_path):
    source = r50_source(tmp_path, depth=18)
    cfg = transfer.load_config(DEMO.with_name('mask-rcnn_r18-fpn_ms-1x_coco.py'))
    assert transfer.check_detector(cfg, source) == 120
    # caffe's stride placement has the same names and shapes; only the outputs can tell.
    source = r50_source(tmp_path)
    cfg = transfer.load_config(DEMO.with_name('mask-rcnn_r50-fpn_ms-1x_coco.py'))
    cfg.model.backbone.style = 'caffe'
    with pytest.raises(ValueError, match='output 2 differs from the original'):
        transfer.check_detector(cfg, source)


def break_annotations(tiny_set: Path) -> str:
    path = tiny_set / 'annotations' / 'train.json'
    coco = json.loads(path.read_text())
    coco['annotations'][1]['bbox'] = [3, 4]
    path.write_text(json.dumps(coco))
    return r'train\.json: annotation 2: bbox \[3, 4\] is not four finite numbers'


def truncate_annotations(tiny_set: Path) -> str:
    path = tiny_set / 'annotations' / 'val.json'
    path.write_text(path.read_text()[:100])
    return r'val\.json: not valid JSON'


def lose_image(tiny_set: Path) -> str:
    (tiny_set / 'val' / '000001.png').unlink()
    return r'val/000001\.png: missing'


@pytest.mark.parametrize('damage', [break_annotations, truncate_annotations, lose_image])
def test_broken_data_is_one_line(tool, arguments, tiny_set, tmp_path, no_change, damage):
    message = damage(tiny_set)
    unchanged = no_change(tmp_path)
    with pytest.raises((OSError, ValueError), match=message) as error:
        tool.main(arguments())
    assert '\n' not in str(error.value)
    unchanged()


def drop_key(path: Path) -> str:
    checkpoint = torch.load(path)
    del checkpoint['state_dict']['backbone.layer3.0.conv1.weight']
    torch.save(checkpoint, path)
    return r'layer3\.0\.conv1\.weight is missing'


def no_backbone(path: Path) -> str:
    torch.save(dict(state_dict={'encoder_q.conv1.weight': torch.zeros(1)}), path)
    return r"no weight is named 'backbone\.\*', names begin with encoder_q"


def imagenet_stem(path: Path) -> str:
    write_checkpoint(path, type='ResNet', depth=18)
    return r'holds a ResNet, .*demo\.py wants a ResNet_CIFAR: their stems differ'


def garbage(path: Path) -> str:
    path.write_bytes(b'not a checkpoint')
    return 'is cut short or damaged, or no checkpoint'


def text(path: Path) -> str:
    # Read as a pickle it raises KeyError: 'h' fetches what was never stored.
    path.write_text('hello')
    return 'is cut short or damaged, or no checkpoint'


def absent(path: Path) -> str:
    path.unlink()
    return 'does not exist'


@pytest.mark.parametrize('damage', [drop_key, no_backbone, imagenet_stem, garbage, text, absent])
def test_unfit_checkpoint_is_one_line(
    tool, arguments, cifar_checkpoint, tmp_path, no_change, damage
):
    message = damage(cifar_checkpoint)
    unchanged = no_change(tmp_path)
    with pytest.raises((OSError, ValueError), match=message) as error:
        tool.main(arguments())
    assert '\n' not in str(error.value)
    unchanged()


@pytest.mark.parametrize(
    ('option', 'told'),
    [
        ('lr=1', "nothing reads 'lr'; set optim_wrapper.optimizer.lr"),
        ('data_root=/x', "nothing reads 'data_root'; set "),
        ('model.roi_head.bbox_head.num_clases=1', 'did you mean num_classes?'),
        ('model.roi_head.bbox_head.num_classes=11', 'tells 11 classes apart, its data set has 10'),
        ('train_cfg.max_epoch=1', 'did you mean max_epochs?'),
        ('randomness.seed=3', '--seed sets randomness.seed: leave it out of --cfg-options'),
        ('work_dir=x', '--work-dir sets work_dir: leave it out of --cfg-options'),
        ('optim_wrapper.optimizer.lr.x=1', 'has no place for'),
        ('model=1', 'not a detection config'),
    ],
)
def test_an_option_that_does_not_count_is_refused(
    tool, arguments, tmp_path, no_change, option, told
):
    unchanged = no_change(tmp_path)
    with pytest.raises(ValueError, match=re.escape(told)) as error:
        tool.main([*arguments(), option])
    assert '\n' not in str(error.value)
    unchanged()


def test_another_depth_does_not_fit(tmp_path):
    source = r50_source(tmp_path)
    cfg = transfer.load_config(DEMO.with_name('mask-rcnn_r18-fpn_ms-1x_coco.py'))
    with pytest.raises(ValueError, match=r'does not fit the detector of .* and \d+ more'):
        transfer.check_detector(cfg, source)


def test_config_must_be_a_detector(tmp_path):
    with pytest.raises(FileNotFoundError, match='does not exist, or is no file'):
        transfer.load_config(tmp_path / 'none.py')
    (tmp_path / 'other.py').write_text("model = dict(type='SimSiam')\n")
    with pytest.raises(ValueError, match='not a detection config'):
        transfer.load_config(tmp_path / 'other.py')


def test_command_line_ends_with_one_line(tmp_path):
    command = [sys.executable, 'tools/benchmarks/detection_transfer.py', str(DEMO), 'none.pth']
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1] == "error: checkpoint 'none.pth' does not exist"
    assert 'Traceback' not in done.stderr


def test_missing_mmdet_names_the_extra(tool, monkeypatch):
    monkeypatch.setitem(sys.modules, 'mmdet', None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'nasiam_mm\[detection\]'"):
        tool.main(['config.py', 'checkpoint.pth'])


def test_table_rounds_to_percent_and_separates_coco():
    row = dict(config='c.py', pretraining='p', seed=0, wall_seconds=90.0)
    coco = dict(row, set='COCO 2017 Dataset', note='', metrics={'coco/bbox_mAP': 0.3862})
    voc = dict(row, set='VOC2007', note='', metrics={'pascal_voc/mAP': 0.5, 'pascal_voc/AP50': 0.8})
    lines = report.render_table([coco, voc]).splitlines()
    assert lines[2] == '| COCO 2017 Dataset | c | p | 38.6 | - | - | - | - | - | 0 | 1.5 |'
    assert lines[3] == '| VOC2007 | c | p | 50.0 | 80.0 | - | - | - | - | 0 | 1.5 |'
    assert len(lines) == 4


def test_a_config_that_is_none_ends_in_a_line(tmp_path):
    (tmp_path / 'a.py').write_text('model = (\n')
    with pytest.raises(ValueError, match='line 1: '):
        transfer.load_config(tmp_path / 'a.py')
