"""Calibrated posed cameras: world points to pixels, and pixels to rays.

Axes are OpenCV's: x right, y down, z forward. Pixel (0, 0) is the image's top-left corner, pixel centres are at +0.5.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ..fields.kernels.dispatch import select
from . import kernels
from .camera_models import CameraModel, Lens, distort, distort_angle, intrinsics_from_colmap
from .lens_table import LensTable, build_lens_table
from .similarity import Similarity

_MORE_STEPS = 2  # of Newton's method for a lens that is not quite the table's: each squares the error


@dataclass(frozen=True, eq=False)
class Cameras:
    """A batch of calibrated cameras, each with its own pose, lens and image size."""

    world_from_camera: Float[Tensor, "cameras 3 4"]
    """Rotation and position: takes points in the camera's frame to the world."""
    focal: Float[Tensor, "cameras 2"]
    """fx, fy in pixels."""
    center: Float[Tensor, "cameras 2"]
    """Principal point cx, cy in pixels from the image's top-left corner."""
    distortion: Float[Tensor, "cameras 6"]
    """k1 k2 k3 k4 p1 p2, as in `camera_models`; fisheye lenses use only the first four."""
    fisheye: Bool[Tensor, "cameras"]
    sizes: Int[Tensor, "cameras 2"]
    """Width and height in pixels."""

    def __post_init__(self) -> None:
        counts = {name: len(getattr(self, name)) for name in self.__dataclass_fields__}
        if len(set(counts.values())) > 1:
            raise ValueError(f"all tensors of Cameras need one entry per camera; found {counts}")

    @classmethod
    def from_colmap(
        cls,
        model: CameraModel,
        params: Sequence[float],
        *,
        world_from_camera: Float[Tensor, "cameras 3 4"],
        size: tuple[int, int],
    ) -> "Cameras":
        """Cameras that share one COLMAP camera model, in the dtype of `world_from_camera`.

        Args:
            params: In COLMAP's order, e.g. `fx, fy, cx, cy, k1, k2, p1, p2` for OPENCV.
            size: Width and height in pixels.

        Raises:
            ValueError: for a model that is not supported, or parameters that do not fit it.
        """
        lens, count = intrinsics_from_colmap(model, params), len(world_from_camera)
        numbers = torch.tensor([(*lens.focal, *lens.center, *lens.distortion)], dtype=torch.float64)
        numbers = numbers.to(world_from_camera).repeat(count, 1)
        fisheye = torch.full((count,), lens.fisheye, device=world_from_camera.device)
        sizes = torch.tensor([size], device=world_from_camera.device).repeat(count, 1)
        return cls(world_from_camera, numbers[:, 0:2], numbers[:, 2:4], numbers[:, 4:10], fisheye, sizes)

    def __len__(self) -> int:
        return len(self.world_from_camera)

    def __getitem__(self, index: int | slice | Tensor) -> "Cameras":
        """Some of the cameras; an integer gives a batch of one."""
        if isinstance(index, int):
            if not -len(self) <= index < len(self):
                raise IndexError(f"camera {index} of {len(self)}")
            index = slice(index % len(self), index % len(self) + 1)
        return Cameras(*(getattr(self, name)[index] for name in self.__dataclass_fields__))

    def to(self, device: torch.device | str, dtype: torch.dtype | None = None) -> "Cameras":
        """The same cameras on another device and, if given, in another floating-point type."""
        return Cameras(
            *(field.to(device, dtype) for field in (self.world_from_camera, self.focal, self.center, self.distortion)),
            *(field.to(device) for field in (self.fisheye, self.sizes)),
        )

    def transformed(self, similarity: Similarity) -> "Cameras":
        """The same cameras in another frame: `similarity` takes world points there, as `scene_from_world` does."""
        pose = self.world_from_camera
        rotation = similarity.rotation.to(pose.device) @ pose[:, :, :3].double()
        moved = torch.cat([rotation, similarity.apply(pose[:, :, 3].double())[:, :, None]], dim=2).to(pose.dtype)
        return Cameras(moved, self.focal, self.center, self.distortion, self.fisheye, self.sizes)

    def resized(self, factor: Float[Tensor, "cameras"]) -> "Cameras":
        """The same views with so many times as many pixels a side; sizes are rounded to whole pixels, at least one."""
        sizes = (self.sizes * factor[:, None]).round().long().clamp(min=1)
        scale = sizes / self.sizes
        return replace(self, focal=self.focal * scale, center=self.center * scale, sizes=sizes)

    def reduced(self, factor: int) -> "Cameras":
        """The same views after squares of `factor` pixels became one; pixels over at the right and bottom are gone."""
        sizes = torch.div(self.sizes, factor, rounding_mode="floor")
        return replace(self, focal=self.focal / factor, center=self.center / factor, sizes=sizes)

    def with_lenses(self, focal: Float[Tensor, "cameras 2"], distortion: Float[Tensor, "cameras 6"]) -> "Cameras":
        """The same cameras with lenses that differ little from theirs; their inverse starts from the present one's."""
        changed = replace(self, focal=focal, distortion=distortion)
        table = self.lens_table
        steps = table.radial_steps + _MORE_STEPS, table.tangential_steps + _MORE_STEPS
        changed.__dict__["lens_table"] = replace(table, radial_steps=steps[0], tangential_steps=steps[1])
        return changed

    def project(
        self, points: Float[Tensor, "n 3"], camera_indices: Int[Tensor, "n"]
    ) -> tuple[Float[Tensor, "n 2"], Float[Tensor, "n"]]:
        """Where each world point appears in the image of its camera.

        Returns:
            Pixel positions, and depths along the optical axis in world units. A point at depth <= 0 is behind a
            perspective camera and its pixel means nothing; fisheye lenses see beyond 90 degrees, at negative depth.
            Far outside the image a distorted lens may fold points back into it.
        """
        pose = self.world_from_camera[camera_indices]
        x, y, z = ((points - pose[:, :, 3])[:, :, None] * pose[:, :, :3]).sum(1).unbind(-1)
        lens = self.lens(camera_indices)
        if not self.lens_kinds.any_fisheye:
            u, v = self._perspective_image(lens, x, y, z)
        elif self.lens_kinds.all_fisheye:
            u, v = self._fisheye_image(lens, x, y, z)
        else:
            is_fisheye = self.fisheye[camera_indices]
            plane, angle = self._perspective_image(lens, x, y, z), self._fisheye_image(lens, x, y, z)
            u, v = (torch.where(is_fisheye, b, a) for a, b in zip(plane, angle, strict=True))
        focal, center = self.intrinsics(camera_indices)
        return torch.stack([u, v], dim=-1) * focal + center, z

    @staticmethod
    def _perspective_image(lens: Lens, x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        return distort(lens, x / z, y / z)

    @staticmethod
    def _fisheye_image(lens: Lens, x: Tensor, y: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
        radius = (x * x + y * y).clamp_min(torch.finfo(x.dtype).tiny).sqrt()
        factor = distort_angle(lens, torch.atan2(radius, z)) / radius
        return x * factor, y * factor

    def rays(
        self, pixels: Float[Tensor, "n 2"], camera_indices: Int[Tensor, "n"], *, backend: str = "auto"
    ) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n 3"]]:
        """The ray that each pixel sees: the inverse of `project`, to the precision of the numbers in the whole image.

        Returns:
            Origins (the cameras' positions) and directions of unit length, both in world axes.

        Raises:
            ValueError: if a lens cannot be inverted somewhere in its image.

        Differentiable in poses and lenses; `backend` says which kernel runs, see `fields.kernels.dispatch`.
        """
        kernel = select(
            "pixel_rays", package=kernels.__name__, device=pixels.device, dtype=self.focal.dtype, backend=backend
        )
        return kernel.rays(self, pixels, camera_indices)

    @cached_property
    def lens_table(self) -> LensTable:
        """The inverse of the distortion; building it checks that every lens can be inverted in its whole image."""
        focal, center, distortion = self.focal.detach(), self.center.detach(), self.distortion.detach()
        return build_lens_table(focal, center, distortion, self.fisheye, self.sizes)

    @cached_property
    def lens_kinds(self) -> "LensKinds":
        """Which parts of the lens model this batch needs: found once, so that no ray waits for a decision."""
        used = (self.distortion != 0).any(0).tolist()
        alike = all(bool((field == field[:1]).all()) for field in (self.focal, self.center, self.distortion))
        return LensKinds(
            radial_terms=max((i + 1 for i in range(4) if used[i]), default=0),
            tangential=used[4] or used[5],
            any_fisheye=bool(self.fisheye.any()),
            all_fisheye=bool(self.fisheye.all()),
            alike=alike and len(self) > 0,
        )

    def intrinsics(self, camera_indices: Tensor) -> tuple[Tensor, Tensor]:
        """Focal lengths and principal points per point, or one row of them where all cameras have the same."""
        if self.lens_kinds.alike:
            return self.focal[:1], self.center[:1]
        return self.focal.index_select(0, camera_indices), self.center.index_select(0, camera_indices)

    def lens(self, camera_indices: Tensor) -> Lens:
        """Distortion coefficients per point, or one row of them where all cameras have the same lens."""
        kinds = self.lens_kinds
        if not kinds.distorted:
            return Lens((), None)
        columns = self.distortion.T
        rows = columns[:, :1] if kinds.alike else columns.index_select(1, camera_indices)
        return Lens(tuple(rows[: kinds.radial_terms]), (rows[4], rows[5]) if kinds.tangential else None)


@dataclass(frozen=True)
class LensKinds:
    """Which parts of the lens model a batch of cameras needs, and whether all its lenses are the same."""

    radial_terms: int
    tangential: bool
    any_fisheye: bool
    all_fisheye: bool
    alike: bool

    @property
    def distorted(self) -> bool:
        return self.radial_terms > 0 or self.tangential
