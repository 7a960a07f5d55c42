# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Set nasiam_mm up from its pack, on a machine with Python and torch and without a network.

    python3 set_up.py --into FOLDER

Parts may come over several calls in any order, each beside this file or in --parts: what is right
is kept in FOLDER/parts, what is missing is named, with exit status 75. Once all are there they are
joined and unpacked, and FOLDER/venv sees what this Python has and the wheels of the pack. Repeating
it does nothing. Needs the standard library alone: it travels with the parts.
"""

import argparse
import hashlib
import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path
from typing import Any

MANIFEST, STATE = 'manifest.json', 'state.json'
CODE, DATA, WHEELS = 'code.tar.gz', 'data.tar.gz', 'wheels.tar.gz'
FORMAT = 1
# As sysexits.h has it: not done, another call goes on.
EX_TEMPFAIL = 75
_BLOCK = 1 << 20


class PartsMissing(Exception):
    """Parts have yet to arrive; the message names them."""


def digest(path: Path) -> str:
    """Return the sha256 of a file."""
    found = hashlib.sha256()
    with open(path, 'rb') as file:
        while block := file.read(_BLOCK):
            found.update(block)
    return found.hexdigest()


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read the manifest of a pack.

    Raises:
        FileNotFoundError: If there is none.
        ValueError: If it is none, or of another format.
    """
    path = folder / MANIFEST
    if not path.is_file():
        raise FileNotFoundError(f'{path} does not exist; bring {MANIFEST} of the pack as well')
    try:
        manifest = json.loads(path.read_text(encoding='utf-8'))
        is_known = manifest['format'] == FORMAT and isinstance(manifest['payloads'], dict)
    except (json.JSONDecodeError, KeyError, TypeError) as error:
        raise ValueError(f'{path} is not the manifest of a pack; bring it again') from error
    if not is_known:
        raise ValueError(f'{path} is of another format than {FORMAT}; take the set_up.py beside it')
    return manifest


def gather(parts: list[dict[str, Any]], source: Path, kept: Path) -> list[str]:
    """Keep the parts that have come to ``source`` and are right in ``kept``.

    Returns:
        Names of those still missing.

    Raises:
        ValueError: If one is damaged.
    """
    missing = []
    kept.mkdir(parents=True, exist_ok=True)
    for part in parts:
        target, arrived = kept / part['name'], source / part['name']
        if target.is_file() and digest(target) == part['sha256']:
            continue
        if not arrived.is_file():
            missing.append(part['name'])
            continue
        if digest(arrived) != part['sha256']:
            raise ValueError(
                f"{arrived} is damaged: its sha256 is not the manifest's; send it again"
            )
        temporary = kept / f'.{part["name"]}.tmp'
        shutil.copyfile(arrived, temporary)
        os.replace(temporary, target)
    return missing


def join(payload: dict[str, Any], kept: Path, target: Path) -> None:
    """Join the parts of a payload, whole or not at all.

    Raises:
        ValueError: If the whole is not what was packed; its parts are removed then.
    """
    temporary = target.with_name(f'.{target.name}.tmp')
    with open(temporary, 'wb') as whole:
        for part in payload['parts']:
            with open(kept / part['name'], 'rb') as file:
                shutil.copyfileobj(file, whole, _BLOCK)
    if digest(temporary) != payload['sha256']:
        temporary.unlink()
        for part in payload['parts']:
            (kept / part['name']).unlink()
        raise ValueError(
            f'{target.name} is damaged; send {len(payload["parts"])} parts of it again'
        )
    os.replace(temporary, target)


def unpack(archive: Path, target: Path) -> None:
    """Unpack an archive to a folder, replacing what is there, whole or not at all.

    Raises:
        ValueError: If a member is neither a file nor a folder, or lies outside.
    """
    fresh, old = (target.with_name(f'.{target.name}.{name}') for name in ('new', 'old'))
    for leftover in (fresh, old):
        shutil.rmtree(leftover, ignore_errors=True)
    with tarfile.open(archive) as tar:
        members = tar.getmembers()
        for member in members:
            is_inside = not {'..', '/'} & set(Path(member.name).parts)
            is_link = member.issym() and not os.path.isabs(member.linkname)
            if not is_inside or not (member.isfile() or member.isdir() or is_link):
                raise ValueError(f'{archive.name}: {member.name!r} is no file inside the archive')
        # The filter that later Pythons take by default.
        safe = {'filter': 'data'} if hasattr(tarfile, 'data_filter') else {}
        tar.extractall(fresh, members, **safe)
    if target.exists():
        os.rename(target, old)
    os.rename(fresh, target)
    shutil.rmtree(old, ignore_errors=True)


def make_venv(wheels: Path, folder: Path, code: Path) -> None:
    """Make a virtual environment of what this Python sees, the wheels and the code.

    A wheel is installed by unpacking it (PEP 427): neither pip nor ensurepip is needed. What this
    Python sees is named in a .pth file, for this Python may itself be of an environment, of which
    ``--system-site-packages`` would know nothing.
    """
    venv.EnvBuilder(system_site_packages=True, clear=True, symlinks=True).create(folder)
    variables = {'base': str(folder), 'platbase': str(folder)}
    scheme = 'venv' if 'venv' in sysconfig.get_scheme_names() else 'posix_prefix'
    site = Path(sysconfig.get_path('purelib', scheme, variables))
    for wheel in sorted(wheels.glob('*.whl')):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)
    for data in site.glob('*.data'):
        for library in ('purelib', 'platlib'):
            if (data / library).is_dir():
                shutil.copytree(data / library, site, dirs_exist_ok=True)
    (site / 'nasiam_mm.pth').write_text(f'{code}\n', encoding='utf-8')
    (site / 'preinstalled.pth').write_text('\n'.join(_seen_here()) + '\n', encoding='utf-8')


