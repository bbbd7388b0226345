"""A LoRA that learns, one micro-step at a time; follows diffusers' text-to-image LoRA script in method.

What is drawn at random depends on the seed and the micro-step alone, so that a training that goes on from its last
checkpoint is the one that was never interrupted. Knows a pipeline's parts and lessons, no files and no queue.
"""

# torch and diffusers describe their types in part only.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from diffusers.schedulers.scheduling_ddpm import DDPMScheduler
from torch import Tensor

from engine.checkpoints.lora_names import UNET
from engine.errors import InvalidTraining
from engine.training import lora, prepared
from engine.training.pictures import batch
from engine.training.prepared import Lesson, Words
from engine.training.settings import TrainingSettings

_DECAY = 1e-2
"""Of weights, as diffusers' script has it."""
_CLIPPED = 1.0
"""The largest gradient that a step follows, as a whole."""


class Trainer:
    """Teaches one LoRA. Everything that it changes of the pipeline is in layers of its own."""

    def __init__(
        self,
        settings: TrainingSettings,
        pipeline: Any,
        lessons: Sequence[Lesson],
        kept: Sequence[Lesson],
        device: torch.device,
    ) -> None:
        """`settings` are resolved. `kept`: pictures that the model is to draw as before. The pipeline's parts lie in the
        processor's memory; the UNet, and text encoders that learn, come to the device."""
        assert settings.rate is not None
        self.settings = settings
        self._lessons, self._kept = lessons, kept
        self._device, self._pipe = device, pipeline
        self._noise: Any = DDPMScheduler.from_config(pipeline.scheduler.config)
        encoders = prepared.text_encoders(pipeline)
        self.parts: dict[str, Any] = {UNET: pipeline.unet, **(encoders if settings.text_rate else {})}
        """What learns, by the pipeline's names."""
        self._words = {} if settings.text_rate else self._read_once(encoders)
        torch.manual_seed(settings.seed)
        groups: list[dict[str, Any]] = []
        for name, part in self.parts.items():
            learning = lora.put_beside(part, settings.rank, settings.layers if name == UNET else None)
            groups.append({"params": learning, "base": settings.rate if name == UNET else settings.text_rate})
            part.to(device)
        self._groups = groups
        self._optimizer = torch.optim.AdamW(groups, lr=settings.rate, weight_decay=_DECAY)
        self._scaler = torch.amp.GradScaler(device.type, enabled=self._dtype is torch.float16)
        if settings.checkpointing:
            self._compute_twice()
        self.done = 0
        """Steps."""
        self._micro = 0
        """Micro-steps of the step that is under way."""
        self._losses: list[float] = []
        """Of those."""

    @property
    def prediction(self) -> str:
        """What the model says: "epsilon", "v_prediction" or "sample"."""
        return self._noise.config.prediction_type

    @property
    def words_width(self) -> int:
        """Numbers that the UNet sees of each token."""
        return self._pipe.unet.config.cross_attention_dim

    @property
    def _dtype(self) -> torch.dtype:
        return self._pipe.unet.dtype

    def _compute_twice(self) -> None:
        for name, part in self.parts.items():
            part.train()
            if name == UNET:
                part.enable_gradient_checkpointing()
            else:
                part.activation_checkpointing_enable()

    @torch.no_grad()
    def _read_once(self, encoders: Mapping[str, Any]) -> dict[str, Words]:
        """By caption, where texts are always read alike."""
        for encoder in encoders.values():
            encoder.to(self._device)
        captions = {lesson.caption for lesson in (*self._lessons, *self._kept)}
        found = {caption: prepared.read(self._pipe, [caption]) for caption in sorted(captions)}
        for encoder in encoders.values():
            encoder.to("cpu")
        return found

    # -------------------------------------------------------------- learning

    def micro_step(self) -> float | None:
        """One batch, forward and back. The mean loss of the step that this one ended, None where more follow.

        Raises InvalidTraining where the loss is no number any more: nothing was learned from it.
        """
        settings = self.settings
        number = self.done * settings.accumulation + self._micro
        digest = hashlib.sha256(f"{settings.seed}/micro/{number}".encode()).digest()
        generator = torch.Generator("cpu").manual_seed(int.from_bytes(digest[:7]))
        total = self._learn(self._lessons, number, generator, 1.0)
        if self._kept:
            total += self._learn(self._kept, number, generator, settings.keep_weight)
        self._losses.append(total)
        self._micro += 1
        if self._micro < settings.accumulation:
            return None
        self._step()
        mean = sum(self._losses) / len(self._losses)
        self._losses.clear()
        self._micro = 0
        self.done += 1
        return mean

    def _learn(
        self, lessons: Sequence[Lesson], number: int, generator: torch.Generator, weight: float
    ) -> float:
        """Gradients of one batch of these are added; its loss."""
        together = self._batch(lessons, number)
        with torch.autocast(self._device.type, self._dtype, enabled=self._dtype is not torch.float32):
            loss = self._loss(together, generator)
        told = loss.item()
        if not math.isfinite(told):
            raise self._diverged()
        self._scaler.scale(weight * loss / self.settings.accumulation).backward()
        return told

    def _batch(self, lessons: Sequence[Lesson], number: int) -> list[Lesson]:
        assert self.settings.batch is not None
        shapes = [lesson.shape for lesson in lessons]
        return [lessons[each] for each in batch(shapes, self.settings.batch, self.settings.seed, number)]

    def _loss(self, together: Sequence[Lesson], generator: torch.Generator) -> Tensor:
        latents = torch.stack([_drawn(lesson, generator) for lesson in together])
        noise = torch.randn(latents.shape, generator=generator)
        count = self._noise.config.num_train_timesteps
        times = torch.randint(0, count, (len(together),), generator=generator)
        noisy = self._noise.add_noise(latents, noise, times)
        said = self._predict(noisy, times, together).float()
        off = (said - self._target(latents, noise, times).to(said.device)).square().mean(dim=(1, 2, 3))
        return (off * self._weights(times).to(off.device)).mean()

    def _predict(self, noisy: Tensor, times: Tensor, together: Sequence[Lesson]) -> Tensor:
        words = self._read([lesson.caption for lesson in together])
        added = None
        if words.pooled is not None:
            sizes = torch.tensor([lesson.sizes for lesson in together], device=self._device)
            added = {"text_embeds": words.pooled, "time_ids": sizes.to(self._dtype)}
        return self._pipe.unet(
            noisy.to(self._device, self._dtype),
            times.to(self._device),
            words.states,
            added_cond_kwargs=added,
            return_dict=False,
        )[0]

    def _read(self, captions: Sequence[str]) -> Words:
        if not self._words:
            return prepared.read(self._pipe, captions)
        found = [self._words[caption] for caption in captions]
        pooled = [words.pooled for words in found if words.pooled is not None]
        return Words(
            states=torch.cat([words.states for words in found]).to(self._device),
            pooled=torch.cat(pooled).to(self._device) if pooled else None,
        )

    def _target(self, latents: Tensor, noise: Tensor, times: Tensor) -> Tensor:
        """What the model is to say, by what it says."""
        match self.prediction:
            case "epsilon":
                return noise
            case "v_prediction":
                return self._noise.get_velocity(latents, noise, times)
            case _:
                return latents

    def _weights(self, times: Tensor) -> Tensor:
        """Of each row, by how much noise is on it (min-SNR, Hang et al. 2023, arXiv 2303.09556)."""
        gamma = self.settings.snr_gamma
        if not gamma:
            return torch.ones(len(times))
        signal = self._noise.alphas_cumprod[times]
        ratio = signal / (1 - signal)
        least = ratio.clamp(max=gamma)
        match self.prediction:
            case "epsilon":
                return least / ratio.clamp(min=1e-8)
            case "v_prediction":
                return least / (ratio + 1)
            case _:
                return least

    def _step(self) -> None:
        for group in self._optimizer.param_groups:
            group["lr"] = group["base"] * self._share()
        self._scaler.unscale_(self._optimizer)
        learning = [weight for group in self._groups for weight in group["params"]]
        length = torch.nn.utils.clip_grad_norm_(learning, _CLIPPED)
        if not self._scaler.is_enabled() and not math.isfinite(length.item()):
            raise self._diverged()
        self._scaler.step(self._optimizer)  # which leaves out a step whose gradients float16 could not hold
        self._scaler.update()
        self._optimizer.zero_grad()

    def _share(self) -> float:
        """Of the rate, in this step."""
        settings, step = self.settings, self.done
        if step < settings.warmup:
            return (step + 1) / settings.warmup
        if settings.schedule == "constant":
            return 1.0
        left = max(1, settings.steps - settings.warmup)
        return 0.5 * (1 + math.cos(math.pi * (step - settings.warmup) / left))

    def _diverged(self) -> InvalidTraining:
        rate = self.settings.rate or 0.0
        return InvalidTraining(
            f"The loss is no number any more in step {self.done + 1}: the last checkpoint is kept. "
            f"Begin anew with a lower rate, such as --rate {rate / 4:g}."
        )

    # -------------------------------------------------------------- what is kept

    def tensors(self) -> dict[str, Tensor]:
        """What was learned, as a LoRA file has it."""
        return lora.tensors(self.parts)

    def state(self) -> dict[str, Tensor]:
        """All that the next step depends on besides `done`; asked between two steps."""
        found = {f"weights.{n}": weight.detach().cpu() for n, weight in enumerate(self._learning())}
        for n, kept in self._optimizer.state_dict()["state"].items():
            found |= {f"optimizer.{n}.{key}": value.detach().cpu() for key, value in kept.items()}
        if told := self._scaler.state_dict():
            found["scale"] = torch.tensor(told["scale"])
        return {key: value.contiguous() for key, value in found.items()}

    @torch.no_grad()
    def restore(self, state: Mapping[str, Tensor], done: int) -> None:
        """What `state` told after so many steps. Raises LookupError, RuntimeError where it is another training's."""
        for n, weight in enumerate(self._learning()):
            weight.copy_(state[f"weights.{n}"])
        kept: dict[int, dict[str, Tensor]] = {}
        for key, value in state.items():
            if key.startswith("optimizer."):
                _, n, what = key.split(".")
                kept.setdefault(int(n), {})[what] = value
        groups = self._optimizer.state_dict()["param_groups"]
        self._optimizer.load_state_dict({"state": kept, "param_groups": groups})
        if "scale" in state:
            self._scaler.load_state_dict({**self._scaler.state_dict(), "scale": float(state["scale"])})
        self.done = done

    def _learning(self) -> list[Tensor]:
        return [weight for group in self._groups for weight in group["params"]]


def _drawn(lesson: Lesson, generator: torch.Generator) -> Tensor:
    """Latents, as the VAE might have told them."""
    if lesson.spread is None:
        return lesson.mean
    return lesson.mean + lesson.spread * torch.randn(lesson.mean.shape, generator=generator)
