"""Models by their hub id: what is downloaded, how far it is, and what is said when it fails. A small hub runs here."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from huggingface_hub import errors

from engine.checkpoints import hub
from tests.kit.tiny import build

COMMIT = "0123456789abcdef0123456789abcdef01234567"


class HubHandler(BaseHTTPRequestHandler):
    """As much of the hub's HTTP interface as downloading a snapshot needs."""

    folder: Path
    asked: list[str]
    lies: dict[str, str]
    """Names of files -> wrong SHA-256 sums that are told of them, once."""

    def do_HEAD(self) -> None:
        self.answer(with_body=False)

    def do_GET(self) -> None:
        self.answer(with_body=True)

    def answer(self, *, with_body: bool) -> None:
        path = self.path.split("?")[0]
        if "/revision/" in path and not path.endswith(("/main", "/v1.0", COMMIT)):
            self.send(404, b"{}", with_body, error="RevisionNotFound")
        elif path.startswith("/api/models/org/tiny"):
            self.send(200, json.dumps(self.listing(path)).encode(), with_body)
        elif path.startswith(("/org/tiny/resolve/main/", f"/org/tiny/resolve/{COMMIT}/")):
            name = path.split("/", 5)[5]
            if with_body:
                self.asked.append(name)
            self.send(200, (self.folder / name).read_bytes(), with_body)
        else:
            self.send(401 if "locked" in path else 404, b"{}", with_body, error="RepoNotFound")

    def listing(self, path: str) -> Any:
        files = [file for file in sorted(self.folder.rglob("*")) if file.is_file()]
        if "/tree/" in path:
            return [
                {
                    "type": "file",
                    "path": str(file.relative_to(self.folder)),
                    "size": file.stat().st_size,
                    "oid": "0" * 40,
                }
                for file in files
            ]
        names = [
            {"rfilename": str(file.relative_to(self.folder)), "size": file.stat().st_size, **self.lfs(file)}
            for file in files
        ]
        return {
            "id": "org/tiny",
            "modelId": "org/tiny",
            "sha": COMMIT,
            "siblings": names,
            "private": False,
            "tags": [],
        }

    def lfs(self, file: Path) -> dict[str, Any]:
        """What the hub tells of large files alone."""
        if file.suffix != ".safetensors":
            return {}
        content = file.read_bytes()
        digest = self.lies.pop(file.name, None) or hashlib.sha256(content).hexdigest()
        return {"lfs": {"sha256": digest, "size": len(content), "pointerSize": 130}}

    def send(self, status: int, body: bytes, with_body: bool, error: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "application/json")
        self.send_header("ETag", f'"{hashlib.sha256(body).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        if error:
            self.send_header("X-Error-Code", error)
        self.end_headers()
        if with_body:
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Quiet."""


@pytest.fixture
def hub_server(copy: Path) -> Iterator[tuple[str, list[str]]]:
    """The address of a hub that has one model, org/tiny, and the list of files asked of it."""
    (copy / "unet" / "diffusion_pytorch_model.bin").write_bytes(b"pickle")
    (copy / "tiny.ckpt").write_bytes(b"pickle")
    (copy / "README.md").write_text("hello")
    with serving(copy) as served:
        yield served


@contextmanager
def serving(folder: Path, lies: dict[str, str] | None = None) -> Iterator[tuple[str, list[str]]]:
    handler = type("Handler", (HubHandler,), {"folder": folder, "asked": [], "lies": lies or {}})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", handler.asked
    server.shutdown()
    thread.join()
    server.server_close()


def in_new_process(code: str, cache: Path, endpoint: str) -> str:
    """huggingface_hub reads its address when it is imported."""
    env = {**os.environ, "HF_ENDPOINT": endpoint, "HF_HUB_CACHE": str(cache), "HF_HUB_DISABLE_XET": "1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=env, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.strip()


def test_a_download_takes_what_it_needs_and_tells_its_progress(
    hub_server: tuple[str, list[str]], tmp_path: Path
) -> None:
    """Configurations, tokenizer and safetensors come, pickles and read-me files don't, and the share of bytes is told."""
    address, asked = hub_server
    code = (
        "from engine.checkpoints import hub; told = [];"
        "folder = hub.fetch('org/tiny', offline=False, prefer_fp16=True, progress=told.append);"
        "from engine.checkpoints.folder import check; check(folder, prefer_fp16=True);"
        "assert folder == hub.cached('org/tiny'), (folder, hub.cached('org/tiny'));"
        "numbers = [share for share in told if share is not None];"
        "assert numbers and all(0 <= share <= 1 for share in numbers), told;"
        "print(len(list(folder.rglob('*.safetensors'))))"
    )
    assert in_new_process(code, tmp_path / "hub", address) == "3"
    assert "model_index.json" in asked
    assert not [name for name in asked if name.endswith((".bin", ".ckpt", ".md"))]


def test_the_share_that_came_never_gets_smaller(hub_server: tuple[str, list[str]], tmp_path: Path) -> None:
    """It is that of all bytes that have to come, not of the files that were begun; a second try counts what is missing alone."""
    code = (
        "from engine.checkpoints import hub; told = []; hub._PROGRESS_EVERY_S = 0.0\n"
        "def fetch():\n"
        "    told.clear()\n"
        "    return hub.fetch('org/tiny', offline=False, prefer_fp16=True, progress=told.append)\n"
        "folder = fetch()\n"
        "assert told[0] < 0.5 and told[-1] == 1.0 and told == sorted(set(told)), told\n"
        "for name in ('unet', 'vae'):\n"
        "    for file in (folder / name).glob('*.safetensors'):\n"
        "        file.resolve().unlink(), file.unlink()\n"
        "fetch()\n"
        "print(told[-1], told == sorted(set(told)))\n"
    )
    assert in_new_process(code, tmp_path / "hub", hub_server[0]) == "1.0 True"


def test_a_checker_tells_its_download_and_is_found_again_without_the_hub(tmp_path: Path) -> None:
    """Signs of life while it comes, so that the engine is not taken for hung; once here a start asks the hub for nothing."""
    folder = build(tmp_path / "model", safety="passes")
    code = (
        "from engine.checkpoints import checkers, hub; hub._PROGRESS_EVERY_S = 0.0; told = []\n"
        "from engine.contract import EngineSettings\n"
        "settings = EngineSettings(model='/nowhere', spool='/nowhere', checker='org/tiny')\n"
        "found = checkers.find(settings, told.append)\n"
        "assert (found.network / 'model.safetensors').is_file()\n"
        "print(told[:1], told[-1:])"
    )
    with serving(folder) as (address, asked):
        assert in_new_process(code, tmp_path / "hub", address) == "[None] [1.0]"
        assert "safety_checker/model.safetensors" in asked
        assert not [name for name in asked if name.startswith(("unet/", "vae/"))]
        asked.clear()
        assert in_new_process(code, tmp_path / "hub", address) == "[] []"
        assert not asked
    assert in_new_process(code, tmp_path / "hub", "http://127.0.0.1:9") == "[] []"


def test_an_unknown_model_is_described_by_its_small_files(
    hub_server: tuple[str, list[str]], tmp_path: Path
) -> None:
    """For a model nobody knows only JSON files are fetched before its weights."""
    address, asked = hub_server
    code = (
        "from engine.checkpoints.describe import describe; from engine.contract import EngineSettings;"
        "from engine.checkpoints.source import Source;"
        "info = describe(Source.of('org/tiny'), EngineSettings(model='org/tiny', spool='x')); print(info.id, info.width)"
    )
    assert in_new_process(code, tmp_path / "hub", address) == "org/tiny 128"
    assert asked
    assert all(name.endswith(".json") for name in asked)


def test_a_model_without_a_family_of_its_own(tmp_path: Path) -> None:
    """All components that its pipeline names are fetched, whatever they are called, and found again without a hub."""
    from tests.kit.tiny_any import build_flux

    folder = build_flux(tmp_path / "flux")
    (folder / "transformer" / "diffusion_pytorch_model.bin").write_bytes(b"pickle")
    (folder / "flux.safetensors").write_bytes(b"all in one file")
    code = (
        "from engine.checkpoints import describe; from engine.loading import load; from engine.contract import EngineSettings;"
        "from engine.checkpoints.source import Source;"
        "settings = EngineSettings(model='org/tiny', spool='x', hub_offline=False);"
        "info = describe.describe(Source.of(settings.model), settings);"
        "folder = load._locate(Source.of(settings.model), settings, False, lambda stage, share: None);"
        "from engine.checkpoints.folder import check; check(folder, prefer_fp16=False);"
        "print(info.family, len(list(folder.rglob('*.safetensors'))))"
    )
    with serving(folder) as (address, asked):
        assert in_new_process(code, tmp_path / "hub", address) == "any 4"
    assert not [name for name in asked if name.endswith(".bin") or ("/" not in name and "safe" in name)]
    offline = code.replace("hub_offline=False", "hub_offline=True")
    assert in_new_process(offline, tmp_path / "hub", "http://127.0.0.1:9") == "any 4"


@pytest.mark.parametrize(
    ("model", "words"),
    [("org/nothing", "The hub has no model org/nothing"), ("org/locked", "The hub has no model org/locked")],
)
def test_refusals_are_sentences(
    hub_server: tuple[str, list[str]], tmp_path: Path, model: str, words: str
) -> None:
    """What the hub does not have or does not give is said in a sentence."""
    code = (
        "from engine.checkpoints import hub; from engine.errors import BrokenModel\n"
        "try:\n"
        f"    hub.fetch({model!r}, offline=False, prefer_fp16=False, progress=print)\n"
        "except BrokenModel as error:\n"
        "    print(error)\n"
    )
    assert words in in_new_process(code, tmp_path / "hub", hub_server[0])


@pytest.mark.parametrize("address", ["http://127.0.0.1:9", "http://no-such-host.invalid"])
def test_no_connection_is_a_sentence(tmp_path: Path, address: str) -> None:
    """A hub that can't be reached, or not even found by name, is a passing error that says to check the connection."""
    code = (
        "from engine.checkpoints import hub\n"
        "try:\n"
        "    hub.fetch('org/tiny', offline=False, prefer_fp16=False, progress=print)\n"
        "except hub.Unreachable as error:\n"
        "    print(error)\n"
    )
    answer = in_new_process(code, tmp_path / "hub", address)
    assert answer.startswith("org/tiny could not be downloaded (")
    assert answer.endswith("check the connection, then start again.")


def test_a_pinned_revision(hub_server: tuple[str, list[str]], tmp_path: Path) -> None:
    """A tag or a commit is fetched and found again as such, the newest is not; one that does not exist is named."""
    code = (
        "from engine.checkpoints import describe, hub; from engine.checkpoints.folder import check\n"
        "from engine.checkpoints.source import Source\n"
        "from engine.contract import EngineSettings; from engine.device.fingerprint import digest\n"
        "from engine.errors import BrokenModel; from engine.loading import load\n"
        f"for pinned in ('org/tiny@v1.0', 'org/tiny@{COMMIT}'):\n"
        "    settings = EngineSettings(model=pinned, spool='x')\n"
        "    assert describe.describe(Source.of(settings.model), settings).id == 'org/tiny'\n"
        "    folder = load._locate(Source.of(settings.model), settings, False, lambda stage, share: None)\n"
        "    check(folder, prefer_fp16=False)\n"
        "    assert folder == hub.cached(pinned), (folder, hub.cached(pinned))\n"
        "    assert len(digest(Source.of(settings.model))) == 12\n"
        "assert hub.cached('org/tiny') is None\n"
        "try:\n"
        "    describe.describe(Source.of('org/tiny@nope'), settings)\n"
        "except BrokenModel as error:\n"
        "    print(error)\n"
    )
    assert in_new_process(code, tmp_path / "hub", hub_server[0]) == (
        "The hub's model org/tiny has no branch, tag or commit “nope”: correct what stands behind the @."
    )


def http_error(status: int, kind: type[errors.HfHubHTTPError] = errors.HfHubHTTPError) -> Exception:
    response: Any = SimpleNamespace(status_code=status, headers={}, request=None)
    return kind("no", response=response)


@pytest.mark.parametrize(
    ("error", "passing"),
    [
        (http_error(500), True),
        (http_error(503), True),
        (http_error(429), True),
        (http_error(403), False),
        (http_error(404, errors.RepositoryNotFoundError), False),
        (http_error(403, errors.GatedRepoError), False),
        (ConnectionResetError(), True),
        (TimeoutError(), True),
        (errors.OfflineModeIsEnabled("offline"), False),
        (errors.LocalEntryNotFoundError("not here"), False),
        (OSError(28, "No space left on device"), False),
        (ValueError(), False),
    ],
)
def test_which_errors_pass(error: Exception, passing: bool) -> None:
    """Lost connections, time limits and a busy hub pass; refusals, offline mode and a full disk stay, causes included."""
    assert hub.is_passing(error) == passing
    outer = errors.LocalEntryNotFoundError("not here")
    outer.__cause__ = error
    assert hub.is_passing(outer) == passing


FILES = [
    "model_index.json",
    "README.md",
    "v1-5-pruned.ckpt",
    "v1-5-pruned.safetensors",
    "tokenizer/vocab.json",
    "tokenizer/merges.txt",
    "unet/config.json",
    "unet/diffusion_pytorch_model.bin",
    "unet/diffusion_pytorch_model.safetensors",
    "unet/diffusion_pytorch_model.fp16.safetensors",
    "unet/diffusion_pytorch_model.non_ema.safetensors",
    "vae/diffusion_pytorch_model-00001-of-00002.safetensors",
    "vae/diffusion_pytorch_model-00002-of-00002.safetensors",
    "text_encoder/model.fp16.safetensors",
    "text_encoder/flax_model.msgpack",
]


def test_what_is_wanted() -> None:
    """One variant of each component's weights: the preferred where there is a choice, else what there is."""
    texts = {"model_index.json", "tokenizer/vocab.json", "tokenizer/merges.txt", "unet/config.json"}
    both = (
        {name for name in FILES if name.startswith("vae/")} | {"text_encoder/model.fp16.safetensors"} | texts
    )
    half, full = (set(hub.wanted(FILES, prefer_fp16=choice)) for choice in (True, False))
    assert half == both | {"unet/diffusion_pytorch_model.fp16.safetensors"}
    assert full == both | {"unet/diffusion_pytorch_model.safetensors"}


def test_ids() -> None:
    """A hub id has two parts and perhaps a revision; the id of Stable Diffusion 1.5 that no longer exists leads to the one that does."""
    assert hub.is_id("stabilityai/sd-turbo")
    assert not any(hub.is_id(text) for text in ("/models/sd", "./sd", "sd", "a/b/c", "~/sd", "a b/c", ""))
    assert all(hub.is_id(f"a/b@{revision}") for revision in ("v1.0", "refs/pr/7", "0123abc", "fp16"))
    assert not any(
        hub.is_id(text) for text in ("a/b@", "a@b/c", "a/b@..", "a/b@x/../../y", "a/b@/x", "a/b@v 1")
    )
    assert hub.split("runwayml/stable-diffusion-v1-5@fp16") == (
        "stable-diffusion-v1-5/stable-diffusion-v1-5",
        "fp16",
    )
    assert hub.current_id("runwayml/stable-diffusion-v1-5") == "stable-diffusion-v1-5/stable-diffusion-v1-5"
