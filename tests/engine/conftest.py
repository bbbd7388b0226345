"""Fixtures of the engine's tests: the starter model, and a tiny random one built once per test process."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

import pytest

from engine import process
from engine.contract import STARTER, EngineSettings, FakeSettings, ModelInfo
from engine.process import EngineProcess
from tests.kit.engines import Bench, House, described

if TYPE_CHECKING:
    from engine.families.sd import SdFamily
    from engine.families.sdxl import SdxlFamily


@pytest.fixture(autouse=True)
def environment() -> Iterator[None]:
    """An engine has a process of its own, and changes what that inherits: in this one it is as it was afterwards."""
    with patch.dict(os.environ):
        yield


@pytest.fixture(autouse=True)
def seeded() -> None:
    """Random numbers are the same whichever tests ran before in this process."""
    if (torch := sys.modules.get("torch")) is not None:
        torch.manual_seed(0)


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny random model's folder. Copy it before changing it."""
    from tests.kit.tiny import build

    return build(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture
def copy(tiny: Path, tmp_path: Path) -> Path:
    """A copy of the tiny model that a test may break."""
    return Path(shutil.copytree(tiny, tmp_path / "tiny"))


@pytest.fixture(scope="session")
def load_pipe() -> Callable[[Path], Any]:
    """Loads a folder as every tutorial does, with the engine's own thread count."""

    def load(folder: Path) -> Any:
        import diffusers
        import torch

        from engine.device import fingerprint

        diffusers.utils.logging.set_verbosity_error()
        settings = EngineSettings(model=str(folder), spool="", hub_offline=True)
        fingerprint.pin(described(settings))
        pipe = diffusers.DiffusionPipeline.from_pretrained(folder, use_safetensors=True, dtype=torch.float32)
        pipe.set_progress_bar_config(disable=True)
        return pipe

    return load


@pytest.fixture(scope="session")
def pipe(tiny: Path, load_pipe: Callable[[Path], Any]) -> Iterator[Any]:
    """What pictures are compared with: whoever teaches a pipe something, such as a LoRA, loads one of their own."""
    loaded = load_pipe(tiny)
    before = _layers(loaded)
    yield loaded
    assert _layers(loaded) == before


def _layers(pipe: Any) -> list[tuple[str, type]]:
    parts = (pipe.unet, pipe.vae, pipe.text_encoder)
    return [(name, type(module)) for part in parts for name, module in part.named_modules()]


@pytest.fixture(scope="session")
def model(tiny: Path) -> ModelInfo:

    return described(EngineSettings(model=str(tiny), spool="/nowhere"))


@pytest.fixture(scope="session")
def tiny_xl(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny random SDXL model's folder. Copy it before changing it."""
    from tests.kit.tiny import build_xl

    return build_xl(tmp_path_factory.mktemp("models") / "tiny-xl")


@pytest.fixture(scope="session")
def pipe_xl(tiny_xl: Path, load_pipe: Callable[[Path], Any]) -> Any:
    return load_pipe(tiny_xl)


@pytest.fixture(scope="session")
def model_xl(tiny_xl: Path) -> ModelInfo:

    return described(EngineSettings(model=str(tiny_xl), spool="/nowhere"))


@pytest.fixture(scope="session")
def family(pipe: Any) -> SdFamily:
    """For tests that only draw with it."""
    from engine.families.sd import SdFamily

    return SdFamily(pipe)


@pytest.fixture(scope="session")
def family_xl(pipe_xl: Any) -> SdxlFamily:
    """For tests that only draw with it."""
    from engine.families.sdxl import SdxlFamily

    return SdxlFamily(pipe_xl)


@pytest.fixture(scope="session")
def starter(load_pipe: Callable[[Path], Any]) -> Any:
    """The pipeline of the model that ships with Easel."""
    from engine.checkpoints.source import STARTER_FOLDER

    return load_pipe(STARTER_FOLDER)


@pytest.fixture(scope="session")
def starter_model() -> ModelInfo:

    return described(EngineSettings(model=STARTER, spool="/nowhere"))


@pytest.fixture
def bench(pipe: Any, model: ModelInfo, tmp_path: Path) -> Bench:
    """The real family in a worker of this process."""
    from engine.families.sd import SdFamily

    return Bench(SdFamily(pipe), model, tmp_path)


@pytest.fixture
def fake_bench(tmp_path: Path) -> Bench:
    from engine.fake import MODEL, FakeFamily

    return Bench(FakeFamily(FakeSettings()), MODEL, tmp_path)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., EngineProcess]]:
    """Starts real engine processes and leaves none behind."""
    started: list[EngineProcess] = []

    def start(**settings: Any) -> EngineProcess:
        settings.setdefault("spool", str(tmp_path / "spool"))
        started.append(process.start(EngineSettings(**settings)))
        return started[-1]

    yield start
    for engine in started:
        engine.close()


@pytest.fixture(scope="session")
def adapters(tmp_path_factory: pytest.TempPathFactory, pipe: Any) -> Path:
    """Embeddings in each format, a LoRA, and files that fit nothing; they fit the tiny models. Change nothing here."""
    from tests.kit.adapters import write_many

    return write_many(tmp_path_factory.mktemp("adapters"), pipe)


@pytest.fixture(scope="session")
def house(
    tiny: Path, tiny_xl: Path, adapters: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[House]:
    """One real process for all tests of `xdist_group("house")`: importing torch takes it longer than all they ask."""
    from tests.kit.tiny import build
    from tests.kit.tiny_any import build_flux
    from tests.kit.tiny_upscalers import build as build_upscaler

    folder = Path(shutil.copytree(adapters, tmp_path_factory.mktemp("house") / "models"))
    checkpoints, upscalers = folder / "checkpoints", folder / "upscalers"
    build(checkpoints / "other", seed=7)
    build(checkpoints / "filling", fills_masks=True)
    shutil.copytree(tiny, checkpoints / "broken")
    (checkpoints / "broken" / "unet" / "config.json").unlink()
    shutil.copytree(tiny_xl, checkpoints / "xl")
    build_flux(checkpoints / "flux")
    build_upscaler(upscalers / "4x-compact.safetensors", scale=4)
    (upscalers / "old.pth").write_bytes(b"\x80")
    build_upscaler(upscalers / "tiny.safetensors")  # as another model is called
    house = House(tiny, folder, tmp_path_factory.mktemp("house") / "spool")
    yield house
    house.process.close()


@pytest.fixture
def gone() -> Callable[[int], bool]:
    """Whether a process has ended (a zombie nobody reaped counts as ended)."""

    def gone(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
        except (FileNotFoundError, ProcessLookupError):
            return True

    return gone
