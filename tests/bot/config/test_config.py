"""easel.toml and the environment: what is accepted, and how every mistake is told."""

from __future__ import annotations

import typing
from pathlib import Path

import pytest

from bot import config
from bot.config import ConfigError, Settings, load
from bot.limits import Limits
from engine.contract import STARTER, WIDE_ROWS, EngineSettings

ROOT = Path(__file__).parents[3]


def write(folder: Path, text: str) -> Path:
    file = folder / "easel.toml"
    file.write_text(text, "utf-8")
    return file


def problems(path: Path | None, environ: dict[str, str] | None = None) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        load(path, environ or {})
    return caught.value.problems


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without an easel.toml of its own."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


def test_no_file_means_defaults() -> None:
    """Without any file and variable every key has its documented default."""
    settings = load(None, {})

    assert settings == Settings()
    assert settings.engine.model == STARTER
    assert settings.limits.to_limits() == Limits(
        credits_per_day=100,
        credits_per_night=100,
        pending=3,
        max_pixels=1024 * 1024,
        max_steps=60,
        max_images=4,
    )
    assert settings.ceilings.to_limits() == Limits(
        credits_per_day=10_000,
        credits_per_night=10_000,
        pending=50,
        max_pixels=2048 * 2048,
        max_steps=150,
        max_images=10,
        weight=10,
        trainings=10,
        training_pictures=200,
        training_steps=5000,
        training_mb=1000,
    )


def test_limits_and_ceilings_have_the_names_of_limits() -> None:
    """A field added to bot.job.Limits needs its key in both sections."""
    assert tuple(config.LimitsSection.model_fields) == Limits.names()
    assert tuple(config.CeilingsSection.model_fields) == Limits.names()


def test_the_file_is_looked_for_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """--config beats $EASEL_CONFIG, which beats ./easel.toml, which beats the user's own folder."""
    places = {name: tmp_path / name for name in ("option", "variable", "here", "home/easel")}
    for number, folder in enumerate(places.values()):
        folder.mkdir(parents=True, exist_ok=True)
        write(folder, f"[engine]\nslots = {10 + number}\n")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "home"))
    variable = {"EASEL_CONFIG": str(places["variable"] / "easel.toml")}

    assert load(places["option"] / "easel.toml", variable).engine.slots == 10
    assert load(None, variable).engine.slots == 11
    assert load(None, {}).engine.slots == 12
    (places["here"] / "easel.toml").unlink()
    assert load(None, {}).engine.slots == 13


def test_a_named_file_must_exist(tmp_path: Path) -> None:
    """A file asked for by name is never silently replaced by defaults."""
    missing = tmp_path / "missing.toml"

    assert str(missing) in problems(missing)[0]
    assert str(missing) in problems(None, {"EASEL_CONFIG": str(missing)})[0]


def test_every_mistake_is_told_at_once(tmp_path: Path) -> None:
    """One run lists all problems of file and environment, one line each, with key, finding and allowed values."""
    file = write(
        tmp_path,
        """
        [engine]
        slots = "4"
        device = "gpu"
        slotz = 4
        mode = "quick"
        rows = 3
        [limits]
        max_steps = 151
        [log]
        level = "loud"
        [preview]
        every = 151
        [progres]
        interval_s = 1
        """,
    )

    found = problems(file, {"EASEL_QUEUE_MAX": "lots", "EASEL_ENGINE_MODELL": "x"})

    assert sorted(found) == [
        "EASEL_ENGINE_MODELL: there is no such setting; did you mean EASEL_ENGINE_MODEL?",
        "[progres]: there is no such section; did you mean progress?",
        'engine.device: found "gpu"; allowed: "auto", "cpu", "cuda", "cuda:0", "cuda:1", … or "mps".',
        'engine.mode: found "quick"; allowed: "auto", "exact", "wide", "fast".',
        'engine.rows: found 3; allowed: "auto", 2, 4, 8, 16.',
        'engine.slots: found "4"; allowed: a whole number from 1 to 64.',
        "engine.slotz: there is no such key; did you mean engine.slots?",
        "limits.max_steps: found 151; allowed: a whole number from 1 to 150.",
        'log.level: found "loud"; allowed: "debug", "info", "warning", "error".',
        "preview.every: found 151; allowed: a whole number from 0 to 150.",
        'queue.max (from EASEL_QUEUE_MAX): found "lots"; allowed: a whole number from 1 to 100000.',
    ]