def _seen_here() -> list[str]:
    """Return the folders of packages that this Python sees, PYTHONPATH's left out."""
    code = 'import json, sys; print(json.dumps(sys.path[1:]))'
    shown = subprocess.run(
        [sys.executable, '-E', '-c', code], check=True, capture_output=True, text=True
    )
    library = {sysconfig.get_path('stdlib'), sysconfig.get_path('platstdlib')}
    library |= {os.path.join(path, 'lib-dynload') for path in library}
    return [
        path for path in json.loads(shown.stdout) if os.path.isdir(path) and path not in library
    ]


def check(folder: Path) -> str:
    """Import the package in the new environment and return what it finds there.

    Raises:
        RuntimeError: If it cannot be imported.
    """
    variables = {k: v for k, v in os.environ.items() if k not in ('PYTHONPATH', 'PYTHONHOME')}
    python, code = folder / 'venv/bin/python', folder / 'code'
    text = ''
    for command in (['-c', 'import nasiam_mm.engine'], ['tools/analysis_tools/collect_env.py']):
        run = subprocess.run(
            [python, *command], cwd=code, env=variables, capture_output=True, text=True
        )
        if run.returncode:
            last = (run.stderr.strip() or run.stdout.strip() or 'no output').splitlines()[-1]
            raise RuntimeError(f'the new environment does not work: {last}')
        text = run.stdout
    return text


def set_up(parts: Path, folder: Path) -> None:
    """Set up as far as the parts go.

    Args:
        parts: Folder of the manifest and of parts that have come.
        folder: Where everything goes, an absolute path.

    Raises:
        PartsMissing: If there are more to come.
        RuntimeError: If the environment does not work.
        ValueError: If something is damaged, or this is another Python than packed for.
    """
    manifest = read_manifest(parts)
    here = f'{sys.version_info.major}.{sys.version_info.minor}'
    if manifest['python'] != here:
        raise ValueError(f'the pack is for Python {manifest["python"]}, this is {here}')
    folder.mkdir(parents=True, exist_ok=True)
    state = _State(folder / STATE)
    missing = []
    for name, payload in manifest['payloads'].items():
        if state.get(name) != payload['sha256']:
            missing += gather(payload['parts'], parts, folder / 'parts')
    if missing:
        raise PartsMissing(f'{len(missing)} parts are missing: {" ".join(missing)}')
    for name, payload in manifest['payloads'].items():
        if state.get(name) != payload['sha256']:
            print(f'unpacking {name}', flush=True)
            join(payload, folder / 'parts', folder / name)
            unpack(folder / name, folder / name.split('.')[0])
            (folder / name).unlink()
            state.put(name, payload['sha256'])
            for part in payload['parts']:
                (folder / 'parts' / part['name']).unlink()
    wheels, code = manifest['payloads'][WHEELS]['sha256'], manifest['payloads'][CODE]['sha256']
    if not (folder / 'code/data').exists():
        os.symlink('../data', folder / 'code/data')
    (folder / 'code/COMMIT').write_text(describe(manifest) + '\n', encoding='utf-8')
    if state.get('venv') != [wheels, sys.executable]:
        print('making the environment', flush=True)
        make_venv(folder / 'wheels', folder / 'venv', folder / 'code')
        state.put('venv', [wheels, sys.executable])
    if state.get('checked') != [code, wheels]:
        (folder / 'environment.txt').write_text(check(folder), encoding='utf-8')
        state.put('checked', [code, wheels])
    print((folder / 'environment.txt').read_text(encoding='utf-8').strip())
    print(f'commit: {describe(manifest)}')
    print(f'ready: cd {folder / "code"} and run ../venv/bin/python')


def describe(manifest: dict[str, Any]) -> str:
    """Return the commit of a pack, with a mark where the tree had changes."""
    return manifest['commit'] + (' with changes' if manifest['dirty'] else '')


class _State:
    """What is done, in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.done = json.loads(path.read_text(encoding='utf-8')) if path.is_file() else {}

    def get(self, name: str) -> Any:
        return self.done.get(name)

    def put(self, name: str, value: Any) -> None:
        self.done[name] = value
        temporary = self.path.with_name(f'.{self.path.name}.tmp')
        temporary.write_text(json.dumps(self.done, indent=2) + '\n', encoding='utf-8')
        os.replace(temporary, self.path)


def main() -> int:
    """Set up; return the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--into', type=Path, required=True, help='folder for everything')
    here = Path(__file__).resolve().parent
    parser.add_argument('--parts', type=Path, default=here, help='folder of the parts')
    args = parser.parse_args()
    try:
        set_up(args.parts, args.into.resolve())
    except PartsMissing as error:
        print(error, file=sys.stderr)
        return EX_TEMPFAIL
    except (OSError, ValueError, RuntimeError) as error:
        print(f'error: {error}', file=sys.stderr)
        return 2
    return 0


if __name__ == '__main__':
    sys.exit(main())
