"""The sentences of the code, as translators get them."""

from __future__ import annotations

from pathlib import Path

import pytest
from babel.messages.catalog import Catalog
from babel.messages.frontend import CommandLineInterface
from babel.messages.pofile import read_po

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Catalog:
    """What `pybabel extract` finds, with the project's own settings."""
    file = tmp_path_factory.mktemp("catalogue") / "easel.pot"
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        CommandLineInterface().run(["pybabel", "--quiet", "extract", "-o", str(file)])
    with file.open("rb") as opened:
        return read_po(opened)