def test_the_error_names_file_and_count(tmp_path: Path) -> None:
    """The text of a ConfigError begins with where the problems are, and holds one indented line for each."""
    file = write(tmp_path, "[engine]\nslots = 0\n[queue]\nmax = 0\n")
    with pytest.raises(ConfigError) as caught:
        load(file, {})

    head, *rest = str(caught.value).splitlines()
    assert head == f"Easel found 2 problems in {file}:"
    assert [line.startswith("  ") for line in rest] == [True, True]


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("[engine]\nslots = true", "engine.slots"),
        ("[engine]\nslots = 4.0", "engine.slots"),
        ("[engine]\nslots = 65", "engine.slots"),
        ('[engine]\noffline = "yes"', "engine.offline"),
        ("[engine]\noffline = 1", "engine.offline"),
        ('[engine]\nmodel = ""', "engine.model"),
        ("[engine]\nmodel = 5", "engine.model"),
        ('[engine]\ndevice = "cuda:"', "engine.device"),
        ('[engine]\nmode = "Exact"', "engine.mode"),
        ('[engine]\nrows = "4"', "engine.rows"),
        ("[engine]\nrows = true", "engine.rows"),
        ('[engine]\nruntime = "onnx"', "engine.runtime"),
        ('[engine]\ndtype = "int8"', "engine.dtype"),
        ("[engine]\nchannels_last = true", "engine.channels_last"),
        ('[engine]\nfused_qkv = "yes"', "engine.fused_qkv"),
        ('[engine]\nmode = "exact"\nruntime = "openvino"', "engine.runtime"),
        ("[preview]\nevery = -1", "preview.every"),
        ("[preview]\nmodel = 5", "preview.model"),
        ("[limits]\npending = 0", "limits.pending"),
        ("[limits]\nmax_pixels = 16777217", "limits.max_pixels"),
        ("[limits]\nmax_images = 11", "limits.max_images"),
        ("[ceilings]\ncredits_per_day = -1", "ceilings.credits_per_day"),
        ('[server]\ntime_zone = "Mars/Olympus"', "server.time_zone"),
        ('[server]\ntime_zone = "../../etc/passwd"', "server.time_zone"),
        ('[server]\ntime_zone = "Europe"', "server.time_zone"),
        ('[server]\ntime_zone = ""', "server.time_zone"),
        ("[data]\ndir = 5", "data.dir"),
        ("[data]\nretention_days = -1", "data.retention_days"),
        ("[progress]\ninterval_s = 0.1", "progress.interval_s"),
        ("[progress]\ninterval_s = nan", "progress.interval_s"),
        ('[log]\nformat = "xml"', "log.format"),
        ("[discord]\ntoken_file = 1", "discord.token_file"),
        ('[engine]\naddress = "ray://10.0.0.2:10001"', "engine.address"),
        ("[metrics]\nlisten = 9464", "metrics.listen"),
        ('[metrics]\nlisten = "9464"', "metrics.listen"),
        ('[metrics]\nlisten = "127.0.0.1:0"', "metrics.listen"),
        ('[metrics]\nlisten = "127.0.0.1:70000"', "metrics.listen"),
        ('[metrics]\nlisten = "http://127.0.0.1:9464"', "metrics.listen"),
        ("engine = 5", "engine"),
        ("slots = 5", "slots"),
    ],
)
def test_impossible_values_are_refused(tmp_path: Path, text: str, key: str) -> None:
    """Wrong types and values out of range are told under their key, and only they."""
    found = problems(write(tmp_path, text))

    assert [problem.partition(":")[0] for problem in found] == [key]


def test_a_near_time_zone_is_offered(tmp_path: Path) -> None:
    """A misspelt time zone comes with the one that was probably meant."""
    (found,) = problems(write(tmp_path, '[server]\ntime_zone = "Europe/Berlni"'))

    assert "did you mean 'Europe/Berlin'?" in found


def test_limits_stay_under_the_ceilings(tmp_path: Path) -> None:
    """A default limit over the owner's ceiling is told for each key, with the ceiling."""
    found = problems(
        write(
            tmp_path,
            "[limits]\npending = 60\nmax_images = 5\n[ceilings]\nmax_images = 3\nseconds_between = 9\n",
        )
    )

    assert found == (
        "limits.pending: found 60; allowed: at most 50, which is ceilings.pending.",
        "limits.max_images: found 5; allowed: at most 3, which is ceilings.max_images.",
        "limits.seconds_between: found 0; allowed: at least 9, which is ceilings.seconds_between.",
    )


