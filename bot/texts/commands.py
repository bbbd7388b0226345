"""What Discord shows of commands, menus and options: English, which a translator of its client looks up. Pure."""

from __future__ import annotations

from bot.texts.language import noted, noted_in

OPTION, CHOICE = "option", "choice"
"""Where names stand. Those of options are one word in lower case, at most 32 characters, and each once in a command."""
OPTION_NAMES = (
    noted_in("option", "prompt"),
    noted_in("option", "negative_prompt"),
    noted_in("option", "image"),
    noted_in("option", "image2"),
    noted_in("option", "image3"),
    noted_in("option", "mask"),
    noted_in("option", "strength"),
    noted_in("option", "upscale"),
    noted_in("option", "aspect"),
    noted_in("option", "size"),
    noted_in("option", "steps"),
    noted_in("option", "guidance"),
    noted_in("option", "seed"),
    noted_in("option", "sampler"),
    noted_in("option", "schedule"),
    noted_in("option", "guidance_until"),
    noted_in("option", "images"),
    noted_in("option", "model"),
    noted_in("option", "lora"),
    noted_in("option", "embedding"),
    noted_in("option", "tile"),
    noted_in("option", "number"),
    noted_in("option", "words"),
    noted_in("option", "name"),
    noted_in("option", "quality"),
    noted_in("option", "style"),
    noted_in("option", "deliver"),
    noted_in("option", "reset"),
    noted_in("option", "spoiler"),
    noted_in("option", "action"),
    noted_in("option", "age_restricted"),
    noted_in("option", "here"),
    noted_in("option", "everywhere"),
    noted_in("option", "favourites"),
    noted_in("option", "server"),
    noted_in("option", "channel"),
    noted_in("option", "on"),
    noted_in("option", "role"),
    noted_in("option", "member"),
    noted_in("option", "credits"),
    noted_in("option", "pending"),
    noted_in("option", "max_pixels"),
    noted_in("option", "max_steps"),
    noted_in("option", "max_images"),
    noted_in("option", "credits_at_night"),
    noted_in("option", "begins"),
    noted_in("option", "ends"),
    noted_in("option", "weight"),
    noted_in("option", "kind"),
    noted_in("option", "names"),
    noted_in("option", "slowmode"),
    noted_in("option", "trainings"),
    noted_in("option", "training_pictures"),
    noted_in("option", "training_steps"),
    noted_in("option", "training_mb"),
    noted_in("option", "zone"),
    noted_in("option", "allowed"),
    noted_in("option", "file"),
    noted_in("option", "duration"),
    noted_in("option", "reason"),
    noted_in("option", "place"),
    noted_in("option", "text"),
    noted_in("option", "trigger"),
    noted_in("option", "image4"),
    noted_in("option", "first"),
    noted_in("option", "who"),
)
CHOICE_NAMES = (
    noted_in("choice", "quick"),
    noted_in("choice", "standard"),
    noted_in("choice", "high"),
    noted_in("choice", "mine"),
    noted_in("choice", "everybody"),
    noted_in("choice", "on"),
    noted_in("choice", "off"),
    noted_in("choice", "front"),
    noted_in("choice", "back"),
    noted_in("choice", "model"),
    noted_in("choice", "lora"),
    noted_in("choice", "feature"),
    noted_in("choice", "channel"),
    noted_in("choice", "maker"),
    noted_in("choice", "role"),
    noted_in("choice", "all"),
)
"""Those that are their own values. Other choices, such as 3:2, are the same everywhere."""

