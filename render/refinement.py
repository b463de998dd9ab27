"""Corrections of posed cameras, learned together with the scene that they saw."""

from dataclasses import replace

import torch
from jaxtyping import Float, Float64, Int
from torch import Tensor, nn

from .camera_models import Lens, newton_plane
from .cameras import Cameras

_DAMPING = 0.1
_LENS_TERMS = 3  # corrections of the logarithm of the focal length, of k1 and of k2


class CameraRefinement(nn.Module):
    """A small rotation and shift of every camera, and a small change of every lens.

        R' = exp(ω_i) R,    position' = position + τ_i,    focal' = focal exp(f_j),    k1' = k1 + a_j,    k2' = k2 + b_j

    ω_i and τ_i are in world axes; views with the same lens share f, a and b. All start at zero, where the cameras are
    as they were given.

    A camera that turns and one that moves aside see nearly the same, so that learning ω and τ as they stand is slow.
    Learned is φ with (ω, τ) = P φ and P = (Jᵀ J + 0.1 diag(Jᵀ J))^(-1/2), where J says how points in front of the
    camera move in its picture: steps of one size move the picture by one size in every direction. Park et al. 2023
    ("CamP"), eq. 7.

    Args:
        cameras: What is corrected, scene coordinates; later calls must be with as many cameras, in the same order.
        lens: Whether lenses are corrected as well; fisheye lenses cannot be.

    Raises:
        ValueError: A fisheye lens is to be corrected.
    """

    lens_of_camera: Tensor
    lens_rows: Tensor
    pose_from_learned: Tensor

    def __init__(self, cameras: Cameras, *, lens: bool = False) -> None:
        super().__init__()
        if lens and bool(cameras.fisheye.any()):
            camera = int(cameras.fisheye.nonzero()[0])
            raise ValueError(f"Camera {camera} has a fisheye lens: its poses can be refined, its lens cannot.")
        lenses, lens_of_camera = torch.unique(_lens_rows(cameras), dim=0, return_inverse=True)
        self.poses = nn.Parameter(torch.zeros(len(cameras), 6))
        self.lenses = nn.Parameter(torch.zeros(len(lenses), _LENS_TERMS)) if lens else None
        self.register_buffer("lens_of_camera", lens_of_camera, persistent=False)
        self.register_buffer("lens_rows", lenses, persistent=False)
        self.register_buffer("pose_from_learned", _preconditioners(cameras).float(), persistent=False)

    def motions(self) -> tuple[Float[Tensor, "cameras 3"], Float[Tensor, "cameras 3"]]:
        """Rotations ω in radians and shifts τ in scene units, both in world axes."""
        motion = (self.pose_from_learned * self.poses[:, None, :]).sum(dim=2)
        return motion[:, :3], motion[:, 3:]

    @torch.no_grad()
    def move(self, rotation: Float[Tensor, "cameras 3"], translation: Float[Tensor, "cameras 3"]) -> None:
        """Sets the corrections so that `motions` gives these."""
        motion = torch.cat([rotation, translation], dim=1).double()
        self.poses.copy_(torch.linalg.solve(self.pose_from_learned.double(), motion))

    def rays(
        self, cameras: Cameras, pixels: Float[Tensor, "n 2"], camera_indices: Int[Tensor, "n"]
    ) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n 3"]]:
        """Origins and unit directions as the corrected cameras see them, differentiable in the corrections."""
        with torch.no_grad():
            origins, directions = self._with_lenses(cameras).rays(pixels, camera_indices)
        if self.lenses is not None:
            directions = self._learned_by_lenses(cameras, pixels, camera_indices, directions)
        rotation, translation = self.motions()
        turn = rotation_matrices(rotation).index_select(0, camera_indices)
        turned = (turn * directions[:, None, :]).sum(dim=2)
        return origins + translation.index_select(0, camera_indices), turned

    @torch.no_grad()
    def corrected(self, cameras: Cameras) -> Cameras:
        """The cameras with the corrections as they are now."""
        pose = cameras.world_from_camera
        turn, shift = self.motions()
        rotation = rotation_matrices(turn.double()) @ pose[:, :, :3].double()
        position = pose[:, :, 3] + shift
        moved = torch.cat([rotation.to(pose.dtype), position[:, :, None]], dim=2)
        return replace(self._with_lenses(cameras), world_from_camera=moved)

    @torch.no_grad()
    def with_learned_lenses(self, others: Cameras) -> Cameras:
        """Other cameras, whose lens is corrected where it is one of those that were learned."""
        if self.lenses is None or not len(others):
            return others
        same = (_lens_rows(others)[:, None] == self.lens_rows).all(dim=2)
        change = torch.where(same.any(dim=1)[:, None], self.lenses[same.long().argmax(dim=1)], 0.0)
        return replace(others, **_changed_lenses(others, change))

    def prior(self) -> Tensor:
        """Mean of |φ|² over the cameras, of about the angle by which pictures move; and of lenses' changes, squared."""
        squares = self.poses.square().sum(dim=1).mean()
        return squares if self.lenses is None else squares + self.lenses.square().sum(dim=1).mean()

    def _with_lenses(self, cameras: Cameras) -> Cameras:
        if self.lenses is None:
            return cameras
        focal, distortion = self._lenses(cameras)
        return cameras.with_lenses(focal.detach(), distortion.detach())

    def _lenses(self, cameras: Cameras) -> tuple[Tensor, Tensor]:
        """Focal lengths (cameras, 2) and distortion (cameras, 6) with their corrections."""
        assert self.lenses is not None
        changed = _changed_lenses(cameras, self.lenses.index_select(0, self.lens_of_camera))
        return changed["focal"], changed["distortion"]

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


