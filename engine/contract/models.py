"""What one model offers, with its own defaults and bounds; knows no files. Standard library only."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

from engine.contract import foreign_syntax
from engine.contract import loras as lora_words
from engine.contract.limits import (
    SIDE_MAX,
    SIDE_MIN,
    SIDE_MULTIPLE,
    UPSCALE_MAX,
    UPSCALED_SIDE_MAX,
    Listed,
    check_enlarging,
    check_side,
    parse_aspect,
    usual_strength,
)
from engine.contract.loras import AdapterInfo, Lora, from_prompt
from engine.contract.recipes import Recipe
from engine.contract.requests import GenerationRequest, Start
from engine.contract.samplers import (
    AYS,
    AYS_STEPS,
    EVERY_SAMPLER,
    LANCZOS,
    OWN_SAMPLER,
    SAMPLERS,
    check_schedule,
    spelled,
    spelled_schedule,
)
from engine.contract.sizes import Shape, enlarged, rounded, too_large
from engine.errors import InvalidRequest

STARTER = "starter"
"""The name of the model that ships with Easel, wherever a model's id or folder is asked for."""

Decoder = Literal["full", "tiny"]
FULL: Decoder = "full"
"""A model's own VAE."""
TINY: Decoder = "tiny"
"""A small network that was taught to do as the VAE does, nearly, in little time."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """What one model offers, with its own defaults and bounds (pixels per side and in all, steps)."""

    id: str
    title: str
    family: str = "sd"
    description: str = ""
    words: tuple[str, ...] = ()
    """Trigger words: what its prompts may hold so that it draws what it was made for."""
    preview: str = ""
    """Path of a picture beside it, which nobody has looked into; empty where there is none."""
    width: int = 512
    height: int = 512
    steps: int = 30
    guidance_scale: float = 7.5
    sampler: str = "PNDM"
    side_min: int = SIDE_MIN
    side_max: int = SIDE_MAX
    side_multiple: int = SIDE_MULTIPLE
    pixels_max: int = SIDE_MAX * SIDE_MAX
    steps_max: int = 150
    samplers: tuple[str, ...] = tuple(SAMPLERS)
    decoder: Decoder = FULL
    """What makes pictures of its latents."""
    safety_checker: bool = False
    """Whether its pictures are looked at before anybody sees them, by its own checker or one that is lent to it."""
    takes_images: bool = False
    """Whether it can start from an image, and draw within a mask."""
    needs_mask: bool = False
    """Whether it can do nothing else."""
    redraws_enlarged: bool = True
    """Whether it redraws a picture a little that it enlarges; else that is left to Lanczos."""
    references_max: int = 0
    """How many images an instruction may be about; 0 where it edits nothing by instruction."""
    references_min: int = 0
    """How many it can't do without."""
    takes_tiling: bool = False
    """Whether it can draw pictures whose edges meet."""
    loras: tuple[AdapterInfo, ...] = ()
    embeddings: tuple[AdapterInfo, ...] = ()
    """Words that its prompts may hold besides those of its language, by the files that taught them."""
    quick: Recipe | None = None
    """What it draws with where pictures are wanted sooner; None where nothing is known that suits it."""
    scale: int = 1
    """Of an upscaler: how many times as wide and as high its network makes a picture; 1 for all other models."""

    @property
    def edits_by_instruction(self) -> bool:
        """Whether it takes images and words that say what to change in them."""
        return self.references_max > 0

    @property
    def standard(self) -> Recipe:
        """What it draws with where nothing is said."""
        return Recipe(steps=self.steps, guidance_scale=self.guidance_scale, sampler=self.sampler)

    def size_for(self, aspect: str) -> tuple[int, int]:
        """(width, height) with about this model's native pixel count and the ratio "W:H"; raises InvalidRequest."""
        return self.size_like(*parse_aspect(aspect))

    def size_like(self, across: int, down: int) -> tuple[int, int]:
        """The same with the ratio of `across` to `down`, both above 0: always a size that `check` takes."""
        return Shape(across=across, down=down).fitted(
            self.width * self.height, least=self.side_min, most=self.side_max,
            multiple=self.side_multiple, pixels_max=self.pixels_max,
        )  # fmt: skip

    def request(  # noqa: PLR0913 - one for each option
        self,
        *,
        prompt: str,
        seed: int,
        negative_prompt: str | None = None,
        size: tuple[int, int] | None = None,
        steps: int | None = None,
        guidance_scale: float | None = None,
        sampler: str | None = None,
        schedule: str | None = None,
        guidance_until: float | None = None,
        recipe: Recipe | None = None,
        images: int | None = None,
        start: Start | None = None,
        loras: tuple[Lora, ...] = (),
        references: tuple[str, ...] = (),
        tile: bool = False,
    ) -> GenerationRequest:
        """A request for this model; every option left out takes the model's own default, or the recipe's. Raises InvalidRequest.

        A schedule without a sampler takes the first of the model's that works with it. Tags of LoRAs are taken out of the
        prompt and count like `loras`.
        """
        text, tagged = from_prompt(prompt)
        against = lora_words.without_tags(negative_prompt or "")
        told = (*lora_words.remarks(prompt, negative_prompt or ""), *foreign_syntax.remarks(text, against))
        width, height = size or (self.width, self.height)
        asked = sampler is not None and spelled(sampler) == LANCZOS.name
        plain = start is not None and start.upscale > 1 and (asked or not self.enlarges(width, height))
        if plain:
            sampler, steps, guidance_scale = LANCZOS.name, 1, 1.0
        elif self.scale > 1:
            sampler = steps = guidance_scale = None
        if plain or self.scale > 1:  # what takes an image and nothing else
            against, told, loras, tagged, tile = "", (), (), (), False
            schedule = guidance_until = recipe = None
        usual = recipe or self.standard
        chosen, schedule = self._sampling(sampler, schedule, usual)
        if not plain:
            self._check_sampler(chosen, steps, schedule)
            if start is None or start.upscale == 1:
                self._check_size(width, height)
        if steps is None:  # a default never breaks a chosen sampler's own range
            own = AYS_STEPS if schedule == AYS != usual.schedule else usual.steps
            steps = min(own, EVERY_SAMPLER[chosen].steps_max)
        request = GenerationRequest(
            prompt=text, negative_prompt=against, remarks=told,
            width=width, height=height, tile=tile, steps=steps,
            guidance_scale=usual.guidance_scale if guidance_scale is None else guidance_scale,
            guidance_until=usual.guidance_until if guidance_until is None else guidance_until,
            sampler=chosen, schedule=schedule,
            seed=seed, images=1 if images is None else images,
            model=self.id, references=references,
            loras=lora_words.spelled(usual.with_own((*loras, *tagged)), self.loras),
            **({} if start is None else _begun(start, steps, whole=plain or self.scale > 1)),
        )  # fmt: skip
        self.check(request)
        return request

    def _sampling(self, sampler: str | None, schedule: str | None, usual: Recipe) -> tuple[str, str]:
        """(sampler, schedule), by their own spelling; the usual schedule is left out where the sampler does not work with it."""
        known = EVERY_SAMPLER
        if schedule:
            schedule = spelled_schedule(schedule)
            fitting = (name for name in (usual.sampler, *self.samplers) if schedule in known[name].schedules)
            return spelled(sampler) if sampler else next(fitting, usual.sampler), schedule
        chosen = spelled(sampler) if sampler else usual.sampler
        return chosen, usual.schedule if chosen in known and usual.schedule in known[chosen].schedules else ""

    def upscaled(self, across: int, down: int, times: int) -> tuple[int, int]:
        """(width, height) of a picture of `across` x `down` pixels, enlarged; raises InvalidRequest beyond the bounds.

        What is too large for a model that draws is refused where a smaller scale is not; else Lanczos makes it.
        """
        size = across, down
        if (found := self._upscaled(size, times)) is not None:
            return found
        scales = range(times - 1, 1, -1)
        fits = next((scale for scale in scales if self._upscaled(size, scale)), 1)
        if fits == 1 and self.scale == 1:
            if (found := _plainly(size, times)) is not None:
                return found
            fits = next((scale for scale in scales if _plainly(size, scale)), 1)
        raise too_large(size, times, fits, UPSCALED_SIDE_MAX // 2)

    def _upscaled(self, size: tuple[int, int], times: int) -> tuple[int, int] | None:
        """None where it can't do that itself."""
        if times > (UPSCALE_MAX if self.scale == 1 else self.scale) or not self._takes_whole_images:
            return None
        return enlarged(
            size,
            times,
            least=self.side_min,
            most=self.side_max,
            multiple=self.side_multiple,
            pixels_max=self.pixels_max,
        )

    def enlarges(self, width: int, height: int) -> bool:
        """Whether a picture of that size, enlarged already, is what this model draws anew or makes itself."""
        if self.scale > 1:
            return True
        return (
            self.redraws_enlarged and self._takes_whole_images and self._size_problem(width, height) is None
        )

    @property
    def _takes_whole_images(self) -> bool:
        return self.takes_images and not self.needs_mask

    def check(self, request: GenerationRequest) -> None:
        """Raises InvalidRequest where the request is outside what this model can draw."""
        if request.is_plain:
            check_enlarging(LANCZOS.name, UPSCALE_MAX, request.upscale, request.images)
            return
        self._check_kind(request)
        self._check_size(request.width, request.height, enlarged=request.upscale > 1)
        self._check_sampler(request.sampler, request.steps, request.schedule)

    def _check_size(self, width: int, height: int, *, enlarged: bool = False) -> None:
        """Raises InvalidRequest with a size that is accepted, as near as there is one."""
        near = self.nearest(width, height)
        use, given = (near[0], width) if width != near[0] else (near[1], height)
        if width != near[0] and height != near[1]:
            use, given = f"{near[0]}x{near[1]}", f"{width}x{height}"
        for name, side in () if enlarged else (("width", width), ("height", height)):
            check_side(name, side, use=use, instead_of=given)
        if (problem := self._size_problem(width, height, use, given)) is not None:
            raise problem

    def _size_problem(
        self, width: int, height: int, use: object = "", given: object = ""
    ) -> InvalidRequest | None:
        """What is wrong with a size for this model alone; None where nothing is."""
        multiple = self.side_multiple
        for name, side in (("width", width), ("height", height)):
            if not self.side_min <= side <= self.side_max:
                return InvalidRequest(
                    "{model} draws {least} to {most} pixels a side, and the {name} {side} is outside: use {use} instead "
                    "of {given}.",
                    model=self.title,
                    least=-(-self.side_min // multiple) * multiple,
                    most=self.side_max // multiple * multiple,
                    name=name,
                    side=side,
                    use=use,
                    given=given,
                )
            if side % multiple:
                return InvalidRequest(
                    "{model} needs sides that are multiples of {multiple}: use {use} instead of {given}.",
                    model=self.title,
                    multiple=multiple,
                    use=use,
                    given=given,
                )
        if width * height > self.pixels_max:
            return InvalidRequest(
                "{size} is too large for {model}, which draws at most {most} pixels: use {use} instead of {given}.",
                size=f"{width}x{height}",
                model=self.title,
                most=self.pixels_max,
                use=use,
                given=given,
            )
        return None

    def nearest(self, width: int, height: int) -> tuple[int, int]:
        """The accepted size that is nearest to this one."""
        multiple = self.side_multiple
        least, most = -(-self.side_min // multiple) * multiple, self.side_max // multiple * multiple
        across, down = (min(most, max(least, rounded(side, multiple))) for side in (width, height))
        if across * down <= self.pixels_max:
            return across, down
        return Shape(across=across, down=down).fitted(
            self.pixels_max, least=least, most=most, multiple=multiple, pixels_max=self.pixels_max
        )

    def _check_sampler(self, sampler: str, steps: int | None, schedule: str) -> None:
        """Raises InvalidRequest where this model does not work with a sampler of that name, or it not with so many steps or
        that schedule."""
        if sampler not in EVERY_SAMPLER:
            raise InvalidRequest(
                "There is no sampler “{name}”: use one of {offered}.",
                name=sampler[:60],
                offered=Listed(names=self.samplers),
            )
        if sampler not in self.samplers:
            raise InvalidRequest(
                "{model} does not work with {sampler}: use one of {offered}.",
                model=self.title,
                sampler=sampler,
                offered=Listed(names=self.samplers),
            )
        own = EVERY_SAMPLER[sampler]
        most = min(own.steps_max, self.steps_max)
        if steps is not None and not own.steps_min <= steps <= most:
            taker = self.title if self.steps_max < own.steps_max else own.name
            raise InvalidRequest(
                "{taker} takes {least} to {most} steps, not {given}.",
                taker=taker,
                least=own.steps_min,
                most=most,
                given=steps,
            )
        if schedule and OWN_SAMPLER.name in self.samplers:
            raise InvalidRequest("{model} has a schedule of its own: leave out schedule.", model=self.title)
        check_schedule(own, schedule, steps, self.samplers)

    def _check_kind(self, request: GenerationRequest) -> None:
        """Whether it is a request for this kind of model at all."""
        if request.image is not None and not self.takes_images:
            if self.edits_by_instruction:
                raise InvalidRequest(
                    "{model} edits images by words and starts from none: have it edited.", model=self.title
                )
            raise InvalidRequest("{model} draws from words alone: leave out the image.", model=self.title)
        if request.mask is None and self.needs_mask:
            raise InvalidRequest("{model} only fills masks: attach an image and a mask.", model=self.title)
        self._check_references(len(request.references))
        if request.tile and not self.takes_tiling:
            raise InvalidRequest(
                "{model} can't draw seamless tiles: leave out tile, or choose another model.",
                model=self.title,
            )
        if request.guidance_until < 1 and OWN_SAMPLER.name in self.samplers:
            raise InvalidRequest(
                "{model} has guidance in all of its steps or in none: leave out guidance_until.",
                model=self.title,
            )
        lora_words.check_offered(request.loras, self.loras, title=self.title)
        if self.scale > 1:
            check_enlarging(self.title, self.scale, request.upscale, request.images)

    def _check_references(self, count: int) -> None:
        if count and not self.edits_by_instruction:
            raise InvalidRequest(
                "{model} can't edit images by words: choose a model that does.", model=self.title
            )
        if count > self.references_max:
            if self.references_max == 1:
                raise InvalidRequest(
                    "{model} edits at most one image at a time, not {given}.", model=self.title, given=count
                )
            raise InvalidRequest(
                "{model} edits at most {most} images at a time, not {given}.",
                model=self.title,
                most=self.references_max,
                given=count,
            )
        if count < self.references_min:
            raise InvalidRequest(
                "{model} only edits images: attach one, and say what to change.", model=self.title
            )


def _begun(start: Start, steps: int, *, whole: bool) -> dict[str, Any]:
    """The fields of a request that starts so; `whole`: nothing of the image is left out, so that there is no choice."""
    given = 1.0 if whole else start.strength
    usual = usual_strength(start.upscale, steps)
    return {**asdict(start), "strength": usual if given is None else given}


def _plainly(size: tuple[int, int], times: int) -> tuple[int, int] | None:
    """(width, height) of a picture of that size that Lanczos makes so many times as large; None beyond its bounds."""
    most = UPSCALED_SIDE_MAX
    return enlarged(size, times, least=SIDE_MIN, most=most, multiple=1, pixels_max=most * most)
