"""What stands on buttons. Pure."""

from __future__ import annotations

from bot.texts.language import fixed

reroll = fixed("Reroll")
info = fixed("Info")
delete = fixed("Delete")
cancel = fixed("Cancel")
show = fixed("Show")
star = fixed("Favourite")
mail = fixed("Send to me")
newer = fixed("◀ Newer")
older = fixed("Older ▶")
