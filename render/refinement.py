"""Corrections of posed cameras, learned together with the scene that they saw."""

from dataclasses import replace

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from .camera_models import Lens, newton_plane
from .cameras import Cameras

LENS_TERMS = 3
"""Corrections of a lens: of the logarithm of its focal length, of k1 and of k2."""


class CameraRefinement(nn.Module):
    """A small rotation and shift of every camera, and a small change of every lens.

        R' = exp(ω_i) R,    position' = position + τ_i,    focal' = focal exp(f_j),    k1' = k1 + a_j,    k2' = k2 + b_j

    ω_i and τ_i are in world axes; views with the same lens share f, a and b. All start at zero, where the cameras are
    as they were given.

    Args:
        cameras: What is corrected; later calls must be with as many cameras, in the same order.
        lens: Whether lenses are corrected as well; fisheye lenses cannot be.

    Raises:
        ValueError: A fisheye lens is to be corrected.
    """

    lens_of_camera: Tensor

    def __init__(self, cameras: Cameras, *, lens: bool = False) -> None:
        super().__init__()
        if lens and bool(cameras.fisheye.any()):
            camera = int(cameras.fisheye.nonzero()[0])
            raise ValueError(f"Camera {camera} has a fisheye lens: its poses can be refined, its lens cannot.")
        rows = torch.cat([cameras.focal, cameras.center, cameras.distortion, cameras.sizes], dim=1)
        lenses, lens_of_camera = torch.unique(rows, dim=0, return_inverse=True)
        self.rotation = nn.Parameter(torch.zeros(len(cameras), 3))
        self.translation = nn.Parameter(torch.zeros(len(cameras), 3))
        self.lens = nn.Parameter(torch.zeros(len(lenses), LENS_TERMS)) if lens else None
        self.register_buffer("lens_of_camera", lens_of_camera, persistent=False)

    def rays(
        self, cameras: Cameras, pixels: Float[Tensor, "n 2"], camera_indices: Int[Tensor, "n"]
    ) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n 3"]]:
        """Origins and unit directions as the corrected cameras see them, differentiable in the corrections."""
        with torch.no_grad():
            origins, directions = self._with_lenses(cameras).rays(pixels, camera_indices)
        if self.lens is not None:
            directions = self._learned_by_lenses(cameras, pixels, camera_indices, directions)
        turn = rotation_matrices(self.rotation).index_select(0, camera_indices)
        turned = (turn * directions[:, None, :]).sum(dim=2)
        return origins + self.translation.index_select(0, camera_indices), turned

    @torch.no_grad()
    def corrected(self, cameras: Cameras) -> Cameras:
        """The cameras with the corrections as they are now."""
        pose = cameras.world_from_camera
        rotation = rotation_matrices(self.rotation.double()) @ pose[:, :, :3].double()
        position = pose[:, :, 3] + self.translation
        moved = torch.cat([rotation.to(pose.dtype), position[:, :, None]], dim=2)
        return replace(self._with_lenses(cameras), world_from_camera=moved)

    def prior(self) -> Tensor:
        """Mean over the cameras of |ω|² + |τ|², in radians and scene units, and over the lenses of their changes'."""
        squares = (self.rotation.square() + self.translation.square()).sum(dim=1).mean()
        return squares if self.lens is None else squares + self.lens.square().sum(dim=1).mean()

    def _with_lenses(self, cameras: Cameras) -> Cameras:
        if self.lens is None:
            return cameras
        focal, distortion = self._lenses(cameras)
        return cameras.with_lenses(focal.detach(), distortion.detach())

    def _lenses(self, cameras: Cameras) -> tuple[Tensor, Tensor]:
        """Focal lengths (cameras, 2) and distortion (cameras, 6) with their corrections."""
        assert self.lens is not None
        change = self.lens.index_select(0, self.lens_of_camera)
        added = torch.nn.functional.pad(change[:, 1:], (0, cameras.distortion.shape[1] - 2))
        return cameras.focal * change[:, :1].exp(), cameras.distortion + added

    def _learned_by_lenses(
        self, cameras: Cameras, pixels: Tensor, camera_indices: Tensor, directions: Tensor
    ) -> Tensor:
        """The same directions, with gradients to the lenses: those of one step of Newton's method that changes nothing.

        At the solution of distort(x, y; k) = (u, v) that step has the derivatives of the solution itself.
        """
        axes = cameras.world_from_camera[:, :, :3].index_select(0, camera_indices)
        x, y, z = (axes * directions[:, :, None]).sum(dim=1).unbind(1)
        focal, distortion = (tensor.index_select(0, camera_indices) for tensor in self._lenses(cameras))
        u, v = ((pixels - cameras.center.index_select(0, camera_indices)) / focal).unbind(1)
        k1, k2, k3, k4, p1, p2 = distortion.unbind(1)
        x, y = newton_plane(Lens((k1, k2, k3, k4), (p1, p2)), u, v, x / z, y / z, 1)
        seen = torch.nn.functional.normalize(torch.stack([x, y, torch.ones_like(x)], dim=1), dim=1)
        return (axes * seen[:, None, :]).sum(dim=2)


def rotation_matrices(axis_angle: Float[Tensor, "n 3"]) -> Float[Tensor, "n 3 3"]:
    """exp of the cross-product matrices: rotations by |ω| radians about ω, also near zero. Rodrigues' formula."""
    squared = axis_angle.square().sum(dim=1)[:, None, None]
    # Near zero the quotients' series: there their derivatives would be 0 / 0.
    small = squared < 1e-4
    angle = torch.where(small, torch.ones_like(squared), squared).sqrt()
    sine = torch.where(small, 1.0 - squared / 6.0, torch.sin(angle) / angle)
    versine = torch.where(small, 0.5 - squared / 24.0, (1.0 - torch.cos(angle)) / (angle * angle))
    x, y, z = axis_angle.unbind(1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=1).view(-1, 3, 3)
    identity = torch.eye(3, dtype=axis_angle.dtype, device=axis_angle.device)
    return identity + sine * cross + versine * (cross @ cross)
