"""What stands on buttons. Pure."""

from __future__ import annotations

from bot.texts.language import fixed

reroll = fixed("Reroll")
info = fixed("Info")
delete = fixed("Delete")
cancel = fixed("Cancel")
show = fixed("Show")
newer = fixed("◀ Newer")
older = fixed("Older ▶")
