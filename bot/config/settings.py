"""The settings that an owner can decide, section by section, validated. Knows no file, no Discord and no SQL."""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SecretStr, field_validator

from bot.limits import PAUSE_MAX_S, WEIGHT_MAX, Limits
from bot.redaction import cleaned, holds_token
from engine.contract import (
    FLAGGED_FROM,
    IMAGES_MAX,
    OPENNSFW,
    SIDE_MAX,
    SIDE_MIN,
    STARTER,
    UPSCALED_SIDE_MAX,
    Metadata,
    ModeOrAuto,
    Runtime,
    Switch,
)
from engine.pictures import inputs

PREFIX = "EASEL_"
"""What the settings' environment variables begin with."""


def make_private(folder: Path) -> None:
    """Makes a folder that only its owner can look into; one that exists stays as it is. Raises OSError."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(exist_ok=True, mode=0o700)


def expanded(path: Path | str) -> Path:
    """With ~ and ~user written out; where there is no such user it stays, as in a shell."""
    return Path(os.path.expanduser(path))  # noqa: PTH111 - Path's own raises there


class ConfigError(Exception):
    """The configuration can't be used; the text holds one line per problem, each for a person to act on."""

    def __init__(self, *problems: str, source: str | None = None) -> None:
        self.problems = tuple(map(cleaned, problems))
        count = f"{len(problems)} problems" if len(problems) > 1 else "a problem"
        head = f"Easel found {count} in {cleaned(source or 'its configuration')}:"
        super().__init__("\n".join([head, *(f"  {problem}" for problem in self.problems)]))


class WrongOption(ConfigError):
    """What was typed on the command line is wrong, not the settings."""

    def __init__(self, option: str, problem: str) -> None:
        super().__init__(problem)
        self.option = option


# ------------------------------------------------------------------ the sections


class Section(BaseModel):
    """Frozen and strict: "4" is no number, and a key nobody knows is a mistake to be told."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class DiscordSection(Section):
    token_file: Path | None = Field(default=None, strict=False, description="the path of a file")
    direct_messages: bool = False
    """Whether people may ask for pictures in direct messages with the bot."""
    _variables: Mapping[str, SecretStr] = PrivateAttr(default_factory=dict[str, SecretStr])

    def with_environment(self, environ: Mapping[str, str]) -> Self:
        """A copy that also knows DISCORD_TOKEN and DISCORD_TOKEN_FILE, without ever showing them."""
        copy = self.model_copy()
        names = ("DISCORD_TOKEN", "DISCORD_TOKEN_FILE")
        copy._variables = {
            name: SecretStr(value) for name in names if (value := environ.get(name, "").strip())
        }
        return copy

    @property
    def is_token_in_environment(self) -> bool:
        return "DISCORD_TOKEN" in self._variables

    @property
    def token_path(self) -> Path | None:
        """The file the token is read from, if it comes from a file."""
        if self.is_token_in_environment:
            return None
        if named := self._variables.get("DISCORD_TOKEN_FILE"):
            return expanded(named.get_secret_value())
        return self.token_file

    def read_token(self) -> str:
        """The bot's token; raises ConfigError with a sentence when there is none."""
        if self.is_token_in_environment:
            return _sendable(self._variables["DISCORD_TOKEN"].get_secret_value(), "DISCORD_TOKEN")
        path = self.token_path
        if path is None:
            raise ConfigError(
                "There is no Discord token: set DISCORD_TOKEN, or name a file that holds it in "
                "DISCORD_TOKEN_FILE or as token_file under [discord]."
            )
        if holds_token(str(path)):  # of the file's key `load` has told already
            raise ConfigError(
                "DISCORD_TOKEN_FILE holds a token: set that as DISCORD_TOKEN, or name a file that holds it."
            )
        try:
            token = path.read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            why = getattr(error, "strerror", None) or "it is not text"
            raise ConfigError(f"The token file {path} can't be read: {why}.") from None
        if not token:
            raise ConfigError(f"The token file {path} is empty: put the bot's token into it.")
        return _sendable(token, f"The token file {path}")


