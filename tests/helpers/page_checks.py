"""Checks of a page, read as a browser reads it, by its tags."""

from __future__ import annotations

import base64
from html.parser import HTMLParser
from xml.etree import ElementTree

_EMPTY = {"meta", "link", "img", "source", "br", "hr", "input"}


class Page(HTMLParser):
    """The tags of a page; refuses tags that do not nest."""

    def __init__(self, html: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open: list[str] = []
        self.feed(html)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in _EMPTY:
            self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open[-1] == tag, f"</{tag}> inside <{self._open[-1]}>"
        self._open.pop()

    def handle_data(self, data: str) -> None:
        if not self._open or self._open[-1] not in ("style", "script"):
            self.text += data

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def check_page(html: str) -> Page:
    """The page, after checking that it is whole, needs no network, and says in words what its figures show."""
    page = Page(html)
    assert html.startswith("<!DOCTYPE html>")
    assert page.all("html")[0].get("lang") == "en"
    assert any(meta.get("name") == "viewport" for meta in page.all("meta"))
    assert "prefers-color-scheme: dark" in html
    identities = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(identities) == len(set(identities))
    for link in page.all("a"):
        target = link["href"] or ""
        assert target.startswith("#") or target == "figures/", target
        assert not target.startswith("#") or target[1:] in identities, f"{target} leads nowhere"
    for image in page.all("img"):
        assert len(image.get("alt") or "") > 20
        check_svg(image["src"] or "")
    for source in page.all("source"):
        check_svg(source["srcset"] or "")
    assert not any("src" in attributes for attributes in page.all("script"))
    assert all((link["href"] or "").startswith("data:") for link in page.all("link"))
    assert page.all("h1")
    assert len(page.all("h1")) == 1
    return page


def check_svg(url: str) -> None:
    """The image is inside the page and draws something."""
    start = "data:image/svg+xml;base64,"
    assert url.startswith(start)
    drawing = ElementTree.fromstring(base64.b64decode(url[len(start) :]))
    assert drawing.tag.endswith("svg")
    assert len(list(drawing.iter("{http://www.w3.org/2000/svg}path"))) > 3
