"""picture.json of a run: what of a picture is needed to draw its field, so that the picture itself is not."""

import base64
import json
import math
import zlib
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from ...datasets import Picture, StoredType
from ..errors import RunError
from ..run_folder import RunFolder
from ..transfer import Transfer

_SAMPLED_PIXELS = 1 << 20
_CHECKED_PIXELS = 4096


@dataclass(frozen=True)
class PictureFacts:
    """The kind of a picture, and how its numbers become those that a field is fitted to.

    Colours are multiplied by alpha, for what cannot be seen is not fitted, and go through `transfer`; alpha stays.

    Attributes:
        width, height: In pixels.
        channels: 1 grey, 2 grey and alpha, 3 RGB, 4 RGBA.
        stored: The type of the file's numbers.
        maximum: The whole number that stands for 1; None for floats.
        linear: Whether the numbers are proportional to light.
        transfer: Takes colours to the values that are fitted.
        profile: The ICC profile of the colours, in base 64.
        checksum: CRC-32 of some of its pixels, by which another picture of its size is told from it.
    """

    width: int
    height: int
    channels: int
    stored: StoredType
    maximum: int | None
    linear: bool
    transfer: Transfer = Transfer()
    profile: str | None = None
    checksum: int | None = None

    @classmethod
    def of(cls, picture: Picture) -> "PictureFacts":
        """Reads them from a picture."""
        profile = None if picture.profile is None else base64.b64encode(picture.profile).decode()
        kind = picture.channels, picture.stored, picture.maximum, picture.linear
        pixels = picture.draw(np.random.default_rng(0), _CHECKED_PIXELS)
        facts = cls(*picture.size, *kind, profile=profile, checksum=zlib.crc32(picture.take(pixels).tobytes()))
        if picture.maximum is not None:
            return facts
        low, high = math.inf, -math.inf
        count = math.prod(picture.size)
        for start in range(0, count, _SAMPLED_PIXELS):
            colors = facts.colors_of(picture, np.arange(start, min(start + _SAMPLED_PIXELS, count)))
            if len(colors):
                low, high = min(low, float(colors.min())), max(high, float(colors.max()))
        sample = (
            np.arange(count) if count <= _SAMPLED_PIXELS else picture.draw(np.random.default_rng(0), _SAMPLED_PIXELS)
        )
        middle = float(facts.colors_of(picture, sample).median())
        return replace(facts, transfer=Transfer.of(low=low, middle=middle, high=high, linear_light=picture.linear))

    def colors_of(self, picture: Picture, pixels: Int[np.ndarray, " n"]) -> Float[Tensor, " m"]:
        """The values of those pixels' colours that are known."""
        values = visible(picture, pixels)
        return values[values.isfinite().all(dim=1), : self.colors].flatten()

    @property
    def colors(self) -> int:
        """Channels without alpha."""
        return self.channels - self.has_alpha

    @property
    def has_alpha(self) -> bool:
        """Whether the last channel is alpha."""
        return self.channels in (2, 4)

    def fitted(self, values: Float[Tensor, "*shape channels"]) -> Float[Tensor, "*shape channels"]:
        """What `visible` gives to the values that are fitted."""
        return self._with_colors(self.transfer.encode(values[..., : self.colors]), values)

    def measured(self, fitted: Float[Tensor, "*shape channels"]) -> Float[Tensor, "*shape channels"]:
        """The inverse of `fitted`; what the picture's type cannot hold is cut off."""
        values = self._with_colors(self.transfer.decode(fitted[..., : self.colors]), fitted.clamp(0.0, 1.0))
        return values if self.maximum is None else values.clamp(0.0, 1.0)

    def _with_colors(self, colors: Tensor, values: Tensor) -> Tensor:
        return torch.cat([colors, values[..., -1:]], dim=-1) if self.has_alpha else colors


def visible(picture: Picture, pixels: Int[np.ndarray, " n"]) -> Float[Tensor, "n channels"]:
    """Pixels of a picture by number, colours multiplied by alpha: whole numbers in [0, 1], floats as stored."""
    values = torch.from_numpy(picture.take(pixels))
    if picture.channels in (2, 4) and not picture.premultiplied:
        values[:, :-1] *= values[:, -1:]
    return values


def write_facts(run: RunFolder, facts: PictureFacts) -> None:
    """Writes what `read_facts` reads."""
    run.write_text(_path(run), json.dumps(asdict(facts)))


def read_facts(run: RunFolder) -> PictureFacts:
    """Reads the facts of a run's picture.

    Raises:
        RunError: The file is missing or damaged.
    """
    path = _path(run)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        transfer = Transfer(**content.pop("transfer"))
        return PictureFacts(**content, transfer=transfer)
    except (OSError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"{path} is missing or damaged ({error}). Train the run again with --force.") from None


def _path(run: RunFolder) -> Path:
    return run.path / "picture.json"