def _sendable(token: str, place: str) -> str:
    """The token, which goes out as a header; raises ConfigError where that takes no such letters, or Discord has no such tokens."""
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError(
            f"{place} holds white space or letters that no token has: copy it again, the bot's token alone."
        )
    if token.count(".") != 2:
        raise ConfigError(
            f"{place} holds no bot's token, which has three parts with dots between: copy it anew from "
            "https://discord.com/developers/applications, Bot, Reset Token."
        )
    return token


class EngineSection(Section):
    model: str = Field(
        default=STARTER,
        min_length=1,
        description=f'a model id of the hub, a local folder or .safetensors file, or "{STARTER}"',
    )
    device: str = Field(
        default="auto",
        pattern=r"^(auto|cpu|mps|cuda(:\d{1,2})?)$",
        description='"auto", "cpu", "cuda", "cuda:0", "cuda:1", … or "mps"',
    )
    fleet: Literal["local", "ray"] = "local"
    address: str | None = Field(
        default=None, description='the HOST:PORT of a Ray cluster, such as "10.0.0.2:6379"'
    )
    engines: Literal["auto", 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16] = Field(
        default="auto", description='"auto", or a whole number from 1 to 16'
    )
    slots: int = Field(default=4, ge=1, le=64)
    mode: ModeOrAuto = "auto"
    rows: Literal["auto", 2, 4, 8, 16] = "auto"
    runtime: Runtime = "auto"
    dtype: Literal["auto", "float16", "bfloat16", "float32"] = "auto"
    channels_last: Switch = "auto"
    fused_qkv: Switch = "auto"
    profile: Literal["auto", "full", "balanced", "low"] = "auto"
    checker: str | None = Field(
        default=None,
        min_length=1,
        description=f'a model id of the hub, a local folder, an .onnx file, or "{OPENNSFW}"',
    )
    flagged_from: float = Field(default=FLAGGED_FROM, ge=0.01, le=1.0)
    offline: bool = False
    unload_after_s: int = Field(default=0, ge=0, le=604_800)

    @field_validator("address")
    @classmethod
    def _is_address(cls, text: str | None) -> str | None:
        if text is not None:
            Address.read(text)
        return text


class ModelsSection(Section):
    dir: Path | None = Field(default=None, strict=False, description="the path of a folder")
    memory_gb: int = Field(default=0, ge=0, le=10_000)

    @property
    def bytes_max(self) -> int | None:
        return self.memory_gb << 30 or None


class WildcardsSection(Section):
    dir: Path | None = Field(default=None, strict=False, description="the path of a folder")


CREDITS_MAX = 1_000_000


class LimitsSection(Section):
    """What everyone may use until an admin sets something else; the names are those of `bot.job.Limits`."""

    credits_per_day: int = Field(default=100, ge=0, le=CREDITS_MAX)
    credits_per_night: int = Field(default=100, ge=0, le=CREDITS_MAX)
    pending: int = Field(default=3, ge=1, le=1000)
    max_pixels: int = Field(default=1024 * 1024, ge=SIDE_MIN**2, le=UPSCALED_SIDE_MAX**2)
    max_steps: int = Field(default=60, ge=1, le=150)
    max_images: int = Field(default=4, ge=1, le=IMAGES_MAX)
    weight: int = Field(default=1, ge=1, le=WEIGHT_MAX)
    seconds_between: int = Field(default=0, ge=0, le=PAUSE_MAX_S)
    trainings: int = Field(default=0, ge=0, le=1000)
    training_pictures: int = Field(default=30, ge=2, le=1000)
    training_steps: int = Field(default=1000, ge=1, le=100_000)
    training_mb: int = Field(default=100, ge=1, le=100_000)

    def to_limits(self) -> Limits:
        return Limits(**self.model_dump())


