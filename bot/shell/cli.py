"""`easel …`: parses the command line and hands over to the module that does the work.

Everything else is imported inside its command: a spawned engine imports its parent's main module again, and must load
no Discord and no database by that.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperGroup

from bot import DISTRIBUTION, __version__
from bot.shell import streams

if TYPE_CHECKING:
    from importlib.metadata import EntryPoints

    from bot.config import Settings

PROGRAMS = "easel.commands"
"""The group of entry points by which packages bring further commands: functions as typer takes them."""


class Commands(TyperGroup):
    """Ours, and those of packages that were installed with us, such as `easel bench`: none of them is known here.

    Typer brings a copy of click of its own, whose types have no public names.
    """

    def list_commands(self, ctx: Any) -> list[str]:
        return [*super().list_commands(ctx), *(program.name for program in _programs())]

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        if (own := super().get_command(ctx, cmd_name)) is not None:
            return own
        for program in _programs():
            if program.name == cmd_name:
                alone = typer.Typer(
                    add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
                )
                alone.command(cmd_name)(program.load())
                return typer.main.get_command(alone)
        return None


def _programs() -> EntryPoints:
    from importlib.metadata import (  # a third of all a command loads
        EntryPoints,
        PackageNotFoundError,
        distribution,
    )

    try:
        return distribution(DISTRIBUTION).entry_points.select(group=PROGRAMS)
    except PackageNotFoundError:  # run from a folder, not installed
        return EntryPoints()


app = typer.Typer(
    cls=Commands,
    help="/imagine for your own Discord server, on your own GPU.",
    epilog="Exit codes: 0 ended as told, 1 failed, 2 wrong usage, 75 another Easel uses this data folder, "
    "78 the owner must act first: settings, token, folders or a damaged database.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # its tracebacks print local variables, and one of those may be the token
    rich_markup_mode=None,
)

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="Settings file (default: $EASEL_CONFIG, ./easel.toml, the user's own)."),
]
ModelOption = Annotated[
    str | None, typer.Option(help="Hub id, folder or .safetensors file, instead of the configured model.")
]
PromptArgument = Annotated[
    str,
    typer.Argument(help="What to draw; (word:1.3) counts more, [word] less. To upscale none is needed."),
]
GuidanceOption = Annotated[
    float | None, typer.Option(help="How strictly to follow the prompt, 1 (not at all) to 30.")
]
SizeOption = Annotated[
    str | None, typer.Option(help="Width x height in pixels, each 64 to 2048, such as 512x768.")
]
OutOption = Annotated[
    Path | None, typer.Option("--out", "-o", help="PNG file to write (default: easel-SEED.png).")
]
ImageOption = Annotated[
    Path | None, typer.Option(help="PNG, JPEG or WebP to start from; it is squeezed into the size.")
]
MaskOption = Annotated[
    Path | None, typer.Option(help="As large as the image: white is drawn anew, black stays.")
]
StrengthOption = Annotated[
    float | None,
    typer.Option(help="How far from the image, from above 0 to 1 (default: 0.75, 0.2 to upscale)."),
]
UpscaleOption = Annotated[
    int | None,
    typer.Option(
        min=2, max=8, help="How many times as large the image is to be: by an upscaler, else drawn anew."
    ),
]
UpscalerOption = Annotated[
    str | None, typer.Option(help="Which upscaler, by its file's name without .safetensors.")
]
LoraOption = Annotated[
    list[str] | None,
    typer.Option(help="LoRA file by its name, with a weight from -2 to 2 (default: 1); may be repeated."),
]
ReferenceOption = Annotated[
    list[Path] | None,
    typer.Option(
        help="Image to edit as the prompt says, for models that can; may be repeated. The first gives the shape."
    ),
]
QuickOption = Annotated[
    bool,
    typer.Option(
        "--quick", help="The way that the model is fastest: fewer steps, of a few-step LoRA if it has one."
    ),
]
ScheduleOption = Annotated[
    str | None, typer.Option(help="At which noise it is removed: AYS (10 steps) or SGM Uniform.")
]
GuidanceUntilOption = Annotated[
    float | None,
    typer.Option(help="Share of the steps with guidance, 0 to 1: 0.6 leaves it out of the last 40 %."),
]
TileOption = Annotated[
    bool, typer.Option("--tile", help="Seamless: the edges meet, so that copies fit side by side.")
]

PicturesArgument = Annotated[
    Path, typer.Argument(help="Folder with pictures; beside each may lie its caption, a .txt of its name.")
]
TriggerOption = Annotated[
    str | None, typer.Option(help="Words that stand for what is taught, such as “snail toy”.")
]
CaptionOption = Annotated[
    str | None, typer.Option(help="Of pictures without one; {trigger} is the trigger (default).")
]
RankOption = Annotated[
    int | None, typer.Option(help="How much it can hold, and the file's size: 1 to 256 (default: 16).")
]
ResolutionOption = Annotated[
    int | None, typer.Option(help="Side in pixels that is learned at, 64 to 2048 (default: the model's own).")
]
RateOption = Annotated[
    float | None, typer.Option(help="How fast it learns, 1e-7 to 0.1 (default: 1e-4, small models 1e-3).")
]
TextRateOption = Annotated[
    float | None,
    typer.Option(help="The same for the text encoders, 0 to 0.1 (default: 0, they stay as they are)."),
]
BatchOption = Annotated[
    int | None, typer.Option(help="Pictures at a time, 1 to 64 (default: 1, small models 8).")
]
AccumulationOption = Annotated[
    int | None, typer.Option(help="Batches that make one step, 1 to 1000 (default: 1).")
]
RateScheduleOption = Annotated[
    str | None,
    typer.Option("--schedule", help="How the rate goes: cosine (default) falls, constant stays."),
]
SnrGammaOption = Annotated[
    float | None, typer.Option(help="min-SNR weighting, 0 to 100 (default: 5); 0 leaves it out.")
]
LayersOption = Annotated[
    str | None, typer.Option(help="attention or all (default: attention, small models all).")
]
KeepOption = Annotated[
    list[str] | None,
    typer.Option(help="A prompt whose picture is to stay as it is; may be repeated, the more the better."),
]
SampleOption = Annotated[
    list[str] | None, typer.Option(help="Prompt of a sample (default: the trigger); may be repeated.")
]
SampleEveryOption = Annotated[
    int | None, typer.Option(help="Steps between samples, 0 to 100000 (default: 100); 0 for none.")
]
SaveEveryOption = Annotated[
    int | None,
    typer.Option(help="Steps between checkpoints, all that a kill can lose: 1 to 100000 (default: 50)."),
]
CheckpointingOption = Annotated[
    bool | None,
    typer.Option(
        "--checkpointing/--no-checkpointing", help="Take less memory and more time (default: on cards)."
    ),
]
SameSeedOption = Annotated[
    int | None, typer.Option(help="0 to 4294967295 (default: 0): the same seed and files give the same LoRA.")
]


def main() -> None:
    """The program `easel`: whatever a command prints goes through `bot.shell.streams`."""
    streams.prepare(os.environ)
    try:
        app()
    finally:
        if (failed := streams.finish()) is not None:
            sys.exit(failed)


def _print_version(wanted: bool) -> None:
    if wanted:
        print(f"easel {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit."),
    ] = False,
) -> None:
    del version  # the callback has printed it


@app.command()
def run(config: ConfigOption = None) -> None:
    """Start the bot."""
    from bot.shell.stopping import Stop

    Stop().listen()  # before the imports, which take their time

    def body(settings: Settings) -> int:
        from bot.shell import run

        return run.run(settings)

    with_settings(config, body)


@app.command()
def init(
    folder: Annotated[Path, typer.Argument(help="Where easel.toml and the token's file go.")] = Path(),
    token_file: Annotated[
        Path | None,
        typer.Option(
            help="File that holds the bot's token, - for standard input (default: $DISCORD_TOKEN, else it is asked for)."
        ),
    ] = None,
    model: Annotated[
        str | None, typer.Option(help="What draws: starter, a hub id, a folder or a .safetensors file.")
    ] = None,
    direct_messages: Annotated[
        bool | None,
        typer.Option(
            "--direct-messages/--no-direct-messages", help="Whether people may ask in direct messages, too."
        ),
    ] = None,
    credits_per_day: Annotated[
        int | None,
        typer.Option(
            "--credits", min=0, max=1_000_000, help="Pictures of 512x512 that each person may draw a day."
        ),
    ] = None,
    service: Annotated[
        bool, typer.Option("--service", help="Also write easel.service, for systemd.")
    ] = False,
    compose: Annotated[bool, typer.Option("--compose", help="Also write compose.yaml, for Docker.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Overwrite what is there.")] = False,
) -> None:
    """Set Easel up: asks for token, model and rules, writes easel.toml and the token's file, and checks them.

    With --service or --compose alone, where easel.toml is there already, only that file is written.
    """
    from bot.shell.init.wizard import Said, run

    said = Said(
        folder=folder, token_file=token_file, model=model, direct_messages=direct_messages,
        credits_per_day=credits_per_day, service=service, compose=compose, force=force,
    )  # fmt: skip
    exit_with(lambda: run(said))


@app.command()
def demo(
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Port of the chat page, 0 for any free one.")
    ] = 8642,
    script: Annotated[
        str,
        typer.Option(
            help="What people do there by themselves: welcome (a few pictures), evening (a replay to record), empty."
        ),
    ] = "welcome",
    model: ModelOption = None,
    config: ConfigOption = None,
) -> None:
    """Start the bot inside a simulated Discord, with a chat page to try it: no token, no GPU.

    The signal USR1 restarts the bot: what is on the page stays, and a picture that was being drawn is begun again.
    """

    def body(settings: Settings) -> int:
        with brought_by("demo"):
            from bot.shell import demo as bot_demo
        return bot_demo.run(settings, port, script)

    with_settings(config, body, model=model)


@app.command()
def imagine(
    prompt: PromptArgument = "",
    negative: Annotated[str, typer.Option(help="What to avoid.")] = "",
    steps: Annotated[int | None, typer.Option(help="Denoising steps, 1 to 150.")] = None,
    guidance: GuidanceOption = None,
    seed: Annotated[int, typer.Option(help="0 to 4294967295; -1 for a random one.")] = -1,
    size: SizeOption = None,
    aspect: Annotated[str | None, typer.Option(help="Shape instead of a size, such as 3:2.")] = None,
    sampler: Annotated[str | None, typer.Option(help='Such as "Euler a" or "DPM++ 2M Karras".')] = None,
    schedule: ScheduleOption = None,
    guidance_until: GuidanceUntilOption = None,
    quick: QuickOption = False,
    images: Annotated[int, typer.Option("--images", "-n", help="How many images, 1 to 10.")] = 1,
    image: ImageOption = None,
    mask: MaskOption = None,
    strength: StrengthOption = None,
    reference: ReferenceOption = None,
    upscale: UpscaleOption = None,
    upscaler: UpscalerOption = None,
    lora: LoraOption = None,
    tile: TileOption = False,
    out: OutOption = None,
    model: ModelOption = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = None,
    config: ConfigOption = None,
) -> None:
    """Draw one picture without Discord."""

    def body(settings: Settings) -> int:
        from bot.core.asking.wish import Quality, Wish
        from bot.shell.one_picture import CommandLine, imagine

        wish = Wish(
            prompt=prompt,
            negative_prompt=negative,
            steps=steps,
            guidance=guidance,
            seed=seed,
            size=size,
            aspect=aspect,
            sampler=sampler,
            schedule=schedule,
            guidance_until=guidance_until,
            quality=Quality.QUICK if quick else None,
            images=images,
            strength=strength,
            upscale=upscale,
            lora=", ".join(lora or ()),
            tile=tile or None,
        )
        line = CommandLine(
            wish=wish, image=image, mask=mask, references=tuple(reference or ()),
            upscaler=upscaler, is_model_named=model is not None, out=out,
        )  # fmt: skip
        return imagine(settings, line)

    with_settings(config, body, model=model, device=device)


@app.command()
def train(
    folder: PicturesArgument,
    name: Annotated[str, typer.Option(help="What the LoRA will be called.")],
    trigger: TriggerOption = None,
    caption: CaptionOption = None,
    steps: Annotated[
        int | None, typer.Option(help="How often it learns, 1 to 100000 (default: 500).")
    ] = None,
    rank: RankOption = None,
    resolution: ResolutionOption = None,
    rate: RateOption = None,
    text_rate: TextRateOption = None,
    batch: BatchOption = None,
    accumulation: AccumulationOption = None,
    rate_schedule: RateScheduleOption = None,
    warmup: Annotated[
        int | None,
        typer.Option(help="Steps until the rate is reached, 0 to as many as --steps (default: 0)."),
    ] = None,
    snr_gamma: SnrGammaOption = None,
    layers: LayersOption = None,
    keep: KeepOption = None,
    sample: SampleOption = None,
    sample_every: SampleEveryOption = None,
    save_every: SaveEveryOption = None,
    checkpointing: CheckpointingOption = None,
    seed: SameSeedOption = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on from the last checkpoint.")] = False,
    model: ModelOption = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.")] = None,
    config: ConfigOption = None,
) -> None:
    """Teach the model something of your own from pictures: writes a LoRA into the folder of models."""
    if trigger is None and not resume:
        raise typer.BadParameter("say which words stand for what is taught", param_hint="'--trigger'")
    said: dict[str, Any] = {
        "name": name, "folder": str(folder.absolute()), "trigger": trigger, "caption": caption, "steps": steps,
        "rank": rank, "resolution": resolution, "rate": rate, "text_rate": text_rate, "batch": batch,
        "accumulation": accumulation, "schedule": rate_schedule, "warmup": warmup, "snr_gamma": snr_gamma,
        "layers": layers, "keep": keep or None, "samples": sample or None, "sample_every": sample_every,
        "save_every": save_every, "checkpointing": checkpointing, "seed": seed,
    }  # fmt: skip

    def body(settings: Settings) -> int:
        from bot.shell import training

        typed = {option: value for option, value in said.items() if value is not None}
        return training.train(settings, typed, resume=resume)

    with_settings(config, body, model=model, device=device)


@app.command()
def doctor(
    config: ConfigOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")] = False,
    deep: Annotated[
        bool, typer.Option("--deep", help="Also read the whole database, its books and the newest backup.")
    ] = False,
    online: Annotated[
        bool, typer.Option("--online", help="Also ask Discord: is it in reach, does it take the token.")
    ] = False,
) -> None:
    """Check everything without writing anything; each red line ends with what fixes it."""

    def body(settings: Settings) -> int:
        from bot.config import find
        from bot.shell.doctor import report as bot_doctor

        return bot_doctor.run(settings, find(config, os.environ), as_json=as_json, deep=deep, online=online)

    with_settings(config, body)


@app.command()
def health(config: ConfigOption = None) -> None:
    """Say whether the running bot is well; exit code 1 if not. For containers and monitoring."""

    def body(settings: Settings) -> int:
        import time

        from bot.vitals.health import look

        problems = look(settings.data_dir, now=time.time())
        print("\n".join(problems) or "Easel is well.")
        return 1 if problems else 0

    with_settings(config, body)


@app.command()
def sync(
    force: Annotated[
        bool, typer.Option("--force", help="Push the commands even if nothing changed.")
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Push the slash commands to Discord."""

    def body(settings: Settings) -> int:
        from bot.shell import run

        return run.sync(settings, force)

    with_settings(config, body)


