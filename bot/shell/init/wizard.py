"""`easel init`: asks what the command line left open, tries the token, writes all at once, and has doctor look at it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from bot.config import FILE_NAME, ConfigError, Settings, WrongOption, load, make_private, typed_model
from bot.config.settings import CREDITS_MAX, DiscordSection
from bot.shell.child import ask_engine, environment
from bot.shell.doctor import online, report
from bot.shell.exit_codes import EXIT_CONFIG, EXIT_FAILED, EXIT_INTERRUPTED, EXIT_OK, EXIT_USAGE
from bot.shell.exits import explained
from bot.shell.init import questions, service
from bot.shell.init.new_files import NewFile, settings_text, write
from bot.shell.init.service import COMPOSE, IMAGE_USER, TOKEN, UNIT, CannotServe
from engine.contract import STARTER

PORTAL = "https://discord.com/developers/applications"
STDIN = Path("-")


@dataclass(frozen=True, slots=True, kw_only=True)
class Said:
    """What the command line says; None is asked, or has its default where nobody can be asked."""

    folder: Path
    token_file: Path | None = None
    model: str | None = None
    direct_messages: bool | None = None
    credits_per_day: int | None = None
    service: bool = False
    compose: bool = False
    force: bool = False

    @property
    def config(self) -> Path:
        return self.folder / FILE_NAME

    @property
    def token(self) -> Path:
        return self.folder / TOKEN

    @property
    def keeps_token(self) -> bool:
        """Whether the token's file is the one that was named."""
        named = self.token_file
        return named is not None and named.exists() and named.resolve() == self.token.resolve()

    @property
    def is_for_service_alone(self) -> bool:
        told = (self.token_file, self.model, self.direct_messages, self.credits_per_day)
        return (
            (self.service or self.compose) and told == (None,) * 4 and not self.force and self.config.exists()
        )


class Stop(Exception):
    """It goes no further: a sentence, and the exit code."""

    def __init__(self, sentence: str, code: int) -> None:
        super().__init__(sentence)
        self.code = code


def run(said: Said) -> int:
    """Returns the exit code: doctor's, once everything is written. Raises WrongOption and ConfigError."""
    try:
        return explained(lambda: _set_up(replace(said, folder=said.folder.absolute())))
    except (KeyboardInterrupt, EOFError):
        print("\nNothing was written: easel init begins anew.", file=sys.stderr)
        return EXIT_INTERRUPTED
    except Stop as problem:
        print(problem, file=sys.stderr)
        return problem.code
    except CannotServe as problem:
        print(problem, file=sys.stderr)
        return EXIT_CONFIG
    except questions.NotHidden:
        print(
            "This terminal would show the token: put it into a file, and name --token-file.", file=sys.stderr
        )
        return EXIT_USAGE


def _set_up(said: Said) -> int:
    is_new = not said.is_for_service_alone
    _write(said, is_new=is_new)
    code = EXIT_OK
    try:
        if is_new:
            code = _look_over(said)
    except KeyboardInterrupt:
        code = EXIT_INTERRUPTED
    print("\n".join(["", *_next_steps(said)]))
    return code


def _look_over(said: Said) -> int:
    """By the file alone, as the bot will be started."""
    try:
        return report.run(load(said.config, environment()), said.config)
    except ConfigError as problem:  # of the environment, since what was written is right
        print(problem, file=sys.stderr)
        return EXIT_CONFIG


# ------------------------------------------------------------------ what is written


def _write(said: Said, *, is_new: bool) -> None:
    is_asked = questions.is_terminal()
    if not is_new:
        files = [*_service_files(said, load(said.config, {}))]
        over = _may_overwrite([file.path for file in files], said, is_asked=is_asked)
    else:
        if not is_asked:
            _need_flags(said)
        own = [said.config, *([] if said.keeps_token else [said.token])]
        over = _may_overwrite([*own, *_service_paths(said)], said, is_asked=is_asked)
        files = [*_answered(said, is_asked=is_asked)]
    said.folder.mkdir(parents=True, exist_ok=True)
    write(files, over=over)
    if said.service and service.user() is not None:
        for place in service.written_places(load(said.config, {})):
            make_private(place)
    print(f"\nWritten: {', '.join(str(file.path) for file in files) or 'nothing, all of it is there'}.\n")


