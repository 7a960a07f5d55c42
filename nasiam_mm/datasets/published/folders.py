# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Sets that lie as a folder for each class: ImageNet, iNaturalist 2021, Caltech-101.

torchvision's readers of them ask for a file of its own (ImageNet), list files in no order
(INaturalist) or guess their names (Caltech101); the folders say all that is needed.
"""

from collections.abc import Callable
from pathlib import Path

from nasiam_mm.datasets.folder import image_files
from nasiam_mm.datasets.published.published_set import Files, PublishedSet, register_set

_BACKGROUND = 'BACKGROUND_Google'  # no class of Caltech-101


def _folders(parts: dict[str, str], leave: str = '') -> Callable[[Path, str, bool], Files]:
    def read(root: Path, part: str, download: bool) -> Files:
        folder = root / parts[part]
        if not folder.is_dir():
            raise FileNotFoundError(f"no folder '{folder}'")
        # Classes are numbered as their folders sort, those without an image too.
        named = (place for place in folder.iterdir() if place.is_dir())
        classes = sorted(place.name for place in named if place.name != leave)
        number = {name: n for n, name in enumerate(classes)}
        files = [file for file in image_files(folder) if file.split('/')[0] in number]
        labels = [number[file.split('/')[0]] for file in files]
        return Files([folder / file for file in files], labels, classes)

    return read


def _register(name: str, parts: dict[str, str], leave: str = '') -> None:
    read = _folders(parts, leave)
    register_set(PublishedSet(name, tuple(parts), parts['train'], read, downloads=False))


# ImageNet's own test images have no labels: those of validation are the test part.
_register('ImageNet', {'train': 'train', 'test': 'val'})
_register('iNat2021', {'train': '2021_train', 'test': '2021_valid'})
_register('iNat2021Mini', {'train': '2021_train_mini', 'test': '2021_valid'})
_register('Caltech101', {'train': 'caltech101/101_ObjectCategories'}, _BACKGROUND)
