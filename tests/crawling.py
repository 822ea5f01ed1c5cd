"""Every page that links lead to: a breadth-first walk that opens each address once."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from html.parser import HTMLParser
from urllib.parse import urldefrag, urljoin, urlsplit

LINKS = {("a", "href"), ("link", "href"), ("script", "src"), ("img", "src")}


class _Links(HTMLParser):
    """Where a page leads: links, what it loads, and the fragments that htmx fetches by itself, without a form's values."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found += [value for name, value in attrs if value and (tag, name) in LINKS]
        known = dict(attrs)
        if known.get("hx-trigger") in ("load", "revealed") and (fragment := known.get("hx-get")):
            self.found.append(fragment)


def links_of(address: str, text: str) -> Iterator[str]:
    """The addresses that a page links to, without fragments and other hosts."""
    parser = _Links()
    parser.feed(text)
    for found in parser.found:
        target = urldefrag(urljoin(f"http://studio{address}", found)).url
        parts = urlsplit(target)
        if parts.scheme == "http" and parts.netloc == "studio":
            yield parts.path + (f"?{parts.query}" if parts.query else "")


def crawl(
    open_page: Callable[[str], Iterable[str]], start: Iterable[str] = ("/",), most: int | None = None
) -> list[str]:
    """Open every address that can be reached, once; `open_page` gives the addresses that a page links to.

    A page links to itself in each of its orders, views and filters: these are opened, and from there no further one. Ends
    after `most` addresses, the nearest first.
    """
    todo, met, opened = deque(start), set(start), []
    while todo and (most is None or len(opened) < most):
        address = todo.popleft()
        opened.append(address)
        path, _, query = address.partition("?")
        for found in open_page(address):
            is_another_view = bool(query) and found.partition("?")[0] == path
            if found not in met and not is_another_view:
                met.add(found)
                todo.append(found)
    return opened
