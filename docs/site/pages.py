# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Hook of MkDocs: pages and files beside docs/ get a place, and links are as on a code host.

A page is written for readers of the repository: its links are paths between files. The site holds
the pages of docs/ at its root, those of OUTSIDE beside them, and any other file that a page links
to under ``repository/``. What is left is checked by MkDocs itself.
"""

import logging
import re
from os.path import normpath
from pathlib import Path, PurePosixPath
from posixpath import relpath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]
# A page of the repository outside docs/ -> its place in the site.
OUTSIDE = {
    'README.md': 'readme.md',
    'CONTRIBUTING.md': 'contributing.md',
    'CHANGELOG.md': 'changelog.md',
    'genotypes/README.md': 'genotypes.md',
}
# Code is left alone: fenced blocks and spans are matched first.
LINK = re.compile(r'^```.*?^```|`[^`\n]*`|(?<=\]\()(?P<target>[^)\s]+)(?=\))', re.DOTALL | re.M)

# What a browser would fetch from elsewhere; the theme draws diagrams by a script of a CDN.
FOREIGN = re.compile(
    r'<(?:script|link|img|iframe|source)[^>]*(?:src|href)="?(?:https?:)?//[^" >]*|class="mermaid"'
)
_log = logging.getLogger('mkdocs.hooks.pages')


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages of OUTSIDE."""
    for path, page in OUTSIDE.items():
        files.append(File.generated(config, page, abs_src_path=str(ROOT / path)))
    return files


def on_page_markdown(
    markdown: str, *, page: Page, config: MkDocsConfig, files: Files, **kwargs: Any
) -> str:
    """Return the page with its links as the site needs them; add the files they lead to."""
    uri = page.file.src_uri
    source = {place: path for path, place in OUTSIDE.items()}.get(uri, f'docs/{uri}')

    def mend(found: re.Match) -> str:
        target = found['target']
        if target is None or '://' in target or target.startswith(('#', 'mailto:')):
            return found[0]
        path, _, anchor = target.partition('#')
        place = place_of(normpath(PurePosixPath(source).parent / path))
        if place.startswith('repository/') and place not in files.src_uris:
            path = place.removeprefix('repository/')
            if (ROOT / path).is_file():
                files.append(File.generated(config, place, abs_src_path=str(ROOT / path)))
        mended = relpath(place, PurePosixPath(uri).parent)
        return f'{mended}#{anchor}' if anchor else mended

    return LINK.sub(mend, markdown)


def on_post_page(output: str, *, page: Page, config: MkDocsConfig) -> str:
    """Warn, which ends a strict build, of a page that needs more than the site."""
    if found := FOREIGN.search(output):
        _log.warning('%s loads from elsewhere: %s', page.file.src_uri, found[0])
    return output


def place_of(path: str) -> str:
    """Return where the site keeps a file of the repository: ``docs/a.md`` at ``a.md``."""
    if path in OUTSIDE:
        return OUTSIDE[path]
    return path.removeprefix('docs/') if path.startswith('docs/') else f'repository/{path}'