def _lens_rows(cameras: Cameras) -> Tensor:
    """A row of numbers per camera, the same for cameras of one lens."""
    return torch.cat([cameras.focal, cameras.center, cameras.distortion, cameras.sizes], dim=1)


def _changed_lenses(cameras: Cameras, change: Float[Tensor, "cameras terms"]) -> dict[str, Tensor]:
    """Focal lengths and distortion with changes of log f, k1 and k2."""
    added = torch.nn.functional.pad(change[:, 1:], (0, cameras.distortion.shape[1] - 2))
    return {"focal": cameras.focal * change[:, :1].exp(), "distortion": cameras.distortion + added}


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


def _preconditioners(cameras: Cameras) -> Float64[Tensor, "cameras 6 6"]:
    """Per camera the matrix that takes what is learned to (ω, τ), see `CameraRefinement`.

    Points are taken in the camera's field of view, between half and one and a half times as far as the middle of the
    scene, (0.5, 0.5, 0.5).
    """
    pose = cameras.world_from_camera.detach().double().cpu()
    reach = 0.5 * (cameras.sizes / cameras.focal.detach()).double().cpu()  # tangents of half the angles of view
    distance = (pose[:, :, 3] - 0.5).norm(dim=1).clamp(min=0.1)
    ticks = torch.linspace(-1.0, 1.0, 5, dtype=torch.float64)
    across, down, deep = torch.cartesian_prod(ticks, ticks, ticks).T
    depth = distance[:, None] * (1.0 + 0.5 * deep)
    x, y = across * reach[:, :1].clamp(max=2.0), down * reach[:, 1:].clamp(max=2.0)  # on the plane z = 1
    zero, one = torch.zeros_like(x), torch.ones_like(x)
    # A point moves by p × ω - τ in the camera's axes, and in the picture by that over its depth, less along its ray.
    of_rotation = torch.stack([zero, -one, y, one, zero, -x, -y, x, zero], dim=2).unflatten(2, (3, 3))
    of_shift = -torch.eye(3, dtype=torch.float64).expand_as(of_rotation) / depth[:, :, None, None]
    moved = torch.cat([of_rotation, of_shift], dim=3)
    seen = moved[:, :, :2] - torch.stack([x, y], dim=2)[..., None] * moved[:, :, 2:]
    turn = pose[:, :, :3].transpose(1, 2)
    into_axes = torch.zeros(len(pose), 6, 6, dtype=torch.float64)
    into_axes[:, :3, :3] = into_axes[:, 3:, 3:] = turn
    jacobian = seen.flatten(1, 2) @ into_axes
    squared = jacobian.transpose(1, 2) @ jacobian / jacobian.shape[1]
    squared += _DAMPING * torch.diag_embed(squared.diagonal(dim1=1, dim2=2))
    values, vectors = torch.linalg.eigh(squared)
    return vectors @ torch.diag_embed(values.rsqrt()) @ vectors.transpose(1, 2)
