"""Models by their id on the Hugging Face hub: where the cache keeps them, and how they get there; knows no torch."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Mapping
from fnmatch import fnmatchcase
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.checkpoints.folder import WEIGHTS
from engine.errors import BrokenModel, Unreachable, chain

if TYPE_CHECKING:
    from huggingface_hub.hf_api import RepoSibling

MOVED = {"runwayml/stable-diffusion-v1-5": "stable-diffusion-v1-5/stable-diffusion-v1-5"}
"""Ids that many texts use and the hub no longer has."""
_ID = re.compile(r"[\w][\w.-]*/[\w][\w.-]*")
_REVISION = re.compile(r"(?!.*\.\.)\w[\w./+-]*")
_MAIN = "main"
_PROGRESS_EVERY_S = 0.2
_PASSING = {
    "ConnectionError",
    "TimeoutError",
    "gaierror",
    "NetworkError",
    "ProxyError",
    "RemoteProtocolError",
    "TimeoutException",
}
"""Classes, Python's and those of the hub's HTTP library, by name: which library that is has changed before."""
_PASSING_STATUS = (408, 429)

Progress = Callable[[float | None], None]
"""Told the share of bytes that has arrived, None while it is unknown."""


def is_id(model: str) -> bool:
    """Whether it is written like an id of the hub, "owner/name" or "owner/name@revision"."""
    name, pinned, revision = model.partition("@")
    return _ID.fullmatch(name) is not None and (not pinned or _REVISION.fullmatch(revision) is not None)


def current_id(model: str) -> str:
    """The id alone, by today's name."""
    return split(model)[0]


def split(model: str) -> tuple[str, str]:
    """(today's id, revision) of an id that may name a branch, a tag or a commit behind an @."""
    name, _, revision = model.partition("@")
    return MOVED.get(name, name), revision or _MAIN


def cached(model: str) -> Path | None:
    """The folder of the snapshot in the local cache, None where there is none."""
    name, revision = split(model)
    repository = _cache() / f"models--{name.replace('/', '--')}"
    try:
        commit = (repository / "refs" / revision).read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        commit = revision  # a commit's own number stands nowhere else
    folder = repository / "snapshots" / commit
    return folder if commit and folder.is_dir() else None


def _cache() -> Path:
    """Where huggingface_hub keeps its files, by the same variables in the same order; as they are now, not when it was imported."""
    home = Path(os.environ.get("XDG_CACHE_HOME", "~/.cache"), "huggingface")
    usual = Path(_expanded(os.environ.get("HF_HOME", str(home))), "hub")
    older = os.environ.get("HUGGINGFACE_HUB_CACHE", str(usual))
    return Path(_expanded(os.environ.get("HF_HUB_CACHE", older)))


def _expanded(path: str) -> str:
    return os.path.expandvars(os.path.expanduser(path))  # noqa: PTH111 - Path's own raises for a user who is none


def fetch_configs(model: str, *, offline: bool, tokenizers: bool = False, into: Path | None = None) -> Path:
    """The small JSON files alone, and what else tokenizers are made of where they are wanted."""
    patterns = ["model_index.json", "*/*.json", *(["tokenizer*/*.txt"] if tokenizers else [])]
    return _fetch(model, patterns, offline=offline, progress=lambda _: None, into=into)


def fetch_checker(model: str, *, offline: bool, progress: Progress) -> Path:
    """A safety checker alone, and what prepares pictures for it; of a model that has one, no more of that."""
    parts = ("safety_checker/config.json", "safety_checker/model.safetensors", "feature_extractor/*.json")
    patterns = [*parts, "config.json", "preprocessor_config.json", "model.safetensors"]
    total = 0
    if not offline:
        sizes = _sizes(model)
        files = [name for name in sizes if any(fnmatchcase(name, pattern) for pattern in patterns)]
        total = _to_come(sizes, files, cached(model))
    return _fetch(model, patterns, offline=offline, progress=progress, total=total)


def fetch(
    model: str,
    *,
    offline: bool,
    prefer_fp16: bool,
    progress: Progress,
    weights: Mapping[str, str] = WEIGHTS,
    into: Path | None = None,
) -> Path:
    """Everything that drawing needs and nothing else: configurations, tokenizer, one variant of the weights.

    It goes into the hub's cache, or into the folder `into`; what is there of an earlier try is not fetched again.
    """
    if offline:
        return _fetch(model, ["*"], offline=True, progress=progress)
    sizes = _sizes(model)
    files = wanted(sizes, prefer_fp16=prefer_fp16, weights=weights)
    total = _to_come(sizes, files, cached(model) if into is None else into)
    return _fetch(model, files, offline=False, progress=progress, into=into, total=total)


def _to_come(sizes: Mapping[str, int], files: Iterable[str], here: Path | None) -> int:
    """Bytes of those that are not here yet."""
    return sum(sizes[name] for name in files if here is None or not (here / name).exists())


