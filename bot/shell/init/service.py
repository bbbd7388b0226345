"""What keeps the bot running: a systemd unit with this machine's paths, or the checkout's compose file. Starts nothing."""

from __future__ import annotations

import json
import os
import sys
from importlib import resources
from pathlib import Path
from string import Template

if sys.platform != "win32":
    import pwd

from bot.config import Settings

CHECKOUT = Path(__file__).resolve().parents[3]
COMPOSE = "compose.yaml"
UNIT = "easel.service"
TOKEN = "token"  # noqa: S105 - a file's name
IMAGE_USER = 10001
"""Who Easel is in its image."""
OWN_USER = """\
DynamicUser=yes
LoadCredential=token:$token
Environment=DISCORD_TOKEN_FILE=%d/token EASEL_DATA_DIR=%S/easel HF_HOME=%S/easel/huggingface
StateDirectory=easel
StateDirectoryMode=0700
ProtectHome=yes"""
"""Where root sets it up: a user who is nobody else, data in /var/lib/easel, and the token from root's hands."""
THIS_USER = """\
User=$user
Environment=$hub
ReadWritePaths=$places"""
HIDDEN = (Path("/root"), Path("/home"), Path("/run/user"))
"""What ProtectHome hides from the service."""


class CannotServe(Exception):
    """Such a service could not run; the text says what to do."""


def program() -> Path:
    """The `easel` that runs us."""
    return Path(sys.executable).absolute().with_name("easel")


def user() -> str | None:
    """Who the service is to be; None for root, who gets a user made for it. Raises CannotServe where there are no services."""
    if sys.platform == "win32":
        raise CannotServe(
            "easel.service is for systemd, which Windows does not have: leave --service out, or set Easel up in WSL 2."
        )
    number = os.geteuid()
    try:
        return pwd.getpwuid(number).pw_name if number else None
    except KeyError:  # whom only a number names, as in containers
        return str(number)


def unit_text(folder: Path, settings: Settings, user: str | None) -> str:
    """Raises CannotServe where root's service could not read its program or settings."""
    if user is None:
        for place in (folder, program()):
            if any(place.is_relative_to(hidden) for hidden in HIDDEN):
                raise CannotServe(
                    f"The service has a user of its own, who can't look into {place}: install Easel in /opt/easel "
                    "and run easel init /etc/easel --service there, or run it as the user who is to run Easel."
                )
        identity = Template(OWN_USER).substitute(token=_plain(token_file(folder, settings)))
    else:
        places = " ".join(_word(place.absolute()) for place in written_places(settings))
        hub = _word(f"HF_HOME={_hub().absolute()}")
        identity = Template(THIS_USER).substitute(user=user, hub=hub, places=places)
    template = resources.files(__package__ or "").joinpath(UNIT).read_text("utf-8")
    return Template(template).substitute(
        program=_word(program()), folder=_plain(folder), identity=identity, unit=_word(folder / UNIT)
    )


def token_file(folder: Path, settings: Settings) -> Path:
    """The file that holds the token of what is set up in `folder`."""
    return settings.discord.token_file or folder / TOKEN


def written_places(settings: Settings) -> tuple[Path, ...]:
    """Folders that the bot writes to, which have to be there before systemd can open them to it."""
    data = settings.data_dir
    others = (place for place in (settings.backups, _hub()) if not place.is_relative_to(data))
    return (data, *others)


def _hub() -> Path:
    """Where whoever sets it up keeps the hub's models; so does the service."""
    return Path(os.environ.get("HF_HOME", Path.home() / ".cache" / "huggingface")).expanduser()


def _plain(place: Path | str) -> str:
    """For values that are one path; % means something there."""
    return str(place).replace("%", "%%")


def _word(place: Path | str) -> str:
    """For values that are several words."""
    text = _plain(place)
    return json.dumps(text, ensure_ascii=False) if set(text) & set(" \t\"'\\;") else text


def compose_text(folder: Path, settings: Settings) -> str | None:
    """The checkout's file, made to be used from that folder; None where that is the checkout itself, which has it.

    Raises CannotServe where this Easel was installed without a checkout, so that no image can be built, or where the
    checkout's own file would not find the token.
    """
    if not (CHECKOUT / COMPOSE).is_file():
        raise CannotServe(
            "The compose file builds Easel's image from its checkout, and this Easel was installed without one: "
            "run easel init in a checkout, or use --service."
        )
    token = token_file(folder, settings).absolute()
    if folder.resolve() == CHECKOUT:
        if token.resolve() != (CHECKOUT / TOKEN).resolve():
            raise CannotServe(
                f"The checkout's {COMPOSE} takes the token from {CHECKOUT / TOKEN}, not from {token}: "
                "put it there, or run easel init --compose in a folder of its own."
            )
        return None
    text = (CHECKOUT / COMPOSE).read_text("utf-8")
    if token != folder / TOKEN:
        text = text.replace(f"file: ./{TOKEN}\n", f"file: {json.dumps(str(token), ensure_ascii=False)}\n")
    return text.replace("context: .\n", f"context: {json.dumps(str(CHECKOUT))}\n")