@app.command()
def backup(
    file: Annotated[
        Path | None, typer.Argument(help="Where to (default: a new file among the backups).")
    ] = None,
    config: ConfigOption = None,
) -> None:
    """Copy the database, while the bot runs or not, and check the copy."""

    def body(settings: Settings) -> int:
        from bot.shell import backup_and_restore as rescue

        return rescue.back_up(settings, file)

    with_settings(config, body)


@app.command()
def restore(
    file: Annotated[Path | None, typer.Argument(help="Which backup (default: the newest good one).")] = None,
    config: ConfigOption = None,
) -> None:
    """Put a backup in the database's place; what was there is kept beside it. The bot must be stopped."""

    def body(settings: Settings) -> int:
        from bot.shell import backup_and_restore as rescue

        return rescue.restore(settings, file)

    with_settings(config, body)


@app.command()
def info(
    image: Annotated[
        Path, typer.Argument(help="A PNG made by Easel, or another program's PNG, JPEG or WebP.")
    ],
    check: Annotated[
        bool,
        typer.Option("--check", help="Also say whether this machine would draw it again: takes seconds."),
    ] = False,
    config: ConfigOption = None,
) -> None:
    """Print the settings that a picture carries; with --check, whether this machine would draw it again."""

    from bot.shell.carried_settings import show_info

    if check or config is not None:
        from bot.config.engine import devices_here

        with_settings(
            config,
            lambda settings: show_info(
                image, settings if check else None, devices_here(settings) if check else ()
            ),
        )
    raise typer.Exit(show_info(image, None))