def test_exact_is_torchs(tmp_path: Path) -> None:
    """Where pictures are to equal a plain pipe()'s it is refused in a sentence that names both keys; otherwise taken."""
    text = '[engine]\nmode = "{mode}"\nruntime = "openvino"\n'

    assert problems(write(tmp_path, text.format(mode="exact"))) == (
        (
            'engine.runtime: found "openvino"; allowed: "auto" or "torch" as long as engine.mode is "exact", '
            "since its pictures equal torch's."
        ),
    )
    for mode in ("auto", "wide", "fast"):
        assert load(write(tmp_path, text.format(mode=mode)), {}).engine.runtime == "openvino"


def test_settings_have_the_contracts_words() -> None:
    """What [engine] takes is what the engine itself takes, with the same defaults."""
    settings, told = config.EngineSection(), EngineSettings(model="x", spool="/x")
    shared = ("mode", "rows", "dtype", "channels_last", "fused_qkv", "runtime", "slots", "device")

    assert [getattr(settings, name) for name in shared] == [getattr(told, name) for name in shared]
    assert typing.get_args(config.EngineSection.model_fields["rows"].annotation) == ("auto", *WIDE_ROWS)


def test_broken_toml_names_its_line(tmp_path: Path) -> None:
    """A syntax error is told with file and line."""
    file = write(tmp_path, "[engine]\nslots = 4\n[limits\n")

    assert problems(file)[0].startswith(f"{file}, line 3: this is not TOML")


def test_a_file_that_is_no_text_is_told(tmp_path: Path) -> None:
    """Bytes that are not UTF-8 end in a sentence."""
    file = tmp_path / "easel.toml"
    file.write_bytes(b"\xff\xfe\x00")

    assert problems(file) == (f"{file}: the file is not UTF-8 text.",)


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    """EASEL_SECTION_KEY beats the file, in the key's own type; an empty variable means unset."""
    file = write(tmp_path, "[engine]\nslots = 2\noffline = false\n[queue]\nmax = 7\n")
    settings = load(
        file,
        {
            "EASEL_ENGINE_SLOTS": "8",
            "EASEL_ENGINE_OFFLINE": "true",
            "EASEL_ENGINE_MODEL": "owner/name",
            "EASEL_ENGINE_ROWS": "8",
            "EASEL_PROGRESS_INTERVAL_S": "0.5",
            "EASEL_QUEUE_MAX": "",
            "EASEL_CI": "1",
        },
    )

    assert (settings.engine.slots, settings.engine.offline, settings.engine.model) == (8, True, "owner/name")
    assert (settings.engine.rows, settings.progress.interval_s, settings.queue.max) == (8, 0.5, 7)


def test_every_key_has_its_variable(tmp_path: Path) -> None:
    """No two keys share a variable, and each one's variable reaches it."""
    assert len(config.VARIABLES) == len(config.KEYS)
    for variable, key in config.VARIABLES.items():
        found = {
            "time_zone": "Mars",
            "dir": "x",
            "checker": "x",
            "token_file": "x",
            "model": "x",
            "file": "x",
        }.get(key.partition(".")[2], "?")
        if found == "x":
            assert load(None, {variable: str(tmp_path / "x")}) != Settings()
        else:
            assert problems(None, {variable: found})[0].startswith(f"{key} (from {variable}): found ")


def test_paths_count_from_the_file(tmp_path: Path) -> None:
    """Relative paths in easel.toml mean the folder it lies in, wherever Easel was started."""
    (tmp_path / "models" / "mine").mkdir(parents=True)
    text = (
        '[data]\ndir = "data"\n[discord]\ntoken_file = "token"\n[engine]\nmodel = "models/mine"\n'
        '[preview]\nmodel = "taesd"\n'
    )
    settings = load(write(tmp_path, text), {})

    assert settings.data_dir == tmp_path / "data"
    assert settings.database == tmp_path / "data" / "easel.sqlite3"
    assert settings.spool == tmp_path / "data" / "spool"
    assert settings.discord.token_path == tmp_path / "token"
    assert settings.engine.model == str(tmp_path / "models" / "mine")
    assert settings.preview.model == tmp_path / "taesd"


def test_a_hub_id_stays_a_hub_id(tmp_path: Path) -> None:
    """owner/name is only taken for a folder where such a folder lies, with and without a revision."""
    for model in ("owner/name", "owner/name@v1.0"):
        settings = load(write(tmp_path, f'[engine]\nmodel = "{model}"'), {})
        assert settings.engine.model == model


