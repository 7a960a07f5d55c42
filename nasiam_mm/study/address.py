# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""The address of a study's database, as a user gives it, and as it may be shown."""

_SCHEMES = ('postgresql://', 'postgresql+psycopg://')


def check_address(url: str) -> None:
    """Refuse, with a ValueError, an address that is not of PostgreSQL."""
    if not url.startswith(_SCHEMES):
        kinds = 'postgresql://USER:PASSWORD@HOST/DATABASE, or nothing for a file'
        raise ValueError(f'--storage {shown(url)}: must be {kinds}')


def shown(url: str) -> str:
    """Return an address without its password, and without settings, which may hold one."""
    scheme, sign, rest = url.partition('://')
    if not sign:
        return f'{url!r}' if '@' not in url and '=' not in url else "'...'"
    user, at, host = rest.partition('?')[0].rpartition('@')
    return f"'{scheme}://{user.split(':')[0]}{at}{host}'"
