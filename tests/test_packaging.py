# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""What setup.py, requirements/, the Makefile and the version check promise.

1. setup.py states the requirements of requirements/ and the version of the package.
2. The pins satisfy them on every supported Python, one pin a package.
3. The versions checked on import are those required, and a mismatch is one line.
4. make installs once, again when the requirements change, anew after an interruption, and
   never reports an environment that is not whole.
"""

import os
import runpy
import shutil
import signal
import subprocess
import time
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
import setuptools
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from nasiam_mm import versions
from nasiam_mm.version import __version__

ROOT = Path(__file__).parents[1]
GROUPS = ('runtime', 'analysis', 'detection', 'docs', 'export', 'postgresql', 'tests', 'lint')
NOT_IN_ALL = ('tensorboard', 'wandb')
PYTHONS = ('3.10', '3.11', '3.12', '3.13')


def read(name: str) -> list[Requirement]:
    text = (ROOT / 'requirements' / f'{name}.txt').read_text()
    lines = (line.split('#')[0].strip() for line in text.splitlines())
    return [Requirement(line) for line in lines if line]


@pytest.fixture
def metadata(monkeypatch):
    """The arguments of setup()."""
    seen = {}
    monkeypatch.setattr(setuptools, 'setup', lambda **kwargs: seen.update(kwargs))
    monkeypatch.chdir(ROOT)
    runpy.run_path(str(ROOT / 'setup.py'))
    return seen


def test_setup_reads_requirements_and_version(metadata):
    assert metadata['version'] == __version__
    assert metadata['install_requires'] == lines('runtime')
    extras = metadata['extras_require']
    for group in (*GROUPS[1:], *NOT_IN_ALL):
        assert extras[group] == lines(group)
    assert set(extras['all']) == {line for group in GROUPS[1:] for line in lines(group)}
    assert metadata['python_requires'] == '>=3.10'


def lines(group: str) -> list[str]:
    text = (ROOT / 'requirements' / f'{group}.txt').read_text()
    return [line for line in text.splitlines() if line and not line.startswith('#')]


def test_setup_packs_the_package_and_nothing_else(metadata):
    packages = {
        '.'.join(path.parent.relative_to(ROOT).parts)
        for path in (ROOT / 'nasiam_mm').rglob('__init__.py')
    }
    assert set(metadata['packages']) == packages


@pytest.mark.parametrize('python', PYTHONS)
def test_pins_satisfy_the_requirements(python):
    environment = {'python_version': python, 'python_full_version': f'{python}.0'}
    pins = {}
    for pin in read('constraints'):
        if pin.marker is None or pin.marker.evaluate(environment):
            name = canonicalize_name(pin.name)
            assert name not in pins, f'{name} is pinned twice for Python {python}'
            (specifier,) = pin.specifier
            assert specifier.operator == '==', pin
            pins[name] = Version(specifier.version)
    for group in GROUPS:
        for requirement in read(group):
            assert pins[canonicalize_name(requirement.name)] in requirement.specifier, requirement
    # Either build of OpenCV may own the files of cv2.
    assert pins['opencv-python'] == pins['opencv-python-headless']


def test_checked_versions_are_the_required_ones():
    required = {requirement.name: requirement.specifier for requirement in read('runtime')}
    for name, (lowest, limit) in versions.SUPPORTED.items():
        stated = {(s.operator, s.version) for s in required[name]}
        assert stated == {('>=', lowest), ('<', limit)}, name


def installed(monkeypatch, found: dict[str, str]) -> None:
    def version(name: str) -> str:
        if name not in found:
            raise PackageNotFoundError(name)
        return found[name]

    monkeypatch.setattr(versions, 'version', version)


GOOD = {
    'torch': '2.12.1+cu130',
    'torchvision': '0.27.1',
    'onedl-mmengine': '0.10.12',
    'onedl-mmcv': '2.3.6',
    'onedl-mmpretrain': '1.3.6',
}


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        ({'torch': '2.7.1'}, 'needs torch>=2.8,<2.14, but 2.7.1 is installed'),
        ({'torch': '2.14.0'}, 'needs torch>=2.8,<2.14, but 2.14.0 is installed'),
        ({'torch': None}, 'needs torch>=2.8,<2.14, but it is not installed'),
        ({'onedl-mmcv': None}, 'needs onedl-mmcv>=2.3.6,<2.4, but it is not installed'),
        (
            {'onedl-mmengine': None, 'mmengine': '0.10.7'},
            'needs onedl-mmengine>=0.10.12,<0.11, but mmengine 0.10.7 is installed',
        ),
        ({'onedl-mmengine': '0.10.9'}, 'needs onedl-mmengine>=0.10.12,<0.11, but 0.10.9'),
    ],
)
def test_a_version_out_of_range_is_one_line(monkeypatch, change, message):
    merged = {**GOOD, **change}
    installed(monkeypatch, {name: found for name, found in merged.items() if found})
    with pytest.raises(ImportError) as caught:
        versions.check_versions()
    assert message in str(caught.value)
    assert 'requirements/constraints.txt' in str(caught.value)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('torch', ['2.8', '2.8.0', '2.12.1', '2.13.2+cpu'])
def test_a_version_in_range_is_accepted(monkeypatch, torch):
    installed(monkeypatch, {**GOOD, 'torch': torch})
    versions.check_versions()


# Stands for Python: `-m venv DIR` copies it there, `-m pip` writes down what was asked of it.
FAKE_PYTHON = """#!/bin/sh
if [ -n "$LINT_FAILS" ] && [ "$(basename "$0")" = "$LINT_FAILS" ]; then exit 1; fi
case "$*" in
    --version) echo 'Python 3.11.0' ;;
    '-m venv '*)
        mkdir -p "$3/bin"
        for name in python ruff mypy lint-imports; do cp "$0" "$3/bin/$name"; done ;;
    '-c import fcntl'*) exec python3 "$@" ;;
    '-m pip install'*)
        echo "$*" >> "$RECORD"
        if [ -n "$PIP_HANGS" ]; then touch "$RECORD.hangs"; exec sleep 30; fi
        if [ -n "$PIP_FAILS" ]; then exit 1; fi ;;
    '-m mkdocs'*--strict*) exit "${PAGES_FAIL:-0}" ;;
    '-m pytest'*) echo 'pytest ran'; exit "${PYTEST_STATUS:-0}" ;;