IMAGINE = noted("Draw a picture from words")
IMAGINE_OPTIONS = {
    "prompt": noted("What to draw; (word:1.3) counts more, [word] less; flags such as --ar 3:2 work too"),
    "negative_prompt": noted("What to keep out of the picture"),
    "image": noted("Picture to start from"),
    "mask": noted("White is redrawn, black stays; needs an image"),
    "strength": noted("How much of the image is redrawn: 0.01 to 1, 0.75 if left out (0.2 to upscale)"),
    "upscale": noted("How many times as large the image is to be; an upscaler draws nothing anew"),
    "aspect": noted("Shape of the picture, at about the model's native size"),
    "size": noted("Exact size in pixels, such as 512x768 (instead of an aspect)"),
    "steps": noted("Denoising steps: more is slower and often finer"),
    "guidance": noted("How closely to follow the prompt; 1 switches guidance off"),
    "seed": noted("The same seed draws the same picture; -1 or nothing is random"),
    "sampler": noted("How the noise is removed"),
    "schedule": noted("At which noise it is removed: AYS takes 10 steps, SGM Uniform suits few-step LoRAs"),
    "guidance_until": noted(
        "Share of the steps with guidance; 0.6 leaves it out of the last 40 %, which is faster"
    ),
    "images": noted("How many pictures; each has the next seed"),
    "model": noted("Which model draws"),
    "lora": noted("LoRA files and their weights, such as detail:0.8, pixel"),
    "embedding": noted("Words that files taught the model; -name keeps out what it stands for"),
    "style": noted("A template for prompts, such as those of /style list"),
    "quality": noted("How much work goes into it; quick draws the way that the model is fastest"),
    "tile": noted("Whether its edges meet, so that it can be laid beside itself"),
}