class CeilingsSection(LimitsSection):
    """What no admin of a server can exceed: it is the owner's GPU. A pause can't be shorter."""

    credits_per_day: int = Field(default=10_000, ge=0, le=CREDITS_MAX)
    credits_per_night: int = Field(default=10_000, ge=0, le=CREDITS_MAX)
    pending: int = Field(default=50, ge=1, le=1000)
    max_pixels: int = Field(default=SIDE_MAX**2, ge=SIDE_MIN**2, le=UPSCALED_SIDE_MAX**2)
    max_steps: int = Field(default=150, ge=1, le=150)
    max_images: int = Field(default=10, ge=1, le=IMAGES_MAX)
    weight: int = Field(default=WEIGHT_MAX, ge=1, le=WEIGHT_MAX)
    trainings: int = Field(default=10, ge=0, le=1000)
    training_pictures: int = Field(default=200, ge=2, le=1000)
    training_steps: int = Field(default=5000, ge=1, le=100_000)
    training_mb: int = Field(default=1000, ge=1, le=100_000)


class QueueSection(Section):
    max: int = Field(default=200, ge=1, le=100_000)
    drain_s: float = Field(default=8.0, ge=0, le=600)


class ServerSection(Section):
    time_zone: str = Field(default="UTC", description='a time zone such as "Europe/Berlin"')

    @field_validator("time_zone")
    @classmethod
    def _is_known(cls, name: str) -> str:
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            near = difflib.get_close_matches(name, sorted(available_timezones()), 1)
            raise ValueError(f"did you mean {near[0]!r}?" if near else "") from None
        return name


class DataSection(Section):
    dir: Path | None = Field(default=None, strict=False, description="the path of a folder")
    retention_days: int = Field(default=30, ge=0, le=36_500)
    withheld_days: int = Field(default=7, ge=1, le=36_500)
    prompts_days: int = Field(default=0, ge=0, le=36_500)
    searches_days: int = Field(default=30, ge=0, le=36_500)
    audit_days: int = Field(default=0, ge=0, le=36_500)
    free_mb: int = Field(default=512, ge=0, le=1_000_000)


class ImagesInSection(Section):
    max_mb: int = Field(default=10, ge=1, le=inputs.BYTES_MAX >> 20)

    @property
    def bytes_max(self) -> int:
        return self.max_mb << 20


class BackupSection(Section):
    every_hours: int = Field(default=24, ge=0, le=8760)
    keep: int = Field(default=7, ge=1, le=1000)
    dir: Path | None = Field(default=None, strict=False, description="the path of a folder")


class ProgressSection(Section):
    interval_s: float = Field(default=2.0, ge=0.2, le=60.0)


class PreviewSection(Section):
    every: int = Field(default=5, ge=0, le=150)
    model: Path | None = Field(default=None, strict=False, description="the path of a folder")


class PostingSection(Section):
    metadata: Metadata = "full"


class ModerationSection(Section):
    pictures: Literal["post", "spoiler", "hold", "withhold"] = "withhold"