def _need_flags(said: Said) -> None:
    environ = os.environ
    has_token = said.token_file or environ.get("DISCORD_TOKEN") or environ.get("DISCORD_TOKEN_FILE")
    missing = [*([] if has_token else ["--token-file"]), *([] if said.model else ["--model"])]
    if missing:
        raise Stop(
            f"There is no terminal to ask at: say {' and '.join(missing)} (easel init --help).", EXIT_USAGE
        )


def _may_overwrite(paths: list[Path], said: Said, *, is_asked: bool) -> bool:
    """Whether files may be replaced; raises Stop where one is there that may not."""
    there = [str(path) for path in paths if os.path.lexists(path)]
    if said.force or not there:
        return said.force
    names = ", ".join(there)
    if not is_asked:
        raise Stop(f"There is something already: {names}. --force overwrites it.", EXIT_FAILED)
    if not questions.yes(f"There is something already: {names}. Overwrite it?"):
        raise Stop("Nothing was changed.", EXIT_FAILED)
    return True


def _service_paths(said: Said) -> Iterator[Path]:
    if said.service:
        yield said.folder / UNIT
    if said.compose and said.folder.resolve() != service.CHECKOUT:
        yield said.folder / COMPOSE


def _service_files(said: Said, settings: Settings) -> Iterator[NewFile]:
    """Raises CannotServe."""
    folder = said.folder
    if said.service:
        yield NewFile(path=folder / UNIT, text=service.unit_text(folder, settings, service.user()))
    if said.compose:
        if Path(settings.engine.model).is_absolute():
            raise CannotServe(
                f"A container does not see {settings.engine.model}: name an id of the hub or the starter, or put "
                "the model into /data/easel/models/checkpoints of the container's volume."
            )
        if (text := service.compose_text(folder, settings)) is not None:
            yield NewFile(path=folder / COMPOSE, text=text)


def _answered(said: Said, *, is_asked: bool) -> Iterator[NewFile]:
    """Asks; what is wrong on the command line is told before."""
    model = None if said.model is None else typed_model(said.model)
    token = _token(said, is_asked=is_asked)
    if model is None:
        model = _ask_model()
    direct, credits_per_day = said.direct_messages, said.credits_per_day
    usual = Settings()
    if direct is None:
        direct = is_asked and questions.yes(
            "May people ask for pictures in direct messages with the bot, where no server's admins watch or limit anything?"
        )
    if credits_per_day is None:
        most = usual.limits.credits_per_day
        credits_per_day = (
            questions.number("How many pictures of 512x512 may each person draw a day?", most, CREDITS_MAX)
            if is_asked
            else most
        )
    values: dict[str, str | int | bool] = {"discord.token_file": TOKEN, "engine.model": model}
    if direct:
        values["discord.direct_messages"] = True
    if credits_per_day != usual.limits.credits_per_day:
        values["limits.credits_per_day"] = credits_per_day
        if credits_per_day > usual.ceilings.credits_per_day:
            values["ceilings.credits_per_day"] = credits_per_day
    chosen = usual.model_copy(update={"engine": usual.engine.model_copy(update={"model": model})})
    services = [*_service_files(said, chosen)]
    if not said.keeps_token:
        yield NewFile(path=said.token, text=f"{token}\n", mode=0o600)
    yield NewFile(path=said.config, text=settings_text(values))
    yield from services


# ------------------------------------------------------------------ what is asked


def _token(said: Said, *, is_asked: bool) -> str:
    """One that Discord takes, or that it could not be asked about."""
    given = _given_token(said, os.environ)
    if given is not None:
        if not _is_taken(given):
            raise Stop(f"{online.REFUSED.text} To mend it, {online.REFUSED.fix}.", EXIT_CONFIG)
        return given
    assert is_asked
    print(
        f"The bot's token: {PORTAL}, your application, Bot, Reset Token. What you type or paste stays hidden."
    )
    while True:
        try:
            token = _typed(questions.secret("Token:"))
        except Stop as problem:
            print(problem)
            continue
        if _is_taken(token):
            return token


