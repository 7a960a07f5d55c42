# Copyright (c) nasiam_mm contributors. Licensed under Apache-2.0.
"""A page as a reader of its markup has it."""

from html.parser import HTMLParser

VOID = {'meta', 'link', 'br', 'img', 'input', 'wbr'}


class Page(HTMLParser):
    """Tags that are balanced, attributes by tag, text by element's id."""

    def __init__(self, text):
        super().__init__()
        self.open, self.attributes, self.ids, self.texts = [], [], [], {}
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.attributes.append((tag, attrs))
        if tag != 'wbr':
            self.handle_data(' ')
        if tag not in VOID:
            self.open.append((tag, attrs.get('id')))
        if 'id' in attrs:
            self.ids.append(attrs['id'])

    def handle_startendtag(self, tag, attrs):
        self.attributes.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        self.handle_data(' ')
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        for _, name in self.open:
            if name:
                self.texts[name] = self.texts.get(name, '') + data

    def told(self, section):
        return ' '.join(self.texts[section].split())