class TrainingSection(Section):
    enabled: bool = False
    night: str = Field(
        default="",
        pattern=r"^(|([01]?\d|2[0-3])-([01]?\d|2[0-3]))$",
        description='two full hours such as "22-7", or "" for any time',
    )
    credits_per_100_steps: int = Field(default=10, ge=0, le=CREDITS_MAX)

    @property
    def hours(self) -> tuple[int, int] | None:
        """(from, to) of the host's clock; None: at any time."""
        begin, _, end = self.night.partition("-")
        return (int(begin), int(end)) if self.night and int(begin) != int(end) else None

    def price(self, steps: int) -> int:
        """Credits."""
        return -(-steps * self.credits_per_100_steps // 100)


class StylesSection(Section):
    file: Path | None = Field(default=None, strict=False, description="the path of a file")


class LogSection(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["console", "json"] = "console"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where a port of this machine can be reached."""

    host: str
    port: int

    @classmethod
    def read(cls, text: str) -> Self:
        """HOST:PORT, with a host of IPv6 in brackets. Raises ValueError."""
        match = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[\w.-]+):([0-9]{1,5})", text)
        if match is None or not 1 <= int(match[2]) <= 65_535:
            raise ValueError("")
        return cls(host=match[1].strip("[]"), port=int(match[2]))

    @property
    def is_loopback(self) -> bool:
        """Whether nobody but this machine reaches it."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost"

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class MetricsSection(Section):
    listen: str | None = Field(default=None, description='an address and a port, such as "127.0.0.1:9464"')

    @field_validator("listen")
    @classmethod
    def _is_address(cls, text: str | None) -> str | None:
        if text is not None:
            Address.read(text)
        return text

    @property
    def address(self) -> Address | None:
        return None if self.listen is None else Address.read(self.listen)


class Settings(Section):
    """Everything an owner can decide, validated."""

    discord: DiscordSection = DiscordSection()
    engine: EngineSection = EngineSection()
    models: ModelsSection = ModelsSection()
    wildcards: WildcardsSection = WildcardsSection()
    limits: LimitsSection = LimitsSection()
    ceilings: CeilingsSection = CeilingsSection()
    queue: QueueSection = QueueSection()
    server: ServerSection = ServerSection()
    data: DataSection = DataSection()
    images_in: ImagesInSection = ImagesInSection()
    backup: BackupSection = BackupSection()
    progress: ProgressSection = ProgressSection()
    preview: PreviewSection = PreviewSection()
    posting: PostingSection = PostingSection()
    moderation: ModerationSection = ModerationSection()
    training: TrainingSection = TrainingSection()
    styles: StylesSection = StylesSection()
    log: LogSection = LogSection()
    metrics: MetricsSection = MetricsSection()

    @property
    def data_dir(self) -> Path:
        """Raises ConfigError where nobody says which, and this process has no home."""
        folder = self.data.dir or own_folder(platformdirs.user_data_dir)
        if folder is None:
            raise ConfigError("There is no home folder to keep data in: set dir under [data], or HOME.")
        return folder

    @property
    def has_data_dir(self) -> bool:
        """Whether there is one, for what can do without."""
        return self.data.dir is not None or own_folder(platformdirs.user_data_dir) is not None

    @property
    def database(self) -> Path:
        return self.data_dir / "easel.sqlite3"

    @property
    def backups(self) -> Path:
        return self.backup.dir or self.data_dir / "backups"

    @property
    def models_dir(self) -> Path:
        """More of what the engine may load: `checkpoints`, `loras`, `embeddings` and `upscalers` lie in it."""
        return self.models.dir or self.data_dir / "models"

    @property
    def wildcards_dir(self) -> Path:
        """Lists of words for prompts: `NAME.txt` is `__NAME__`."""
        return self.wildcards.dir or self.data_dir / "wildcards"

    @property
    def styles_file(self) -> Path:
        """Templates for prompts that are offered everywhere."""
        return self.styles.file or self.data_dir / "styles.toml"

    @property
    def spool(self) -> Path:
        return self.data_dir / "spool"

    @property
    def inputs(self) -> Path:
        """What people uploaded for their pictures to start from, by SHA-256."""
        return self.spool / inputs.FOLDER

    @property
    def trainings(self) -> Path:
        """The pictures of people's trainings, a folder each by its number."""
        return self.data_dir / "trainings"

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.server.time_zone)


def own_folder(folder: Callable[..., str]) -> Path | None:
    """The user's own folder of a kind; None for a user without a home, as in containers."""
    try:
        path = Path(folder("easel", appauthor=False))
    except RuntimeError:
        return None
    return path if path.is_absolute() else None


def _section_types() -> Mapping[str, type[Section]]:
    annotations = typing.get_type_hints(Settings)
    return {name: annotations[name] for name in Settings.model_fields}


SECTIONS = _section_types()
KEYS = tuple(f"{section}.{key}" for section, model in SECTIONS.items() for key in model.model_fields)
VARIABLES: Mapping[str, str] = {PREFIX + key.replace(".", "_").upper(): key for key in KEYS}
"""Environment variable -> key, such as EASEL_LIMITS_PENDING -> limits.pending."""