esac
"""


class Clone:
    """The files that make reads, and a Python that only writes down what it is asked."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ('Makefile', 'setup.py', '.ci/run', 'nasiam_mm/version.py', 'requirements'):
            target = folder / name
            target.parent.mkdir(parents=True, exist_ok=True)
            source = ROOT / name
            shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
        self.python = folder / 'fake_python'
        self.python.write_text(FAKE_PYTHON)
        self.python.chmod(0o755)
        self.record = folder / 'record'
        self.venv = folder / '.venv'

    def environment(self, **variables: str) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith('MAKE')}
        return {**kept, 'RECORD': str(self.record), 'PYTHON': str(self.python), **variables}

    def run(self, *command: str, **variables: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment(**variables),
            capture_output=True,
            text=True,
            check=False,
        )

    def installations(self) -> list[str]:
        """What pip was asked to install, itself left out."""
        asked = self.record.read_text().splitlines() if self.record.exists() else []
        return [line.split(' -e ')[1] for line in asked if ' -e ' in line]


@pytest.fixture
def clone(tmp_path):
    return Clone(tmp_path)


CORE, FULL = '.', '.[all]'


def test_make_installs_once(clone):
    assert clone.run('make', 'venv').returncode == 0
    assert clone.run('make', 'venv').returncode == 0
    assert clone.installations() == [CORE]
    assert '--build-constraint requirements/constraints.txt' in clone.record.read_text()


def test_make_test_adds_to_the_environment_and_then_suffices(clone):
    for target in ('venv', 'test', 'test', 'venv'):
        assert clone.run('make', target).returncode == 0
    assert clone.installations() == [CORE, FULL]