collection = typer.Typer(help="List, add and verify the models that Easel may load.", no_args_is_help=True)
app.add_typer(collection, name="models")


@collection.command("list")
def list_models(config: ConfigOption = None) -> None:
    """Show what is there, and what is wrong with it."""
    _tend(config, "list")


@collection.command("add")
def add_model(
    source: Annotated[
        str,
        typer.Argument(
            help="owner/name or owner/name@revision on the hub, a folder, or a .safetensors file."
        ),
    ],
    config: ConfigOption = None,
) -> None:
    """Download or copy a model into the folder of models, complete and checked."""
    _tend(config, "add", source)


@collection.command("verify")
def verify_models(
    name: Annotated[str | None, typer.Argument(help="One name of the list (default: everything).")] = None,
    config: ConfigOption = None,
) -> None:
    """Read every weight file wholly and compare it with its SHA-256; exit code 1 if anything is broken."""
    _tend(config, "verify", name)


def _tend(config: Path | None, action: str, name: str | None = None) -> None:
    def body(settings: Settings) -> int:
        from bot.shell.own_models import tend

        return tend(settings, action, name)

    with_settings(config, body)


@contextmanager
def brought_by(extra: str) -> Generator[None]:
    """Around imports: where the packages of that extra are not installed, one sentence says how to get them."""
    try:
        yield
    except ModuleNotFoundError as missing:
        print(
            f"This command needs {missing.name}: install it with pip install '{DISTRIBUTION}[{extra}]'.",
            file=sys.stderr,
        )
        raise typer.Exit(1) from None


def with_settings(
    config: Path | None,
    body: Callable[[Settings], int],
    *,
    model: str | None = None,
    device: str | None = None,
) -> None:
    """Loads the settings (options of the command line win), runs `body` and exits with its code."""
    from bot.config import load

    exit_with(lambda: body(load(config, options={"engine.model": model, "engine.device": device})))


def exit_with(act: Callable[[], int]) -> None:
    """Exits with its code; what is wrong with options and settings is told."""
    from bot.config import ConfigError, WrongOption
    from bot.shell.exit_codes import EXIT_CONFIG

    try:
        code = act()
    except WrongOption as error:
        raise typer.BadParameter(error.problems[0], param_hint=f"'{error.option}'") from None
    except ConfigError as error:
        print(error, file=sys.stderr)
        raise typer.Exit(EXIT_CONFIG) from None
    raise typer.Exit(code)
