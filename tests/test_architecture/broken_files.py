# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""Files that are not JSON of a genotype at all, with the message that must follow."""

DEEP = ': is nested too deeply to be a genotype'


def broken(text):
    """Name -> content and message, some made from the text of a valid genotype."""
    return {
        'empty': (b'', ', line 1: is not JSON: Expecting value'),
        'truncated': (text[:200].encode(), ', line 1: is not JSON: '),
        'binary': (bytes(range(256)), ' cannot be read: '),
        'pickle': (b'\x80\x04\x95\x0b\x00\x00\x00\x8c\x02os\x94.', ' cannot be read: '),
        'byte order mark': (b'\xef\xbb\xbf' + text.encode(), ', line 1: is not JSON: '),
        'two objects': (text.encode() * 2, ', line 1: is not JSON: Extra data'),
        'a comma too many': (b'{\n"space": [],\n}', 'is not JSON: '),
        'a list': (b'[]', ': must be an object, got list'),
        'a number': (b'1', ': must be an object, got int'),
        'null': (b'null', ': must be an object, got NoneType'),
        'key twice': (
            text.replace('"SimSiam"', '"SimSiam", "framework": "MoCo"').encode(),
            ": key 'framework' stands twice in one object",
        ),
        'key twice, deep': (
            text.replace('"identity"], ', '"identity"], "a\\nb": 1, "a\\nb": 1, ').encode(),
            ": key 'a\\nb' stands twice in one object",
        ),
        'NaN': (text.replace('1.0', 'NaN').encode(), ': holds NaN, which is not JSON'),
        'infinity': (text.replace('1.0', '-Infinity').encode(), ': holds -Infinity, which is not'),
        'overflow': (text.replace('1.0', '1e999').encode(), '[3]: must be finite, got inf'),
        'digits': (text.replace('1.0', '9' * 6000).encode(), ': is not JSON for a genotype: '),
        'deep list': (b'[' * 10**5, DEEP),
        'deep object': (b'{"a":' * 10**5, DEEP),
        'deep provenance': (text.replace('50', '[' * 10**4 + ']' * 10**4).encode(), DEEP),
        'more than a mebibyte': (
            text.replace('50', '"' + 'a' * 2**20 + '"').encode(),
            f' has {len(text) + 2**20} bytes; one has at most 1048576',
        ),
        'authors text': (
            b"Genotype(encoder=[['identity']])",
            ": is the authors' text form; convert it with 'nasiam genotype import' first",
        ),
        'python': (b"__import__('os').system('false')", ', line 1: is not JSON: '),
    }