def test_make_installs_again_when_requirements_change(clone):
    clone.run('make', 'venv')
    with (clone.folder / 'requirements/runtime.txt').open('a') as file:
        file.write('tqdm\n')
    clone.run('make', 'venv')
    assert clone.installations() == [CORE, CORE]


def test_make_starts_anew_after_a_failed_installation(clone):
    failed = clone.run('make', 'venv', PIP_FAILS='1')
    assert failed.returncode != 0
    assert 'is ready' not in failed.stdout
    (clone.venv / 'half-written').touch()
    assert clone.run('make', 'venv').returncode == 0
    assert not (clone.venv / 'half-written').exists()
    assert clone.installations() == [CORE]


def test_make_starts_anew_after_an_interruption_and_not_before(clone):
    process = subprocess.Popen(
        ['make', 'venv'],
        cwd=clone.folder,
        env=clone.environment(PIP_HANGS='1'),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        deadline = time.monotonic() + 20
        while not Path(f'{clone.record}.hangs').exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        other = clone.run('make', 'venv')
        assert other.returncode != 0
        assert 'error: another make is installing into .venv' in other.stderr
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    (clone.venv / 'half-written').touch()
    again = clone.run('make', 'venv')
    assert again.returncode == 0, again.stderr
    assert 'an earlier installation was interrupted' in again.stdout
    assert not (clone.venv / 'half-written').exists()
    assert clone.installations() == [CORE]


def test_make_without_a_python_is_one_line(clone):
    failed = clone.run('make', 'venv', PYTHON='/nowhere/python')
    assert failed.returncode != 0
    errors = [line for line in failed.stderr.splitlines() if line.startswith('error: ')]
    assert len(errors) == 1
    assert '/nowhere/python' in errors[0]
    assert 'Python 3.10 to 3.13' in errors[0]
    assert not clone.venv.exists()


def test_a_foreign_process_does_not_pass_for_an_installation(clone):
    clone.run('make', 'venv')
    clone.venv.joinpath('.nasiam_mm.installing').write_text(f'{os.getpid()}\n')
    Path(f'{clone.folder}/.nasiam_mm.lock').write_text(f'{os.getpid()}\n')
    next(clone.venv.glob('.nasiam_mm-core-*')).unlink()
    assert clone.run('make', 'venv').returncode == 0
    assert clone.installations() == [CORE, CORE]


def test_torch_for_the_cpu_comes_from_the_index_that_the_user_names(clone):
    failed = clone.run('make', 'venv', 'TORCH=cpu')
    assert failed.returncode != 0
    assert 'error: TORCH=cpu needs TORCH_INDEX=ADDRESS' in failed.stderr
    assert not clone.venv.exists()
    assert clone.run('make', 'venv', 'TORCH=rocm').returncode != 0
    done = clone.run('make', 'venv', 'TORCH=cpu', TORCH_INDEX='file:///an index')
    assert done.returncode == 0, done.stderr
    asked = clone.record.read_text().splitlines()
    assert any(
        line.endswith('--extra-index-url file:///an index torch torchvision') for line in asked
    )
    # The usual one is another environment.
    assert clone.run('make', 'venv').returncode == 0
    assert clone.installations() == [CORE, CORE]


def test_ci_run_is_every_check_and_every_test(clone):
    passed = clone.run('bash', '.ci/run')
    assert passed.returncode == 0
    assert passed.stdout.splitlines()[-1] == 'pytest ran'
    assert 'slow' not in passed.stdout
    assert clone.run('bash', '.ci/run', LINT_FAILS='mypy').returncode != 0
    assert clone.run('bash', '.ci/run', PAGES_FAIL='1').returncode != 0
    assert 'pytest ran' in clone.run('bash', '.ci/run', LINT_FAILS='lint-imports').stdout
    assert clone.run('bash', '.ci/run', PYTEST_STATUS='1').returncode != 0
    # No test at all is a failure too.
    assert clone.run('bash', '.ci/run', PYTEST_STATUS='5').returncode != 0
