# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Write model-index.yml and the metafiles of configs/, in OpenMMLab's form, from the recipes.

    python docs/site/metafiles.py

What a recipe says is read from it; only names of collections and their papers stand here.
Weights are not published, so no entry has ``Weights``, nor ``Results`` that would be theirs.
"""

from functools import partial
from pathlib import Path
from typing import Any

import yaml
from mmengine.config import Config

import nasiam_mm.models  # noqa: F401  registers the frameworks
from nasiam_mm.models.frameworks import FRAMEWORKS, title_of

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ('nasiam', 'backbones', 'heads', 'search', 'studies', 'benchmarks/linear', 'detection')
_TOLD = '# Written by docs/site/metafiles.py, of the recipes; weights are not published.\n'
_ARXIV = 'https://arxiv.org/abs/'
_PAPERS = {
    'BarlowTwins': (
        'Barlow Twins: Self-Supervised Learning via Redundancy Reduction', '2103.03230',
    ),
    'VICReg': (
        'VICReg: Variance-Invariance-Covariance Regularization for Self-Supervised Learning',
        '2105.04906',
    ),
    'SimSiam': ('Exploring Simple Siamese Representation Learning', '2011.10566'),
    'SimCLR': (
        'A Simple Framework for Contrastive Learning of Visual Representations', '2002.05709',
    ),
    'MoCo': ('Improved Baselines with Momentum Contrastive Learning', '2003.04297'),
    'BYOL': ('Bootstrap Your Own Latent: A New Approach to Self-Supervised Learning', '2006.07733'),
    'MoCoV3': (
        'An Empirical Study of Training Self-Supervised Vision Transformers', '2104.02057',
    ),
    'PIRL': ('Self-Supervised Learning of Pretext-Invariant Representations', '1912.01991'),
    'SwAV': (
        'Unsupervised Learning of Visual Features by Contrasting Cluster Assignments',
        '2006.09882',
    ),
    'MaskRCNN': ('Mask R-CNN', '1703.06870'),
    'FasterRCNN': (
        'Faster R-CNN: Towards Real-Time Object Detection with Region Proposal Networks',
        '1506.01497',
    ),
}  # fmt: skip
_PAGES = {'ImageClassifier': 'docs/evaluation.md', 'MaskRCNN': 'docs/detection.md'}
_TITLES = {
    **{framework.algorithm: title_of(name) for name, framework in FRAMEWORKS.items()},
    'ImageClassifier': 'Linear evaluation',
    'MaskRCNN': 'Mask R-CNN',
    'FasterRCNN': 'Faster R-CNN',
}
_TRANSFORMERS = {'deit-tiny': 'ViT-Tiny', 'mocov3-small': 'ViT-Small'}
_DATA = {'cifar10': 'CIFAR-10', 'cifar100': 'CIFAR-100', 'imagenet': 'ImageNet-1K'}
_DATA |= {'coco': 'COCO 2017', 'voc07': 'VOC 07', 'voc0712': 'VOC 07+12'}
_DATA |= {'cifar10det': 'CIFAR-10 detection'}


def recipes(folder: str) -> list[Path]:
    """Return the recipes of a folder of configs/."""
    return sorted((ROOT / 'configs' / folder).glob('*.py'))


def metafile(folder: str) -> str:
    """Return the text of the metafile of a folder of configs/."""
    read = partial(Config.fromfile, import_custom_modules=False)
    models = [_model(path, read(path)) for path in recipes(folder)]
    kinds = dict.fromkeys(model.pop('kind') for model in models)
    whole = {'Collections': [_collection(kind, folder) for kind in kinds], 'Models': models}
    return _TOLD + yaml.safe_dump(whole, sort_keys=False, width=96)


def index() -> str:
    """Return the text of model-index.yml."""
    imported = [f'configs/{folder}/metafile.yml' for folder in FOLDERS]
    told = "# Read by mim and by mmengine's get_config.\n"
    return told + yaml.safe_dump({'Import': imported}, sort_keys=False)


def _collection(kind: str, folder: str) -> dict[str, Any]:
    made: dict[str, Any] = {'Name': _name(kind, folder), 'README': _PAGES.get(kind, _page(folder))}
    if kind in _PAPERS:
        title, number = _PAPERS[kind]
        made['Paper'] = {'Title': title, 'URL': _ARXIV + number}
    return made


def _page(folder: str) -> str:
    pages = {
        'backbones': 'docs/backbones.md',
        'search': 'docs/search.md',
        'studies': 'docs/study.md',
        'heads': 'docs/study.md',
    }
    return pages.get(folder, 'docs/detection.md' if folder == 'detection' else 'docs/frameworks.md')


def _name(kind: str, folder: str) -> str:
    """Return the name of a collection: one for each kind of model of a folder."""
    beside = {'search': 'strategies', 'studies': 'studies', 'heads': 'S-head'}
    beside = {**beside, 'backbones': 'searched backbones'}.get(folder)
    title = _TITLES.get(kind, kind)
    return f'{title}, {beside}' if beside else title


def _model(path: Path, cfg: Config) -> dict[str, Any]:
    folder = path.parent.relative_to(ROOT / 'configs').as_posix()
    kind, backbone, length = cfg.model.type, cfg.model.backbone, cfg.train_cfg
    scaled = (cfg.get('auto_scale_lr') or {}).get('base_batch_size')
    meta: dict[str, Any] = {
        'Architecture': [_architecture(backbone)],
        'Training Data': _data(path, cfg),
    }
    meta |= (
        {'Epochs': length.max_epochs}
        if 'max_epochs' in length
        else {'Iterations': length.max_iters}
    )
    meta['Batch Size'] = scaled or cfg.train_dataloader.batch_size
    return {
        'Name': f'study_{path.stem}' if folder == 'studies' else path.stem,
        'In Collection': _name(kind, folder),
        'Config': path.relative_to(ROOT).as_posix(),
        'Metadata': meta,
        'kind': kind,
    }


def _architecture(backbone: Any) -> str:
    if backbone.type.startswith('Choice'):
        return f'searched {backbone.type.removeprefix("Choice")}'
    if 'arch' in backbone:
        return f'{_TRANSFORMERS[backbone.arch]}, patch {backbone.patch_size}'
    name = f'ResNet-{backbone.depth}'
    if backbone.get('base_channels', 64) != 64:
        name += f', width {backbone.base_channels}'
    return name


def _data(path: Path, cfg: Config) -> str:
    root = (cfg.get('data') or {}).get('root')
    words = [Path(root).name] if root else path.stem.split('_')
    (found,) = [_DATA[word] for word in words if word in _DATA]
    return found


def main() -> None:
    """Write them."""
    for folder in FOLDERS:
        (ROOT / 'configs' / folder / 'metafile.yml').write_text(metafile(folder), encoding='utf-8')
    (ROOT / 'model-index.yml').write_text(index(), encoding='utf-8')


if __name__ == '__main__':
    main()
