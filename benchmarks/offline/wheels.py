# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The wheels that a machine lacks: resolved and built here, for its Python and platform."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

# What comes with torch and torchvision.
HAVE = (
    'torch', 'torchvision', 'numpy', 'pillow', 'nvidia-*', 'cuda-*', 'triton', 'sympy', 'mpmath',
    'networkx', 'jinja2', 'markupsafe', 'fsspec', 'filelock', 'typing-extensions',
)  # fmt: skip
# mmengine asks distutils for the compiler, and since Python 3.12 setuptools alone has that.
UNDECLARED = ('setuptools; python_version >= "3.12"',)
# The same modules without a window system, whose libraries a bare machine lacks.
SUBSTITUTES = {'opencv-python': 'opencv-python-headless'}


@dataclass(frozen=True)
class Package:
    """One distribution that is needed.

    Attributes:
        name: Its canonical name.
        version: Its version.
        is_source: Whether it comes as a source distribution alone.
    """

    name: str
    version: str
    is_source: bool


def read_requirements(path: Path) -> list[str]:
    """Return the requirements of a file without its comments."""
    lines = (line.split('#')[0].strip() for line in path.read_text(encoding='utf-8').splitlines())
    return [line for line in lines if line]


def needed(
    report: dict[str, Any], roots: Iterable[str], have: Sequence[str], python: str
) -> list[Package]:
    """Walk from the requirements to all that is needed and not there.

    Args:
        report: What ``pip install --report`` wrote.
        roots: Requirements.
        have: Names, or patterns of names, that the machine has.
        python: Version of its Python, such as ``'3.12'``.

    Raises:
        ValueError: If something is needed on that Python that the report lacks.
    """
    found = {canonicalize_name(item['metadata']['name']): item for item in report['install']}
    packages: dict[str, Package] = {}
    waiting = [(root, 'requirements') for root in roots]
    while waiting:
        text, by = waiting.pop()
        requirement = Requirement(text)
        name = canonicalize_name(requirement.name)
        name = SUBSTITUTES.get(name, name)
        target = {'python_version': python, 'python_full_version': f'{python}.0', 'extra': ''}
        is_needed = requirement.marker is None or requirement.marker.evaluate(target)
        if not is_needed or name in packages or any(fnmatch(name, known) for known in have):
            continue
        if name not in found:
            raise ValueError(
                f'{by} needs {name} on Python {python}, which this Python resolves without; '
                f'pack with Python {python}'
            )
        item = found[name]
        is_source = not item['download_info']['url'].endswith('.whl')
        packages[name] = Package(name, item['metadata']['version'], is_source)
        waiting += [(text, name) for text in item['metadata'].get('requires_dist', [])]
    return sorted(packages.values(), key=lambda package: package.name)


def gather_wheels(
    root: Path, folder: Path, have: Sequence[str], python: str, platforms: Sequence[str]
) -> list[Path]:
    """Bring the wheels that a machine lacks.

    Args:
        root: Root of the project, with its requirements.
        folder: Where the wheels go.
        have: Names, or patterns of names, that the machine has.
        python: Version of its Python.
        platforms: Platform tags that it takes, the newest first.

    Raises:
        RuntimeError: If pip fails.
        ValueError: If a wheel built here holds compiled code.
    """
    roots = [*read_requirements(root / 'requirements/runtime.txt'), *UNDECLARED]
    pins = root / 'requirements/constraints.txt'
    packages = needed(_resolve(roots, pins, have), roots, have, python)
    names = {is_source: _pins(packages, is_source) for is_source in (True, False)}
    if names[True]:
        _pip('wheel', '--no-deps', '--wheel-dir', folder, *names[True])
        check_pure(folder.glob('*.whl'))
    tags = [flag for platform in platforms for flag in ('--platform', platform)]
    _pip(
        'download', '--no-deps', '--only-binary=:all:', '--python-version', python,
        '--implementation', 'cp', '--abi', f'cp{python.replace(".", "")}', '--abi', 'abi3',
        '--abi', 'none', *tags, '--dest', folder, *names[False],
    )  # fmt: skip
    return sorted(folder.glob('*.whl'))


def check_pure(wheels: Iterable[Path]) -> None:
    """Refuse wheels that were built for this machine.

    Raises:
        ValueError: If one is not ``none-any``.
    """
    for wheel in wheels:
        if not wheel.stem.endswith('-none-any'):
            raise ValueError(
                f'{wheel.name} was built here and holds compiled code, which another machine may '
                'not run; pack on a machine of its kind'
            )


def _resolve(roots: Sequence[str], pins: Path, have: Sequence[str]) -> dict[str, Any]:
    """Let pip choose versions, installing nothing; what the machine has is not asked for."""
    wanted = []
    for requirement in map(Requirement, roots):
        # A marker speaks of the machine, and pip would ask it of this Python.
        requirement.marker = None
        if not any(fnmatch(canonicalize_name(requirement.name), known) for known in have):
            wanted.append(str(requirement))
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, 'report.json')
        _pip(
            'install', '--dry-run', '--ignore-installed', '--report', report, '-c', pins,
            *wanted, *SUBSTITUTES.values(),
        )  # fmt: skip
        return json.loads(report.read_text(encoding='utf-8'))


def _pins(packages: Iterable[Package], is_source: bool) -> list[str]:
    return [f'{p.name}=={p.version}' for p in packages if p.is_source == is_source]


def _pip(*arguments: object) -> None:
    # The time inside a wheel that is built; zip archives begin in 1980.
    variables = {**os.environ, 'SOURCE_DATE_EPOCH': '315532800'}
    command = [sys.executable, '-m', 'pip', *map(str, arguments), '--quiet']
    run = subprocess.run(command, env=variables, capture_output=True, text=True)
    if run.returncode:
        lines = [line for line in run.stderr.splitlines() if line.startswith('ERROR')]
        reason = lines[-1] if lines else run.stderr.strip() or 'no output'
        raise RuntimeError(f'pip {arguments[0]} failed: {reason}')
