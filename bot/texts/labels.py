"""What stands on buttons. Pure."""

from __future__ import annotations

from bot.texts.language import fixed

reroll = fixed("Reroll")
take = fixed("Take out")
vary_subtle = fixed("Vary (Subtle)")
vary_strong = fixed("Vary (Strong)")
upscale_2 = fixed("2×")
upscale_4 = fixed("4×")
remix = fixed("Remix")
edit = fixed("Edit")
star = fixed("Favourite")
mail = fixed("Send to me")
parent = fixed("Made from")
more = fixed("More …")
made_from_it = fixed("Made from this …")
take_one = fixed("Take one out …")
vary_one = fixed("Vary one …")
info = fixed("Info")
delete = fixed("Delete")
cancel = fixed("Cancel")
cancel_all = fixed("Cancel all")
draw_plan = fixed("Draw them")
drop_plan = fixed("Never mind")
erase = fixed("Delete all of it")
cancel_one = fixed("Cancel …")
draw = fixed("Draw it")
show = fixed("Show")
newer = fixed("◀ Newer")
older = fixed("Older ▶")
