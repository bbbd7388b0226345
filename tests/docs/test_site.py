"""The documentation as a site: built once as `make docs` does, then read as people read it, without a server or a network."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from playwright.async_api import async_playwright

from workshop.rehearsal.load.chat_page import chromium

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
README_LINES_MAX = 120
_FETCHED = {"img": "src", "script": "src", "link": "href", "iframe": "src"}

pytestmark = pytest.mark.xdist_group("site")


@dataclass
class Reader(HTMLParser):
    """What a page holds: places to jump to, what it leads to, and what a browser fetches for it."""

    anchors: set[str] = field(default_factory=set[str])
    links: set[str] = field(default_factory=set[str])
    fetched: set[str] = field(default_factory=set[str])

    def __post_init__(self) -> None:
        super().__init__()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        self.anchors.update(name for key in ("id", "name") if (name := told.get(key)))
        if tag == "a" and (href := told.get("href")):
            self.links.add(href)
        if (source := told.get(_FETCHED.get(tag, ""))) and told.get("rel") != "canonical":
            self.fetched.add(source)


@dataclass(frozen=True)
class Site:
    folder: Path
    pages: dict[Path, Reader]

    def leads_nowhere(self, page: Path, link: str) -> bool:
        parts = urlsplit(link)
        if parts.scheme or parts.netloc:
            return False
        target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
        if not target.is_file():
            return True
        anchor = unquote(parts.fragment)
        return bool(anchor) and anchor not in self.pages[target].anchors


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    """Any warning of mkdocs' ends it: links that lead nowhere, pages that the navigation leaves out."""
    folder = tmp_path_factory.mktemp("site").resolve()
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)]
    environ = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, check=False, cwd=ROOT, env=environ, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return Site(folder, {page: read(page) for page in folder.rglob("*.html")})


def read(page: Path) -> Reader:
    reader = Reader()
    reader.feed(page.read_text("utf-8"))
    return reader


def test_every_link_leads_somewhere(site: Site) -> None:
    """Pages, places within them, pictures and the dashboard; addresses of others are not asked."""
    own = {page: reader for page, reader in site.pages.items() if page.name != "404.html"}
    broken = [
        f"{page.relative_to(site.folder)}: {link}"
        for page, reader in own.items()
        for link in sorted(reader.links | reader.fetched)
        if site.leads_nowhere(page, link)
    ]

    assert len(own) > 20
    assert broken == []


def test_a_page_fetches_nothing_from_elsewhere(site: Site) -> None:
    """No font, script or picture of another's: whoever reads is told to nobody, and needs no network."""
    fetched = {source for reader in site.pages.values() for source in reader.fetched}

    assert fetched
    assert {source for source in fetched if urlsplit(source).scheme or source.startswith("//")} == set()


def test_the_navigation_reaches_every_page(site: Site) -> None:
    """From the first page, by one click."""
    first = site.folder / "index.html"
    reached = {(first.parent / unquote(urlsplit(link).path)).resolve() for link in site.pages[first].links}
    pages = {site.folder / page.relative_to(DOCS).with_suffix(".html") for page in DOCS.rglob("*.md")}

    assert {str(page.relative_to(site.folder)) for page in pages - reached - {first}} == set()


async def test_it_is_searched_without_a_server(site: Site) -> None:
    """Opened as a file; no network is there to help."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(**chromium())
        try:
            page = await browser.new_page(viewport={"width": 1300, "height": 820})
            await page.context.set_offline(offline=True)
            await page.goto(f"{(site.folder / 'index.html').as_uri()}?q=restore")
            found = page.locator(".md-search-result__link")
            await found.first.wait_for()
            links = [await each.get_attribute("href") or "" for each in await found.all()]
        finally:
            await browser.close()

    assert any("run/backups.html" in link for link in links)


# ------------------------------------------------------------------ README


def readme_links() -> Iterator[str]:
    yield from re.findall(r"\]\(([^)\s]+)\)", README.read_text("utf-8"))


def test_readme_is_read_in_two_minutes() -> None:
    """It is short, and not by lines that never end."""
    lines = README.read_text("utf-8").splitlines()

    assert len(lines) <= README_LINES_MAX
    assert [line for line in lines if len(line) > 120 and not line.startswith(("|", "!["))] == []
    assert len(" ".join(lines).split()) < 1_200


def test_every_link_of_readme_leads_somewhere(site: Site) -> None:
    """Files of the checkout, and places within pages of the documentation."""
    broken = [link for link in readme_links() if _is_broken(link, site)]

    assert len(list(readme_links())) > 20
    assert broken == []


def _is_broken(link: str, site: Site) -> bool:
    parts = urlsplit(link)
    if parts.scheme:
        return False
    if not (ROOT / parts.path).is_file():
        return True
    if not parts.fragment:
        return False
    page = site.folder / Path(parts.path).with_suffix(".html").relative_to("docs")
    return parts.fragment not in site.pages[page].anchors
