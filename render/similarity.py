"""Similarities of space: the map between the user's world and the scene in which fields live."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

ROTATION_TOLERANCE = 1e-3
"""Largest entry of `R Rᵀ - 1` at which a matrix still counts as a rotation."""


@dataclass(frozen=True)
class Similarity:
    """The map `scene = scale * rotation @ world + translation`, kept in float64.

    Read as a frame change it is named `scene_from_world`: it takes points of the world to the scene.
    """

    scale: float
    """Scene units per world unit, > 0."""
    rotation: Float[Tensor, "3 3"]
    """Turns world axes into scene axes; orthonormal with determinant +1."""
    translation: Float[Tensor, "3"]
    """Where the world's origin lies, scene units."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "scale", float(self.scale))
        object.__setattr__(self, "rotation", self.rotation.detach().to("cpu", torch.float64))
        object.__setattr__(self, "translation", self.translation.detach().to("cpu", torch.float64))
        fault = self._fault()
        if fault:
            raise ValueError(f"a similarity needs a scale > 0, a rotation and a finite translation; found {fault}")

    def _fault(self) -> str | None:
        if not (0.0 < self.scale < float("inf")):
            return f"scale {self.scale}"
        if not bool(self.translation.isfinite().all()):
            return f"translation {self.translation.tolist()}"
        error = (self.rotation @ self.rotation.T - torch.eye(3, dtype=torch.float64)).abs().max()
        if not bool(error <= ROTATION_TOLERANCE):
            return f"a matrix that is not orthonormal: {self.rotation.tolist()}"
        return "a reflection (determinant -1)" if bool(torch.linalg.det(self.rotation) < 0) else None

    @classmethod
    def identity(cls) -> "Similarity":
        """The map that leaves every point where it is."""
        return cls(1.0, torch.eye(3, dtype=torch.float64), torch.zeros(3, dtype=torch.float64))

    def apply(self, points: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """Maps world points to the scene; computed in float64, returned in the dtype of `points`."""
        rotation, translation = self.rotation.to(points.device), self.translation.to(points.device)
        return (self.scale * (points.double() @ rotation.T) + translation).to(points.dtype)

    def apply_directions(self, directions: Float[Tensor, "*batch 3"]) -> Float[Tensor, "*batch 3"]:
        """Turns directions from world axes to scene axes; lengths stay as they are."""
        return (directions.double() @ self.rotation.to(directions.device).T).to(directions.dtype)

    def inverse(self) -> "Similarity":
        """The map back: `world_from_scene` of a `scene_from_world`."""
        rotation = self.rotation.T.contiguous()
        return Similarity(1.0 / self.scale, rotation, -(rotation @ self.translation) / self.scale)

    def compose(self, first: "Similarity") -> "Similarity":
        """The map that applies `first` and then this one: `c_from_b.compose(b_from_a)` is `c_from_a`."""
        translation = self.scale * (self.rotation @ first.translation) + self.translation
        return Similarity(self.scale * first.scale, self.rotation @ first.rotation, translation)

    @classmethod
    def aligning(cls, source: Float[Tensor, "n 3"], target: Float[Tensor, "n 3"]) -> "Similarity":
        """The map that brings points as close as possible to others, in the least squares. Umeyama 1991.

        Raises:
            ValueError: Fewer than three points, or all of them in one place.
        """
        source, target = source.detach().cpu().double(), target.detach().cpu().double()
        if len(source) < 3:
            raise ValueError(f"aligning needs at least 3 points; found {len(source)}")
        if not bool(source.isfinite().all() and target.isfinite().all()):
            raise ValueError("aligning needs finite points; found NaN or infinity")
        from_center, to_center = source - source.mean(dim=0), target - target.mean(dim=0)
        u, spread, v = torch.linalg.svd(to_center.T @ from_center)
        sign = torch.ones(3, dtype=torch.float64)
        sign[2] = torch.linalg.det(u @ v).sign()
        rotation = u @ torch.diag(sign) @ v
        size = float(from_center.square().sum())
        if not size > 0.0:
            raise ValueError("aligning needs points that are not all in one place")
        scale = float((spread * sign).sum()) / size
        return cls(scale, rotation, target.mean(dim=0) - scale * (rotation @ source.mean(dim=0)))

    def to_dict(self) -> dict[str, Any]:
        """The map as plain numbers and lists, ready for JSON."""
        return {"scale": self.scale, "rotation": self.rotation.tolist(), "translation": self.translation.tolist()}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Similarity":
        """Reads what `to_dict` wrote.

        Raises:
            ValueError: if a key is missing or its value is not of the right shape.
        """
        try:
            scale = float(values["scale"])
            rotation = torch.tensor(values["rotation"], dtype=torch.float64)
            translation = torch.tensor(values["translation"], dtype=torch.float64)
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"a similarity needs 'scale', 'rotation' and 'translation'; found {values!r}") from error
        if rotation.shape != (3, 3) or translation.shape != (3,):
            shapes = f"{tuple(rotation.shape)} and {tuple(translation.shape)}"
            raise ValueError(f"a similarity needs a 3x3 rotation and 3 numbers of translation; found shapes {shapes}")
        return cls(scale, rotation, translation)
