"""What stands in forms: at most 45 characters a label. Pure."""

from __future__ import annotations

from bot.texts.language import fixed

remix = fixed("Remix")
prompt = fixed("Prompt")
settings = fixed("Use these settings")
prompt_and_flags = fixed("Prompt and settings")
negative = fixed("What to keep out")
size = fixed("Size or aspect, such as 512x768 or 3:2")
model = fixed("Model")
seed = fixed("Seed and quality")
new_seed = fixed("A new seed")
same_seed = fixed("The same seed")
new_quick = fixed("A new seed, quick")
same_quick = fixed("The same seed, quick")
new_high = fixed("A new seed, with more work")
same_high = fixed("The same seed, with more work")
edit = fixed("Edit with words")
words = fixed("What to change")
description = fixed("The whole picture, as it is to become")
no_instructions = fixed(
    "No model here follows instructions: describe the whole picture, and it is redrawn from this one."
)