SHOW = noted("Post an image again, with live buttons")
SHOW_OPTIONS = {"number": noted("Its number, from /history or 📋 Info; your newest are suggested")}
EDIT = noted("Change a picture with words")
EDIT_OPTIONS = {
    "image": noted("Picture to change"),
    "image2": noted("A second one, for models that take several"),
    "image3": noted("A third one"),
    "words": noted(
        "What to change; where no model follows instructions, the whole picture as it is to become"
    ),
    "strength": noted("How much of the image is redrawn: 0.01 to 1"),
    "seed": noted("The same seed draws the same picture; -1 or nothing is random"),
    "model": noted("Which model draws"),
}
STYLE = noted("Templates for prompts, by name")
STYLE_LIST = noted("Show the styles of this server")
STYLE_PREVIEW = noted("Show what a style makes of your words")
STYLE_PREVIEW_OPTIONS = {
    "name": noted("Which style"),
    "prompt": noted("Words to try it with"),
}
STYLE_ADD = noted("Add a style to this server (admins)")
STYLE_ADD_OPTIONS = {
    "name": noted("Its name, as people type it after --style"),
    "prompt": noted("What it adds; {prompt} is where people's words go"),
    "negative_prompt": noted("What it keeps out of the picture"),
}
STYLE_REMOVE = noted("Remove a style of this server (admins)")
STYLE_REMOVE_OPTIONS = {"name": noted("Which style")}
SETTINGS = noted("How your pictures are made where you say nothing; alone: show it")
_DEFAULTS = {
    "model": noted("Which model draws"),
    "aspect": noted("Shape of the picture"),
    "quality": noted("How much work goes into it"),
    "images": noted("How many pictures"),
    "style": noted("Which style"),
    "reset": noted("Forget all of it first"),
}
SETTINGS_OPTIONS = {**_DEFAULTS, "deliver": noted("Where your finished pictures go")}
DELIVER_HERE = noted_in("choice", "Here")
DELIVER_BY_MAIL_TOO = noted_in("choice", "Here and by direct message")
DELIVER_PRIVATELY = noted_in("choice", "By direct message alone, seen by nobody else")
DELIVER_NAMES = (DELIVER_HERE, DELIVER_BY_MAIL_TOO, DELIVER_PRIVATELY)
CHANNEL = noted("How pictures are made in this channel where nobody says (admins); alone: show it")
CHANNEL_OPTIONS = {
    **_DEFAULTS,
    "spoiler": noted("Cover pictures until somebody looks"),
    "everywhere": noted("For the whole server, where neither channel nor person says anything"),
}
ADMIN_LOG = noted("Who changed, cancelled and deleted what, and when")
MOD = noted("What is forbidden here, who is blocked, and what people report (admins)")
MOD_WORDS = noted("Words that no prompt may hold")
MOD_WORDS_SHOW = noted("Show both lists")
MOD_WORDS_ADD = noted("Add words; * at an end stands for whatever follows or goes before")
MOD_WORDS_REMOVE = noted("Take words off the list")
MOD_WORDS_LOAD = noted(
    "Take a whole list from a text file, one entry a line, in the place of the one there is"
)
MOD_WORDS_TELL = noted("Whether people are told which word it was")
_ALLOWED = noted("The list of what is allowed all the same")
MOD_WORDS_ADD_OPTIONS = {"words": noted("One, or several with commas between them"), "allowed": _ALLOWED}
MOD_WORDS_REMOVE_OPTIONS = {
    "words": noted("As they stand on the list, with commas; all: every one"),
    "allowed": _ALLOWED,
}
MOD_WORDS_LOAD_OPTIONS = {"file": noted("A text file (UTF-8)"), "allowed": _ALLOWED}
MOD_WORDS_TELL_OPTIONS = {"on": noted("On: the answer names it; off: it says that something is forbidden")}
ADMIN = noted("Run the bot: requests of this server (admins), or all of them (whoever runs the bot)")
_EVERYWHERE = noted("For the whole bot, not this server alone (whoever runs the bot)")
ADMIN_LOG_OPTIONS = {"file": noted("The whole log as a table (CSV)"), "everywhere": _EVERYWHERE}
ADMIN_PAUSE = noted("Take no new requests and begin none that wait; their places are kept")
ADMIN_PAUSE_OPTIONS = {"reason": noted("Why: whoever asks reads it"), "everywhere": _EVERYWHERE}
ADMIN_DRAIN = noted(
    "Take no new requests, draw what waits, and say when nothing is left (whoever runs the bot)"
)
ADMIN_DRAIN_OPTIONS = {"reason": noted("Why: whoever asks reads it")}
ADMIN_RESUME = noted("Take requests again, and go on with those that wait")
ADMIN_RESUME_OPTIONS = {"everywhere": _EVERYWHERE}
ADMIN_FREE = noted("Give the models' memory back until the next request (whoever runs the bot)")
ADMIN_MODELS = noted("What is loaded, and which model is used where none is named (whoever runs the bot)")
ADMIN_MODELS_SHOW = noted("Show all models and which of them are loaded")
ADMIN_MODELS_LOAD = noted("Load a model before anybody asks for it")
ADMIN_MODELS_UNLOAD = noted("Give a model's memory back until somebody asks for it")
ADMIN_MODELS_DEFAULT = noted("Choose the model that is used where none is named")
ADMIN_MODELS_OPTIONS = {"name": noted("Which model")}
ADMIN_ENGINE = noted("Which engines draw, and starting them anew (whoever runs the bot)")
ADMIN_ENGINE_SHOW = noted(
    "Show every engine: what it does, what it has loaded, which ones draw the same pixels"
)
ADMIN_ENGINE_PAUSE = noted("Give an engine nothing more; what it draws is finished")
ADMIN_ENGINE_RESUME = noted("Give a paused engine requests again")
_ENGINE = noted("The engine's number, from /admin engine show")
ADMIN_ENGINE_OPTIONS = {"number": _ENGINE}
ADMIN_ENGINE_RESTART = noted("Start engines anew, one after the other, each once what it draws is finished")
ADMIN_ENGINE_RESTART_OPTIONS = {"number": noted("The engine's number; all of them if left out")}
ADMIN_QUEUE = noted("Who waits: see, move, cancel")
ADMIN_QUEUE_SHOW = noted("Show what is being drawn and what waits, with the numbers of the requests")
ADMIN_QUEUE_SHOW_OPTIONS = {"everywhere": _EVERYWHERE}
_NUMBER = noted("The request's number, from /admin queue show")
ADMIN_QUEUE_CANCEL = noted("Cancel a request; what was not drawn is not charged")
ADMIN_QUEUE_CANCEL_OPTIONS = {"number": _NUMBER, "everywhere": _EVERYWHERE}
ADMIN_QUEUE_MOVE = noted(
    "Move a request before or behind this server's others; other servers' keep their places"
)
ADMIN_QUEUE_MOVE_OPTIONS = {
    "number": _NUMBER,
    "place": noted("Where to"),
    "everywhere": _EVERYWHERE,
}
ADMIN_ANNOUNCE = noted("Say something in a channel by the bot's mouth; nobody is mentioned")
ADMIN_ANNOUNCE_OPTIONS = {
    "text": noted("What to say"),
    "channel": noted("Where; this one if left out"),
    "everywhere": noted("In the system channel of every server, not here alone (whoever runs the bot)"),
}
MOD_BLOCK = noted("Keep a member from making pictures here, for a time or for ever")
MOD_BLOCK_OPTIONS = {
    "member": noted("Whom"),
    "duration": noted("For how long"),
    "reason": noted("What they are told"),
}
MOD_UNBLOCK = noted("Let a blocked member make pictures again")
MOD_UNBLOCK_OPTIONS = {"member": noted("Whom")}
MOD_BLOCKED = noted("Show who is blocked here, why and until when")
MOD_APPEAL = noted("What blocked people read besides the reason; alone: show it")
MOD_APPEAL_OPTIONS = {
    "text": noted("Such as how to ask for another look at it; at most 300 characters"),
    "reset": noted("Tell them nothing more"),
}
MOD_CHANNEL = noted("Name the channel where moderators read what people report; alone: show it")
MOD_CHANNEL_OPTIONS = {
    "channel": noted("The moderators' channel"),
    "reset": noted("Take no more reports"),
}
BLOCK_DURATIONS = {
    600: noted_in("choice", "10 minutes"),
    3_600: noted_in("choice", "1 hour"),
    86_400: noted_in("choice", "1 day"),
    7 * 86_400: noted_in("choice", "1 week"),
    30 * 86_400: noted_in("choice", "1 month"),
    0: noted_in("choice", "For ever"),
}
"""By seconds."""
MOD_PICTURES = noted("What becomes of pictures that a safety checker flags (admins); alone: show it")
FLAGGED_NAMES = (
    noted_in("choice", "Post them like any other"),
    noted_in("choice", "Cover them until somebody looks"),
    noted_in("choice", "Hold them until a moderator approves"),
    noted_in("choice", "Withhold them"),
)
MOD_PICTURES_OPTIONS = {
    "action": noted("What is done with them"),
    "age_restricted": noted("What is done with them in age-restricted channels"),
    "here": noted("For this channel alone, whatever the server says"),
    "reset": noted("Forget what was set first"),
}
PRIVACY = noted("What is kept about you: look at it, have it sent to you, have it deleted")
PRIVACY_SHOW = noted("Show what is kept about you, and for how long")
PRIVACY_EXPORT = noted("Have all of it sent to you as files: requests, settings, favourites, pictures")
PRIVACY_DELETE = noted("Delete all of it, everywhere; asks first")
MODELS = noted("What can be drawn with here: models, LoRAs and embeddings")
MODELS_OPTIONS = {"name": noted("Show one of them with its picture, trigger words and how to ask for it")}
HELP = noted("What draws here, what you may use, what else there is, and examples to press")
QUOTA = noted("What you used today, what is left, and when it renews")
QUEUE = noted("Who is being served and who waits")
STATS = noted("What you drew in the last 30 days, counted, and how long you waited")
STATS_OPTIONS = {"server": noted("What everybody drew on this server instead (admins)")}
HISTORY = noted("Images of the past, newest first: yours, your favourites, or by words")

