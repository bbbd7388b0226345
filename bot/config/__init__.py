"""`easel.toml` and the environment become frozen settings; every problem is told at once. Knows no Discord and no SQL."""

from __future__ import annotations

import difflib
import os
import re
import tomllib
import typing
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError, available_timezones

import platformdirs
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SecretStr, ValidationError, field_validator
from pydantic.fields import FieldInfo

from bot.config.problems import allowed, did_you_mean, kinds, shown, unknown_key, unknown_section
from bot.config.redaction import cleaned, holds_token
from bot.limits import Limits
from engine.contract import IMAGES_MAX, SIDE_MAX, SIDE_MIN, STARTER, UPSCALED_SIDE_MAX, Mode, Switch
from engine.pictures import inputs

FILE_NAME = "easel.toml"
PREFIX = "EASEL_"
OTHER_VARIABLES = frozenset({"EASEL_CONFIG", "EASEL_CI"})
"""Variables with our prefix that are no settings: which file to read, and the tests' "nothing may be skipped"."""


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
    """The token, which goes out as a header; raises ConfigError where that takes no such letters."""
    if not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigError(
            f"{place} holds white space or letters that no token has: copy it again, the bot's token alone."
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
    slots: int = Field(default=4, ge=1, le=64)
    mode: Mode = "exact"
    rows: Literal[2, 4, 8, 16] = 4
    dtype: Literal["auto", "float16", "bfloat16", "float32"] = "auto"
    channels_last: Switch = "auto"
    fused_qkv: Switch = "auto"
    compile: Switch = "auto"
    profile: Literal["auto", "full", "balanced", "low"] = "auto"
    offline: bool = False


class ModelsSection(Section):
    dir: Path | None = Field(default=None, strict=False, description="the path of a folder")
    memory_gb: int = Field(default=0, ge=0, le=10_000)

    @property
    def bytes_max(self) -> int | None:
        return self.memory_gb << 30 or None


class LimitsSection(Section):
    """What everyone may use until an admin sets something else; the names are those of `bot.job.Limits`."""

    credits_per_day: int = Field(default=100, ge=0, le=1_000_000)
    pending: int = Field(default=3, ge=1, le=1000)
    max_pixels: int = Field(default=1024 * 1024, ge=SIDE_MIN**2, le=UPSCALED_SIDE_MAX**2)
    max_steps: int = Field(default=60, ge=1, le=150)
    max_images: int = Field(default=4, ge=1, le=IMAGES_MAX)

    def to_limits(self) -> Limits:
        return Limits(**self.model_dump())


class CeilingsSection(LimitsSection):
    """What no admin of a server can exceed: it is the owner's GPU."""

    credits_per_day: int = Field(default=10_000, ge=0, le=1_000_000)
    pending: int = Field(default=50, ge=1, le=1000)
    max_pixels: int = Field(default=SIDE_MAX**2, ge=SIDE_MIN**2, le=UPSCALED_SIDE_MAX**2)
    max_steps: int = Field(default=150, ge=1, le=150)
    max_images: int = Field(default=10, ge=1, le=IMAGES_MAX)


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


class LogSection(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["console", "json"] = "console"


class Settings(Section):
    """Everything an owner can decide, validated."""

    discord: DiscordSection = DiscordSection()
    engine: EngineSection = EngineSection()
    models: ModelsSection = ModelsSection()
    limits: LimitsSection = LimitsSection()
    ceilings: CeilingsSection = CeilingsSection()
    queue: QueueSection = QueueSection()
    server: ServerSection = ServerSection()
    data: DataSection = DataSection()
    images_in: ImagesInSection = ImagesInSection()
    backup: BackupSection = BackupSection()
    progress: ProgressSection = ProgressSection()
    preview: PreviewSection = PreviewSection()
    log: LogSection = LogSection()

    @property
    def data_dir(self) -> Path:
        """Raises ConfigError where nobody says which, and this process has no home."""
        folder = self.data.dir or _own(platformdirs.user_data_dir)
        if folder is None:
            raise ConfigError("There is no home folder to keep data in: set dir under [data], or HOME.")
        return folder

    @property
    def has_data_dir(self) -> bool:
        """Whether there is one, for what can do without."""
        return self.data.dir is not None or _own(platformdirs.user_data_dir) is not None

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
    def spool(self) -> Path:
        return self.data_dir / "spool"

    @property
    def inputs(self) -> Path:
        """What people uploaded for their pictures to start from, by SHA-256."""
        return self.spool / inputs.FOLDER

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.server.time_zone)


def _section_types() -> Mapping[str, type[Section]]:
    annotations = typing.get_type_hints(Settings)
    return {name: annotations[name] for name in Settings.model_fields}


SECTIONS = _section_types()
KEYS = tuple(f"{section}.{key}" for section, model in SECTIONS.items() for key in model.model_fields)
VARIABLES: Mapping[str, str] = {PREFIX + key.replace(".", "_").upper(): key for key in KEYS}
"""Environment variable -> key, such as EASEL_LIMITS_PENDING -> limits.pending."""


# ------------------------------------------------------------------ reading


def load(
    path: Path | None = None,
    environ: Mapping[str, str] | None = None,
    *,
    options: Mapping[str, str | None] | None = None,
) -> Settings:
    """Settings from `path` (or $EASEL_CONFIG, ./easel.toml, the user's configuration folder) and the environment.

    `options` are those of the command line that stand for a key, such as "engine.model", and win; None is not given.
    A missing file is fine unless it was asked for by name. Raises ConfigError, which lists every problem.
    """
    environ = os.environ if environ is None else environ
    file = find(path, environ)
    values = _read(file) if file else {}
    problems: list[str] = []
    origins: dict[str, str] = {}
    tables = _tables(values, problems)
    _apply_environment(tables, environ, origins, problems)
    _apply_options(tables, options or {}, origins)
    tables = {name: _without_tokens(name, table, origins, problems) for name, table in tables.items()}
    sections = {name: _section(name, tables[name], origins, problems) for name in SECTIONS}
    problems.extend([*_over_ceiling(sections), *_compiled_for_nothing(sections["engine"])])
    if problems:
        raise ConfigError(*problems, source=str(file) if file else None)
    settings = Settings.model_validate({name: section for name, section in sections.items() if section})
    settings = _anchored(settings, file.parent if file else _here(), origins)
    return settings.model_copy(update={"discord": settings.discord.with_environment(environ)})


def find(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    """The file to read, or None where there is none; raises ConfigError where a named one is missing."""
    named = path or (expanded(value) if (value := environ.get("EASEL_CONFIG")) else None)
    if named:
        if not named.is_file():
            there = "is a folder" if named.is_dir() else "is not there"
            problem = f"{named.absolute()} {there}: copy config.example.toml to a file, and name that."
            raise WrongOption("--config", problem) if path else ConfigError(f"EASEL_CONFIG: {problem}")
        return named.absolute()
    folders = (_here(), _own(platformdirs.user_config_dir))
    files = (folder / FILE_NAME for folder in folders if folder is not None)
    return next((file for file in files if os.path.isfile(file)), None)  # noqa: PTH113 - Path's own raises where it may not look


def _here() -> Path:
    """Where we stand, "." where that was removed."""
    try:
        return Path.cwd()
    except OSError:
        return Path()


def _own(folder: Callable[..., str]) -> Path | None:
    """The user's own folder of a kind; None for a user without a home, as in containers."""
    try:
        path = Path(folder("easel", appauthor=False))
    except RuntimeError:
        return None
    return path if path.is_absolute() else None


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8-sig"))
    except tomllib.TOMLDecodeError as error:
        where = re.search(r"line (\d+)", str(error))
        line = f", line {where[1]}" if where else ""
        raise ConfigError(f"{file}{line}: this is not TOML: {error}.") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{file}: the file is not UTF-8 text.") from None
    except (ValueError, RecursionError) as error:  # a number of thousands of digits, lists in lists in lists
        raise ConfigError(f"{file}: this is not TOML that can be read: {error}.") from None
    except OSError as error:
        raise ConfigError(f"{file}: the file can't be read: {error.strerror}.") from None


def _tables(values: Mapping[str, Any], problems: list[str]) -> dict[str, dict[str, Any]]:
    """One dictionary per known section; anything else at the top of the file is a problem."""
    tables: dict[str, dict[str, Any]] = {name: {} for name in SECTIONS}
    for name, value in values.items():
        if name not in SECTIONS:
            is_section = isinstance(value, dict)
            problems.append(unknown_section(name, SECTIONS) if is_section else unknown_key(name, KEYS))
        elif isinstance(value, dict):
            tables[name] = typing.cast("dict[str, Any]", value)
        else:
            problems.append(
                f"{name}: found {shown(value)}; {name} is a section: write [{name}] and its keys below."
            )
    return tables


def _apply_environment(
    tables: dict[str, dict[str, Any]],
    environ: Mapping[str, str],
    origins: dict[str, str],
    problems: list[str],
) -> None:
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or variable in OTHER_VARIABLES:
            continue
        if variable not in VARIABLES:
            near = difflib.get_close_matches(variable, VARIABLES, 1)
            problems.append(f"{variable}: there is no such setting{did_you_mean(near)}")
        elif value := environ[variable].strip():  # empty means unset, as in compose files
            section, _, key = VARIABLES[variable].partition(".")
            tables[section] = {**tables[section], key: _typed(value, SECTIONS[section].model_fields[key])}
            origins[VARIABLES[variable]] = variable


def _apply_options(
    tables: dict[str, dict[str, Any]], options: Mapping[str, str | None], origins: dict[str, str]
) -> None:
    """Raises WrongOption at once: what stands in the file or the environment has nothing to do with it."""
    for key, text in options.items():
        if text is None:
            continue
        section, _, name = key.partition(".")
        origins[key] = f"--{name}"
        wrong: list[str] = []
        _section(section, _without_tokens(section, {name: text}, origins, wrong), origins, wrong)
        if wrong:
            raise WrongOption(f"--{name}", wrong[0].partition(": ")[2])
        tables[section] = {**tables[section], name: text}


def _without_tokens(
    section: str, table: dict[str, Any], origins: Mapping[str, str], problems: list[str]
) -> dict[str, Any]:
    """The table without what some secret was pasted into: it is told by its key, and goes no further."""
    kept: dict[str, Any] = {}
    for name, value in table.items():
        if holds_token(f"{name} {value}"):
            where = origins.get(f"{section}.{name}", cleaned(f"{section}.{name}"))
            problems.append(
                f"{where}: what stands there looks like a token: take it out, and set Discord's as DISCORD_TOKEN, or name "
                "a file that holds it as token_file under [discord]."
            )
        else:
            kept[name] = value
    return kept


def _typed(text: str, info: FieldInfo) -> Any:
    """The text of a variable as the field's own type; as it is where it does not fit, for validation to tell."""
    options = kinds(info)
    words = {"true": True, "1": True, "yes": True, "false": False, "0": False, "no": False}
    if bool in options:
        return words.get(text.lower(), text)
    for kind in (int, float):
        if kind in options:
            try:
                return kind(text)
            except ValueError:
                return text
    return text


def _section(
    name: str, values: Mapping[str, Any], origins: Mapping[str, str], problems: list[str]
) -> Section | None:
    model = SECTIONS[name]
    try:
        return model.model_validate(values)
    except ValidationError as error:
        told: set[str] = set()
        for entry in error.errors(include_url=False):
            key = f"{name}.{entry['loc'][0]}"
            if key not in told:  # one line per key, however many rules it breaks
                told.add(key)
                problems.append(_problem(key, entry["type"], entry["input"], entry["msg"], origins.get(key)))
        return None


def _over_ceiling(sections: Mapping[str, Section | None]) -> Iterator[str]:
    limits, ceilings = sections["limits"], sections["ceilings"]
    if limits is None or ceilings is None:
        return
    for key in Limits.names():
        found, highest = getattr(limits, key), getattr(ceilings, key)
        if found > highest:
            yield f"limits.{key}: found {found}; allowed: at most {highest}, which is ceilings.{key}."


def _compiled_for_nothing(engine: Section | None) -> Iterator[str]:
    if isinstance(engine, EngineSection) and engine.compile == "on" and engine.mode == "exact":
        yield (
            'engine.compile: found "on"; allowed: "auto" or "off" as long as engine.mode is "exact", '
            "since pictures equal those of a model that is not compiled."
        )


def _anchored(settings: Settings, folder: Path, origins: Mapping[str, str]) -> Settings:
    """Relative paths count from the folder of the file they stand in; those of the environment from where we are."""

    def absolute(key: str, path: Path | None) -> Path | None:
        if path is None:
            return None
        if (written := expanded(path)).parts[:1] == ("~",):
            raise ConfigError(
                f"{key}: this user has no home folder, so “~” means nothing: write the whole path."
            )
        return (_here() if key in origins else folder) / written

    discord, engine, preview = settings.discord, settings.engine, settings.preview
    data, backup, models = settings.data, settings.backup, settings.models
    token_file = absolute("discord.token_file", discord.token_file)
    model = engine.model
    if model != STARTER and (place := absolute("engine.model", Path(model))):
        # "owner/name" is a hub id unless such a folder or file lies here
        is_path = model.startswith((".", "~")) or model.endswith(".safetensors") or place.exists()
        if origins.get("engine.model") == "--model" and not place.exists():
            _check_named(model, place, is_path=is_path)
        # a file keeps its own name, since what it links to may have another (the hub's cache does that)
        found = place.parent.resolve() / place.name if place.is_file() else place.resolve()
        model = str(found) if is_path else model
    return settings.model_copy(
        update={
            "discord": discord.model_copy(update={"token_file": token_file}),
            "engine": engine.model_copy(update={"model": model}),
            "models": models.model_copy(update={"dir": absolute("models.dir", models.dir)}),
            "data": data.model_copy(update={"dir": absolute("data.dir", data.dir)}),
            "backup": backup.model_copy(update={"dir": absolute("backup.dir", backup.dir)}),
            "preview": preview.model_copy(update={"model": absolute("preview.model", preview.model)}),
        }
    )


def _check_named(model: str, place: Path, *, is_path: bool) -> None:
    """Raises WrongOption for a --model that neither lies here nor could be an id of the hub."""
    if is_path or not re.fullmatch(r"[\w][\w.-]*/[\w][\w.-]*(@\S+)?", model):
        what = "" if is_path else f", and “{model}” is no id of the hub, which looks like owner/name"
        raise WrongOption("--model", f"{place} is not there{what}.")


def _problem(key: str, kind: str, found: object, message: str, variable: str | None) -> str:
    if kind == "extra_forbidden":
        return unknown_key(key, KEYS)
    section, _, name = key.partition(".")
    where = f"{key} (from {variable})" if variable else key
    hint = message.removeprefix("Value error, ").strip() if kind == "value_error" else ""
    allowed_text = allowed(SECTIONS[section].model_fields[name])
    return f"{where}: found {shown(found)}; allowed: {allowed_text}{f'; {hint}' if hint else '.'}"
