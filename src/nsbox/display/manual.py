"""Where the manual pages are on the web, by name and section."""

import re

from nsbox.display.markup import Markup, element, escape

_PAGE = re.compile(r"([\w.+-]+)\(([0-9][a-z]*)\)", re.ASCII)
_SITE = "https://man7.org/linux/man-pages"


def link(reference: str, text: object = None) -> Markup:
    """Link a reference such as ``mount(2)`` to its page; other references are left as they are."""
    found = _PAGE.fullmatch(reference)
    if found is None:
        return escape(reference)
    name, section = found.groups()
    address = f"{_SITE}/man{section[0]}/{name}.{section}.html"
    return element("a", text or reference, href=address, target="_blank", rel="noopener")