def _given_token(said: Said, environ: Mapping[str, str]) -> str | None:
    if said.token_file == STDIN:
        return None if sys.stdin.isatty() else _typed(sys.stdin.read())
    if said.token_file is not None:
        return _of({"DISCORD_TOKEN_FILE": str(said.token_file)})
    if environ.get("DISCORD_TOKEN", "").strip() or environ.get("DISCORD_TOKEN_FILE", "").strip():
        return _of(environ)
    return None


def _of(environ: Mapping[str, str]) -> str:
    """Raises ConfigError where there is none, or none that could be one."""
    return DiscordSection().with_environment(environ).read_token()


def _typed(text: str) -> str:
    """Raises Stop where that is none."""
    try:
        return _of({"DISCORD_TOKEN": text})
    except ConfigError:
        raise Stop("That is no token: copy it again, the bot's token alone.", EXIT_USAGE) from None


def _is_taken(token: str) -> bool:
    """Says what Discord says; one that is out of reach has refused nothing."""
    found = online.tried(token)
    Console(highlight=False, markup=False, soft_wrap=True).print(report.line(found))
    return found != online.REFUSED


def _ask_model() -> str:
    print("Looking at what fits this machine …")
    choices = [*_choices()]
    for number, (_, text) in enumerate(choices, start=1):
        print(f"  {number}  {text}")
    while True:
        typed = questions.text(
            "Which draws? A number, owner/name of huggingface.co, a folder or a file:", "1"
        )
        if typed.isascii() and typed.isdigit():
            if 1 <= int(typed[:4]) <= len(choices):
                return choices[int(typed[:4]) - 1][0]
            print(f"Type a number from 1 to {len(choices)}.")
            continue
        try:
            return typed_model(typed)
        except WrongOption as problem:
            print(problem.problems[0])


def _choices() -> Iterator[tuple[str, str]]:
    """(model, what is said of it), the one that suits this machine first: without a card that is the starter."""
    starter = (
        STARTER,
        "Easel's starter: plain coloured shapes, at once, on any machine, nothing to download",
    )
    usual = Settings()
    folder = str(usual.models_dir.absolute()) if usual.has_data_dir else None
    facts, complaint = ask_engine("suitable", models=folder)
    if facts is None:
        print(f"What fits is not known: {complaint}")
        yield starter
        return
    is_slow = facts["device"] == "cpu"
    if is_slow:
        print("There is no graphics card: with anything but the starter a picture takes minutes.")
        yield starter
    for model, title, why in facts["known"]:
        yield model, f"{title} ({model}): {why}"
    for model, name, what in facts["own"]:
        yield model, f"{name}, on this disk ({what})"
    if not is_slow:
        yield starter


# ------------------------------------------------------------------ what comes then


def _next_steps(said: Said) -> Iterator[str]:
    folder = said.folder
    if said.service:
        yield "To start it now and with the machine:"
        yield f"  sudo cp {folder / UNIT} /etc/systemd/system/easel.service"
        yield "  sudo systemctl daemon-reload && sudo systemctl enable --now easel"
    if said.compose:
        owner = os.geteuid() if os.name == "posix" else 0
        yield f"To start it in a container, in {folder} (cuda instead of cpu with an NVIDIA card):"
        if owner == 0:  # nobody runs it as root
            token = service.token_file(folder, load(said.config, {}))
            yield f"  chown {IMAGE_USER}:{IMAGE_USER} {TOKEN if token == folder / TOKEN else token}"
            yield "  docker compose --profile cpu up --build --detach"
        else:
            yield f"  PUID={owner} PGID={os.getegid()} docker compose --profile cpu up --build --detach"
    if not (said.service or said.compose):
        where = "" if folder == Path.cwd() else f" --config {folder / FILE_NAME}"
        yield f"Start it: easel run{where}"
    yield "While it is in no server it prints the link that invites it."