def wanted(files: Iterable[str], *, prefer_fp16: bool, weights: Mapping[str, str] = WEIGHTS) -> list[str]:
    """Which of a repository's files to download; `weights` names each component's, without what follows."""
    names = sorted(files)
    texts = [
        name
        for name in names
        if name == "model_index.json"
        or (name.count("/") == 1 and name.endswith((".json", ".txt", ".model", ".jinja")))
    ]
    stems = [f"{part}/{stem}" for part, stem in weights.items()]
    return texts + [name for stem in stems for name in _weights(names, stem, prefer_fp16)]


def _weights(names: list[str], stem: str, prefer_fp16: bool) -> list[str]:
    pattern = re.compile(rf"{re.escape(stem)}(?P<half>\.fp16)?(-\d+-of-\d+)?(?P<half2>\.fp16)?\.safetensors")
    found = {name: match for name in names if (match := pattern.fullmatch(name))}
    half = [name for name, match in found.items() if match["half"] or match["half2"]]
    full = [name for name in found if name not in half]
    return (half or full) if prefer_fp16 else (full or half)


def listing(model: str) -> dict[str, str | None]:
    """The names of a model's files on the hub -> their SHA-256, None for those that the hub keeps none of."""
    return {file.rfilename: file.lfs.sha256 if file.lfs else None for file in _files(model)}


def _sizes(model: str) -> dict[str, int]:
    """Bytes of its files, as the hub tells them."""
    return {file.rfilename: file.size or 0 for file in _files(model)}


def _files(model: str) -> list[RepoSibling]:
    """What the hub tells of a model's files."""
    import huggingface_hub

    try:
        name, revision = split(model)
        info = huggingface_hub.HfApi().model_info(name, revision=revision, files_metadata=True)
    except Exception as error:
        raise _refusal(model, error) from error
    return info.siblings or []


def _fetch(
    model: str,
    patterns: list[str],
    *,
    offline: bool,
    progress: Progress,
    into: Path | None = None,
    total: int = 0,
) -> Path:
    """`total`: bytes to come."""
    huggingface_hub: Any = import_module("huggingface_hub")
    name, revision = split(model)
    try:
        folder = huggingface_hub.snapshot_download(
            name,
            revision=revision,
            allow_patterns=patterns,
            local_files_only=offline,
            tqdm_class=_bar(progress, total),
            cache_dir=_cache(),
            local_dir=into,
        )
    except Exception as error:
        raise _refusal(model, error) from error
    return Path(folder)


def _refusal(model: str, error: Exception) -> BrokenModel:
    kind = Unreachable if is_passing(error) else BrokenModel
    return kind(_sentence(model, error))


def is_passing(error: BaseException) -> bool:
    """Whether trying again may help: no connection, a time limit, a hub that is busy or out of order."""
    from huggingface_hub import errors

    for link in chain(error):
        if isinstance(link, errors.OfflineModeIsEnabled):
            return False
        if isinstance(link, errors.HfHubHTTPError):
            status = link.response.status_code
            return status >= 500 or status in _PASSING_STATUS
        if _PASSING & {base.__name__ for base in type(link).__mro__}:
            return True
    return False


def _sentence(model: str, error: Exception) -> str:
    from huggingface_hub import errors

    match error:
        case errors.GatedRepoError():
            return (
                f"The hub gives {model} only to accounts that accepted its terms: do that, then set HF_TOKEN."
            )
        case errors.RevisionNotFoundError():
            name, revision = split(model)
            return f"The hub's model {name} has no branch, tag or commit “{revision}”: correct what stands behind the @."
        case errors.RepositoryNotFoundError():
            return f"The hub has no model {model}, or it is private: check the id, or set HF_TOKEN."
        case errors.LocalEntryNotFoundError() | errors.OfflineModeIsEnabled():
            return f"{model} is not on this machine and the hub can't be reached: connect it once, then start again."
        case OSError() if error.errno is not None and not isinstance(error, ConnectionError):
            return f"{model} could not be saved ({error.strerror}): look at the disk of the hub's cache."
        case _:
            return f"{model} could not be downloaded ({type(error).__name__}): check the connection, then start again."


def _bar(progress: Progress, total: int) -> Any:
    """A tqdm class that reports bytes instead of drawing a bar, since huggingface_hub tells its progress to one.

    Of `total`, since its own grows with each file that is begun.
    """
    from tqdm.std import tqdm

    told, told_at = 0.0, 0.0

    class Reporter(tqdm):  # pyright: ignore[reportMissingTypeArgument]  # no generics at run time
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            kwargs.pop("name", None)
            super().__init__(  # pyright: ignore[reportUnknownMemberType]
                *args, **{**kwargs, "disable": False, "leave": False}
            )

        def display(self, *_: Any, **__: Any) -> None:
            """Draws nothing."""

        def update(self, n: float | None = 1) -> bool | None:
            nonlocal told, told_at
            updated = super().update(n)
            now, share = time.monotonic(), min(1.0, self.n / total) if total else 0.0
            if self.unit == "B" and share > told and now - told_at >= _PROGRESS_EVERY_S:
                told, told_at = share, now
                progress(share)
            return updated

    return Reporter
