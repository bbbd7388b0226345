"""`make dist`: wheel and sdist of what git knows, the same bytes from the same commit, looked through before they are kept.

Where git knows nothing (an unpacked sdist) they are of all that lies there.

Needs setuptools of this Python's environment and no network. `python .ci/dist.py [FOLDER]` writes to dist/ or that folder.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from pathlib import Path

from packaging.metadata import Metadata
from setuptools import build_meta

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("bot", "engine", "workshop", "easel.py", "pyproject.toml", "README.md", "LICENSE")


def main(folder: Path) -> None:
    committed = _git("log", "-1", "--format=%ct").strip()
    os.environ.setdefault("SOURCE_DATE_EPOCH", committed or str(int((ROOT / "LICENSE").stat().st_mtime)))
    os.umask(0o022)
    with tempfile.TemporaryDirectory(prefix="easel-dist-") as name:
        work = Path(name)
        _copy(work / "checkout")
        sdist = work / _quietly(work / "checkout", "build_sdist", work)
        _repack(sdist)
        with tarfile.open(sdist) as packed:
            packed.extractall(work / "unpacked", filter="data")
        wheel = work / _quietly(next((work / "unpacked").iterdir()), "build_wheel", work)
        _check(wheel, work / "checkout")
        folder.mkdir(parents=True, exist_ok=True)
        for made in (wheel, sdist):
            shutil.copyfile(made, folder / made.name)
            print(f"{folder / made.name}: {made.stat().st_size / 1e6:.1f} MB")


def _git(*words: str) -> str:
    """What git says; nothing where it knows nothing of this folder. Whose the folder is makes no difference."""
    command = ["git", "-c", f"safe.directory={ROOT}", *words]
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return ""


def _names() -> list[str]:
    known = _git("ls-files", "-z", "--", *SOURCES)
    if known:
        return [name for name in known.split("\0") if name]
    lying = (file for name in SOURCES for file in [ROOT / name, *(ROOT / name).rglob("*")])
    return [str(file.relative_to(ROOT)) for file in lying if "__pycache__" not in file.parts]


def _copy(to: Path) -> None:
    """As it lies in the checkout, for whoever builds, with everybody's rights."""
    for name in _names():
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, to / name)


def _quietly(source: Path, hook: str, folder: Path) -> str:
    """The name of the file that setuptools made of `source`."""
    told = io.StringIO()
    with contextlib.chdir(source), contextlib.redirect_stdout(told), contextlib.redirect_stderr(told):
        try:
            return getattr(build_meta, hook)(str(folder))
        except BaseException:
            sys.__stderr__.write(told.getvalue())  # pyright: ignore[reportOptionalMemberAccess]
            raise


def _repack(sdist: Path) -> None:
    """Without what tells who packed it, and when."""
    when = int(os.environ["SOURCE_DATE_EPOCH"])
    with tarfile.open(sdist) as packed:
        files = sorted((each for each in packed if each.isfile()), key=lambda each: each.name)
        contents = [(each.name, packed.extractfile(each)) for each in files]
        blank = io.BytesIO()
        with tarfile.open(fileobj=blank, mode="w", format=tarfile.PAX_FORMAT) as anew:
            for name, content in contents:
                assert content is not None
                data = content.read()
                entry = tarfile.TarInfo(name)
                entry.size, entry.mtime, entry.mode = len(data), when, 0o644
                anew.addfile(entry, io.BytesIO(data))
    sdist.write_bytes(gzip.compress(blank.getvalue(), mtime=when))


def _check(wheel: Path, checkout: Path) -> None:
    """Its metadata as PyPI reads them, and that it holds all the program needs and nothing else."""
    with zipfile.ZipFile(wheel) as packed:
        held = {name for name in packed.namelist() if ".dist-info/" not in name}
        (about,) = (name for name in packed.namelist() if name.endswith(".dist-info/METADATA"))
        metadata = Metadata.from_email(packed.read(about), validate=True)
    assert wheel.name.startswith(f"{metadata.name.replace('-', '_')}-{metadata.version}-py3-none-any")
    assert metadata.description, "README.md is what PyPI shows"
    wanted = {
        path.relative_to(checkout).as_posix()
        for path in checkout.rglob("*")
        if path.is_file() and path.relative_to(checkout).parts[0] in SOURCES[:4]
    }
    if held != wanted:
        sys.exit(f"The wheel lacks {sorted(wanted - held)} and has {sorted(held - wanted)} too many.")


if __name__ == "__main__":
    main(Path(sys.argv[1]).resolve() if len(sys.argv) > 1 else ROOT / "dist")
