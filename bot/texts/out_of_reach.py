"""What keeps Discord from us, as a sentence for whoever runs the bot. Pure; knows codes and no request."""

from __future__ import annotations

from bot.texts.language import Language, Say, fixed

not_let_in = fixed(
    "Discord refused the token: copy it again from the Bot page of your application at "
    "https://discord.com/developers/applications."
)
_CLOSED: dict[int | None, Say] = {
    4004: not_let_in,
    4010: fixed("Discord's gateway refused our shard (code 4010): install the newest Easel."),
    4011: fixed(
        "Discord wants a bot in so many servers to connect in parts (code 4011), which Easel can't: leave some servers."
    ),
    4012: fixed(
        "Discord's gateway no longer speaks Easel's version of its language (code 4012): install the newest Easel."
    ),
    4013: fixed(
        "Discord's gateway does not know what Easel asks to be told of (code 4013): install the newest Easel."
    ),
    4014: fixed(
        "Discord does not tell this application of its servers (code 4014): look at the Bot page of your application at "
        "https://discord.com/developers/applications."
    ),
}
"""Codes with which the gateway ends a connection for good."""
not_discord = fixed("Something else answers in Discord's place: check this machine's network and proxy.")
no_answer = fixed("Discord can't be reached, it does not answer: check this machine's network.")
too_many_created = fixed("Discord takes no more new commands for a day, since 200 were created in one.")


def closed_for_good(code: int | None, to: Language) -> str | None:
    """None for a code after which the gateway may be asked again."""
    say = _CLOSED.get(code)
    return None if say is None else say(to)


def closed(code: int | None, to: Language) -> str:
    return to.gettext("Discord ended the connection with code {code}.", code=code)


def unsafe(error: object, to: Language) -> str:
    return to.gettext(
        "Discord can't be reached safely: check this machine's clock, certificates and proxy ({error}).",
        error=error,
    )


def unreachable(error: object, to: Language) -> str:
    return to.gettext("Discord can't be reached: check this machine's network ({error}).", error=error)


def kept_out(cloudflare: str | None, to: Language) -> str:
    """`cloudflare`: its error, where it was that which did it."""
    if cloudflare is None:
        return to.gettext("Discord keeps this machine's address out for a while, since it asked too often.")
    return to.gettext(
        "Discord keeps this machine's address out for a while, since it asked too often (Cloudflare's error {error}).",
        error=cloudflare,
    )


def out_of_order(status: int, to: Language) -> str:
    return to.gettext("Discord is out of order ({status}).", status=status)


def answered(status: int, answer: str, to: Language) -> str:
    told = answer or to.gettext("nothing")
    return to.gettext("Discord answered {status}: {answer}.", status=status, answer=told)
