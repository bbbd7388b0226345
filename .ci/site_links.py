"""A hook of mkdocs: what a page links to outside of docs/ is there for who reads it in the checkout; the site names it alone."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import Any

_log = logging.getLogger("mkdocs.hooks.site_links")
_OUTWARD = re.compile(r"(?<!!)\[([^\]]+)\]\(((?:\.\./)+[^)\s]*)\)")


def on_page_markdown(markdown: str, *, page: Any, config: Any, **_: Any) -> str:
    """A file that is not in the checkout either is a warning, which ends a strict build."""
    docs, place = Path(config.docs_dir).resolve(), Path(page.file.abs_src_path).resolve().parent

    def named(link: re.Match[str]) -> str:
        target = (place / link[2].partition("#")[0]).resolve()
        if target.is_relative_to(docs):
            return link[0]
        if not target.exists():
            _log.warning(
                "Doc file '%s' contains a link '%s', which is not there.", page.file.src_uri, link[2]
            )
        return link[1]

    return _OUTWARD.sub(named, markdown)
