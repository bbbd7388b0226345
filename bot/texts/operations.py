"""What admins and whoever runs the bot read about running it. Pure."""

from __future__ import annotations

from bot.texts.language import Language, fixed

only_the_operator = fixed("Only whoever runs this bot can do that: the application's owner or its team.")
say_why = fixed("Say why in words: whoever asks reads it.")

# ------------------------------------------------------------------ pause and resume

nothing_paused_here = fixed("Nothing is paused on this server.")
nothing_paused_anywhere = fixed("Nothing is paused for the whole bot; a server's own pause is resumed there.")
paused_by_the_operator = fixed(
    "This server has paused nothing: whoever runs this bot has, for everybody, and only they can resume it."
)
resumed_here = fixed("Easel takes requests of this server again, and what waits goes on.")
resumed_here_alone = fixed(
    "This server's own pause is over, but whoever runs this bot has paused it for everybody."
)
draining = fixed(
    "Nothing new is taken, and what waits is drawn: whoever runs this bot gets a direct message when nothing is left."
)
resumed_everywhere = fixed("Easel takes requests again, and what waits goes on.")


def paused(reason: str, to: Language, *, is_everywhere: bool, was_paused: bool) -> str:
    if was_paused:
        return to.gettext("Paused, as before; from now on whoever asks reads: “{reason}”", reason=reason)
    if is_everywhere:
        return to.gettext(
            "Paused for everybody: nothing new is taken, what waits keeps its place, and what is being drawn is finished. "
            "Whoever asks reads: “{reason}”",
            reason=reason,
        )
    return to.gettext(
        "Paused on this server: nothing new is taken, what waits keeps its place, and what is being drawn is finished. "
        "Whoever asks reads: “{reason}”",
        reason=reason,
    )
