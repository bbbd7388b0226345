"""What Discord shows of slash commands and their options: English, which a translator of its client looks up. Pure."""

from __future__ import annotations

from bot.texts.language import noted

IMAGINE = noted("Draw a picture from words")
IMAGINE_OPTIONS = {
    "prompt": noted("What to draw; (word:1.3) counts more, [word] less"),
    "negative_prompt": noted("What to keep out of the picture"),
    "image": noted("Picture to start from"),
    "mask": noted("White is drawn anew, black stays; needs an image"),
    "strength": noted("How much of the image is drawn anew: 0.01 to 1, 0.75 if left out (0.2 to upscale)"),
    "upscale": noted("How many times as large the image is to be; an upscaler draws nothing anew"),
    "aspect": noted("Shape of the picture, at about the model's native size"),
    "size": noted("Exact size in pixels, such as 512x768 (instead of an aspect)"),
    "steps": noted("Denoising steps: more is slower and often finer"),
    "guidance": noted("How closely to follow the prompt; 1 switches guidance off"),
    "seed": noted("The same seed draws the same picture; -1 or nothing is random"),
    "sampler": noted("How the noise is removed"),
    "images": noted("How many pictures; each has the next seed"),
    "model": noted("Which model draws"),
    "lora": noted("LoRA files and their weights, such as detail:0.8, pixel"),
}

QUOTA = noted("What you used today, what is left, and when it renews")
QUEUE = noted("Who is being served and who waits")
HISTORY = noted("Images of the past, newest first: yours, your favourites, or by words")

LIMITS = noted("What people may use on this server")
LIMITS_SHOW = noted("Show the limits of this server and who changed them")
LIMITS_SET = noted("Set limits for everyone, a role or a member")
LIMITS_SET_OPTIONS = {
    "role": noted("Set them for this role (nobody named: for everyone)"),
    "member": noted("Set them for this member"),
    "credits": noted("Credits per day; one is a 512×512 image of up to 30 steps"),
    "pending": noted("Requests one person may have waiting or running"),
    "max_pixels": noted("Largest picture, width × height, such as 262144 for 512x512"),
    "max_steps": noted("Most steps of a request"),
    "max_images": noted("Most images of a request"),
}
LIMITS_RESET = noted("Remove the limits set for everyone, a role or a member")
LIMITS_RESET_OPTIONS = {
    "role": noted("Reset this role (nobody named: everyone)"),
    "member": noted("Reset this member"),
}
LIMITS_TIMEZONE = noted("Set when this server's day begins")
LIMITS_TIMEZONE_OPTIONS = {"zone": noted("A time zone such as Europe/Berlin")}