def test_a_model_may_be_a_file(tmp_path: Path) -> None:
    """A file's path counts as a folder's does, there or not, and keeps its name where it is a link."""
    (tmp_path / "blob").write_bytes(b"")
    (tmp_path / "mine.safetensors").symlink_to(tmp_path / "blob")
    for name, expected in (
        ("mine.safetensors", tmp_path / "mine.safetensors"),
        ("models/gone.safetensors", tmp_path / "models" / "gone.safetensors"),
        ("./old.ckpt", tmp_path / "old.ckpt"),
        ("~/x.safetensors", Path.home() / "x.safetensors"),
    ):
        settings = load(write(tmp_path, f'[engine]\nmodel = "{name}"'), {})
        assert settings.engine.model == str(expected)


def test_the_zone_is_usable(tmp_path: Path) -> None:
    """The time zone comes as one that datetime takes."""
    settings = load(write(tmp_path, '[server]\ntime_zone = "Europe/Berlin"'), {})

    assert settings.zone.key == "Europe/Berlin"


# ------------------------------------------------------------------ the token


def test_the_token_does_not_belong_in_the_file(tmp_path: Path) -> None:
    """A token written into easel.toml is refused with the right places, and never repeated."""
    found = problems(write(tmp_path, '[discord]\ntoken = "very-secret"'))

    assert "DISCORD_TOKEN" in found[0]
    assert "token_file" in found[0]
    assert "very-secret" not in found[0]


def test_the_token_is_found_in_order(tmp_path: Path) -> None:
    """DISCORD_TOKEN beats DISCORD_TOKEN_FILE, which beats token_file; white space around it is dropped."""
    named, configured = tmp_path / "named", tmp_path / "configured"
    named.write_text("from.na.med\n")
    configured.write_text("from.confi.gured\n")
    file = write(tmp_path, '[discord]\ntoken_file = "configured"')

    everything = {"DISCORD_TOKEN": " di.re.ct ", "DISCORD_TOKEN_FILE": str(named)}
    assert load(file, everything).discord.read_token() == "di.re.ct"
    assert load(file, everything).discord.token_path is None
    assert load(file, {"DISCORD_TOKEN_FILE": str(named)}).discord.read_token() == "from.na.med"
    assert load(file, {"DISCORD_TOKEN": ""}).discord.read_token() == "from.confi.gured"


def test_a_missing_token_is_told_late_and_clearly(tmp_path: Path) -> None:
    """Settings load without a token; asking for it says what to set."""
    settings = load(None, {})
    with pytest.raises(ConfigError, match="set DISCORD_TOKEN"):
        settings.discord.read_token()


@pytest.mark.parametrize(
    ("content", "sentence"), [(None, "can't be read"), (b" \n", "is empty"), (b"\xff\xff", "can't be read")]
)
def test_a_useless_token_file_is_told(tmp_path: Path, content: bytes | None, sentence: str) -> None:
    """An absent, empty or binary token file ends in a sentence that names it."""
    token = tmp_path / "token"
    if content is not None:
        token.write_bytes(content)
    settings = load(None, {"DISCORD_TOKEN_FILE": str(token)})
    with pytest.raises(ConfigError, match=sentence) as caught:
        settings.discord.read_token()

    assert str(token) in str(caught.value)


def test_settings_never_show_the_token() -> None:
    """Neither repr nor a dump of the settings holds the token."""
    settings = load(None, {"DISCORD_TOKEN": "very-secret"})

    assert "very-secret" not in repr(settings)
    assert "very-secret" not in repr(settings.discord.__dict__)
    assert "very-secret" not in settings.model_dump_json()


# ------------------------------------------------------------------ the example file


def test_the_example_activates_stable_diffusion() -> None:
    """example.toml loads as it is and differs from the defaults in the model alone."""
    settings = load(ROOT / "bot" / "config" / "example.toml", {})

    assert settings.engine.model == "stable-diffusion-v1-5/stable-diffusion-v1-5"
    assert settings.model_copy(update={"engine": Settings().engine}) == Settings()


@pytest.mark.parametrize(
    ("text", "host", "is_loopback"),
    [
        ("127.0.0.1:9464", "127.0.0.1", True),
        ("localhost:9464", "localhost", True),
        ("[::1]:9464", "::1", True),
        ("0.0.0.0:9464", "0.0.0.0", False),
        ("[::]:9464", "::", False),
        ("gpu-box.lan:9464", "gpu-box.lan", False),
    ],
)
def test_who_reaches_an_address_is_known(tmp_path: Path, text: str, host: str, is_loopback: bool) -> None:
    """Of numbers and names, IPv6 in its brackets; it is told as it was written."""
    address = load(write(tmp_path, f'[metrics]\nlisten = "{text}"'), {}).metrics.address

    assert address is not None
    assert (address.host, address.port, address.is_loopback) == (host, 9464, is_loopback)
    assert str(address) == text