IMAGE_INFO = noted("Image info")
USE_SETTINGS = noted("Use these settings")
VARY = noted("Vary")
UPSCALE = noted("Upscale")
EDIT_WITH_WORDS = noted("Edit with words")
REPORT = noted("Report")
"""Entries of a message's menu: an app has at most fifteen."""

LIMITS = noted("What people may use on this server")
LIMITS_SHOW = noted("Show the limits of this server and who changed them")
LIMITS_SHOW_OPTIONS = {"member": noted("Whose limits, and which rule each comes from")}
LIMITS_SET = noted("Set limits for everyone, a role or a member")
LIMITS_SET_OPTIONS = {
    "role": noted("Set them for this role (nobody named: for everyone)"),
    "member": noted("Set them for this member"),
    "credits": noted("Credits per day; one is a 512×512 image of up to 30 steps"),
    "credits_at_night": noted("Credits per night, where this server has one (/limits night)"),
    "pending": noted("Requests one person may have waiting or running"),
    "max_pixels": noted("Largest picture, width × height, such as 262144 for 512x512"),
    "max_steps": noted("Most steps of a request"),
    "max_images": noted("Most images of a request"),
    "weight": noted("Turns in the line: with 2 they are served twice as much as with 1"),
    "slowmode": noted("Seconds from one request of a person to their next; 0: none"),
    "trainings": noted("Trainings one person may have that have not ended; 0: none"),
    "training_pictures": noted("Most pictures of a training"),
    "training_steps": noted("Most steps of a training"),
    "training_mb": noted("Megabytes that the pictures of a person's trainings may take"),
}
LIMITS_RESET = noted("Remove the limits set for everyone, a role or a member")
LIMITS_RESET_OPTIONS = {
    "role": noted("Reset this role (nobody named: everyone)"),
    "member": noted("Reset this member"),
}
LIMITS_TIMEZONE = noted("Set when this server's day begins")
LIMITS_TIMEZONE_OPTIONS = {"zone": noted("A time zone such as Europe/Berlin")}
LIMITS_NIGHT = noted("Set a night with credits of its own; alone: no night")
LIMITS_NIGHT_OPTIONS = {
    "begins": noted("Hour at which it begins, such as 22; by this server's time zone"),
    "ends": noted("Hour at which it ends, such as 6"),
}
_KIND = noted("Of what")
_NAMED = noted("One, or several with commas between them")
_FOR = {
    "role": noted("For this role (nobody named: for everyone)"),
    "member": noted("For this member"),
}
LIMITS_ALLOW = noted(
    "List what people may draw with, do, or where they may ask: nothing else is allowed then"
)
LIMITS_ALLOW_OPTIONS = {"kind": _KIND, "names": _NAMED, **_FOR}
LIMITS_DISALLOW = noted("Take names off a list; without any for everyone all is allowed again")
LIMITS_DISALLOW_OPTIONS = {
    "kind": _KIND,
    "names": noted("As they stand on the list, with commas; all: every one"),
    **_FOR,
}

