# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The configs that come with the package, found by their names."""

from difflib import get_close_matches
from pathlib import Path

_PACKAGE = Path(__file__).resolve().parents[1]
# Of an installation, as OpenMMLab's packages have it; of a checkout.
_SHIPPED = (_PACKAGE / '.mim/configs', _PACKAGE.parent / 'configs')


def shipped_configs() -> Path | None:
    """Return the folder of the shipped configs, None where there is none."""
    return next((folder for folder in _SHIPPED if folder.is_dir()), None)


def framework_names() -> list[str]:
    """Name the frameworks that there are recipes of."""
    folder = shipped_configs()
    files = [] if folder is None else (folder / 'nasiam').glob('*_r18_search_cifar10.py')
    return sorted(path.name.split('_')[0] for path in files)


def strategy_names() -> list[str]:
    """Name the strategies that there are files of, in ``configs/search``."""
    folder = shipped_configs()
    files = [] if folder is None else (folder / 'search').glob('*.py')
    return sorted(path.stem for path in files)


def find_config(name: str | Path) -> str:
    """Return the path of a config: a file, or a shipped one by its path below ``configs/``.

    FileNotFoundError if there is neither.
    """
    if Path(name).is_file():
        return str(name)
    wanted = str(name).removeprefix('nasiam_mm::').removeprefix('configs/')
    folder = shipped_configs()
    if folder is not None and (folder / wanted).is_file():
        return str(folder / wanted)
    shipped = [] if folder is None else [f.relative_to(folder) for f in folder.rglob('*.py')]
    near = get_close_matches(wanted, map(str, shipped), n=1)
    mend = f'did you mean {near[0]}?' if near else 'see configs/'
    raise FileNotFoundError(f"config '{name}' does not exist; {mend}")
