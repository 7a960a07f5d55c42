# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Installation of nasiam_mm; what it needs stands in requirements/."""

import re
import shutil
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

ROOT = Path(__file__).resolve().parent
# What goes into nasiam_mm/.mim, where mim and mmengine's get_config look for it.
SHIPPED = ('configs', 'tools', 'model-index.yml')


def read_version() -> str:
    """Return the version that nasiam_mm/version.py states, without importing the package."""
    text = (ROOT / 'nasiam_mm' / 'version.py').read_text(encoding='utf-8')
    return re.search(r"^__version__ = '([^']+)'$", text, re.MULTILINE).group(1)


def read_requirements(name: str) -> list[str]:
    """Return the requirements of requirements/``name``.txt, without its comments."""
    text = (ROOT / 'requirements' / f'{name}.txt').read_text(encoding='utf-8')
    lines = (line.split('#')[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


def read_readme() -> str:
    """Return README.md, the long description."""
    return (ROOT / 'README.md').read_text(encoding='utf-8')


class BuildWithConfigs(build_py):
    """Put configs and tools into the package: copies into a wheel, links for an editable one."""

    def run(self) -> None:
        """Build the package, then what is shipped beside it."""
        super().run()
        package = ROOT if self.editable_mode else Path(self.build_lib)
        mim = package / 'nasiam_mm' / '.mim'
        shutil.rmtree(mim, ignore_errors=True)
        mim.mkdir(parents=True)
        for name in SHIPPED:
            source, target = ROOT / name, mim / name
            if self.editable_mode:
                target.symlink_to(Path('../..', name))
            elif source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns('__pycache__'))
            else:
                shutil.copy(source, target)


# Of 'all', which the tests run with.
EXTRAS = {
    name: read_requirements(name)
    for name in ('analysis', 'detection', 'docs', 'export', 'postgresql', 'tests', 'lint')
}
# Where the scalars of a run go beside its log, as its config says.
SHOWN = {name: read_requirements(name) for name in ('tensorboard', 'wandb')}
ALL = sorted({line for group in EXTRAS.values() for line in group})

setup(
    name='nasiam_mm',
    version=read_version(),
    description='Search, train and measure the heads of Siamese self-supervised networks',
    long_description=read_readme(),
    long_description_content_type='text/markdown',
    author='nasiam_mm contributors',
    license='Apache-2.0',
    license_files=['LICENSE'],
    keywords=['self-supervised learning', 'architecture search', 'NASiam', 'OpenMMLab'],
    classifiers=[
        'Development Status :: 4 - Beta',
        'Intended Audience :: Science/Research',
        'Operating System :: OS Independent',
        'Programming Language :: Python :: 3',
        'Programming Language :: Python :: 3.10',
        'Programming Language :: Python :: 3.11',
        'Programming Language :: Python :: 3.12',
        'Programming Language :: Python :: 3.13',
        'Topic :: Scientific/Engineering :: Artificial Intelligence',
    ],
    python_requires='>=3.10',
    packages=find_packages(include=['nasiam_mm', 'nasiam_mm.*']),
    install_requires=read_requirements('runtime'),
    extras_require={**EXTRAS, **SHOWN, 'all': ALL},
    entry_points={'console_scripts': ['nasiam = nasiam_mm.cli.main:main']},
    cmdclass={'build_py': BuildWithConfigs},
    zip_safe=False,
)