ADD_TO_TRAINING = noted("Add to training")
TRAIN = noted("Teach a model something of your own")
TRAIN_NEW = noted("Begin a set of pictures to teach from")
TRAIN_NEW_OPTIONS = {
    "name": noted("What the LoRA is to be called: small letters, digits, - and _"),
    "trigger": noted("The words that prompts are to call it by, such as: snail toy"),
    "model": noted("Which model is taught"),
    "steps": noted("How long it learns; 300 to 1000 are usual"),
}
TRAIN_ADD = noted("Add pictures to a set")
TRAIN_ADD_OPTIONS = {
    "name": noted("Which set"),
    "image": noted("A picture of what is to be learned"),
    "image2": noted("A second one"),
    "image3": noted("A third one"),
    "image4": noted("A fourth one"),
}
TRAIN_CAPTIONS = noted("Say what is to be seen in each picture of a set")
TRAIN_CAPTIONS_OPTIONS = {"name": noted("Which set"), "first": noted("The first picture that is shown")}
TRAIN_PICTURES = noted("Show the pictures of a set, with their numbers and captions")
TRAIN_REMOVE = noted("Take a picture out of a set again")
TRAIN_REMOVE_OPTIONS = {
    "name": noted("Which set"),
    "number": noted("Its number: /train pictures shows them"),
}
TRAIN_START = noted("Show what a training costs and takes, and start it")
TRAIN_CANCEL = noted("Cancel a training; what was not done of it is given back")
TRAIN_NAMED = {"name": noted("Which training")}
TRAIN_LIST = noted("Show your trainings; admins see all of this server")
TRAIN_SHARE = noted("Decide who may draw with what was taught")
TRAIN_SHARE_OPTIONS = {
    "name": noted("Which training"),
    "who": noted("Only its maker, a role, or everybody here"),
    "role": noted("Which role"),
}
TRAIN_DELETE = noted("Delete a training: its pictures, and the LoRA that came of it")
