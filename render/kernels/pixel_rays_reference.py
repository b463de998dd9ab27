"""The rays that pixels see in plain torch, for every lens; differentiable in the cameras' poses and lenses."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..camera_models import Lens
from ..cameras import Cameras

_CHUNK = 65_536  # rays at a time, so that what lies between the steps stays in the cache


def supports(device: str, dtype: torch.dtype) -> str | None:
    """Runs wherever torch does."""
    del device, dtype


def rays(
    cameras: Cameras, pixels: Float[Tensor, "n 2"], camera_indices: Int[Tensor, "n"]
) -> tuple[Float[Tensor, "n 3"], Float[Tensor, "n 3"]]:
    """Origins and unit directions, see `Cameras.rays`."""
    if len(pixels) <= _CHUNK:
        return _rays(cameras, pixels, camera_indices)
    chunks = zip(pixels.split(_CHUNK), camera_indices.split(_CHUNK), strict=True)
    parts = [_rays(cameras, *chunk) for chunk in chunks]
    return torch.cat([origins for origins, _ in parts]), torch.cat([directions for _, directions in parts])


def _rays(cameras: Cameras, pixels: Tensor, camera_indices: Tensor) -> tuple[Tensor, Tensor]:
    focal, center = cameras.intrinsics(camera_indices)
    u, v = ((pixels - center) / focal).T.contiguous()
    x, y, z = _directions(cameras, u, v, camera_indices)
    columns = (column.contiguous() for column in cameras.world_from_camera.unbind(2))
    x_axis, y_axis, z_axis, position = (column.index_select(0, camera_indices) for column in columns)
    directions = x_axis * x[:, None]
    directions = directions.addcmul(y_axis, y[:, None]).addcmul(z_axis, z[:, None])
    return position, directions


def _directions(cameras: Cameras, u: Tensor, v: Tensor, camera_indices: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Unit directions in the camera's frame from distorted positions on the image plane."""
    kinds, lens = cameras.lens_kinds, cameras.lens(camera_indices)
    if not kinds.any_fisheye:
        return _perspective_directions(cameras, lens, u, v, camera_indices)
    if kinds.all_fisheye:
        return _fisheye_directions(cameras, lens, u, v, camera_indices)
    is_fisheye = cameras.fisheye[camera_indices]
    plane = _perspective_directions(cameras, lens, u, v, camera_indices)
    angle = _fisheye_directions(cameras, lens, u, v, camera_indices)
    x, y, z = (torch.where(is_fisheye, b, a) for a, b in zip(plane, angle, strict=True))
    return x, y, z


def _perspective_directions(
    cameras: Cameras, lens: Lens, u: Tensor, v: Tensor, camera_indices: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    if cameras.lens_kinds.distorted:
        u, v = cameras.lens_table.undistort(lens, u, v, camera_indices)
    z = (u * u + v * v + 1.0).rsqrt()
    return u * z, v * z, z


def _fisheye_directions(
    cameras: Cameras, lens: Lens, u: Tensor, v: Tensor, camera_indices: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    squared = u * u + v * v
    table = cameras.lens_table  # also refuses a lens that reaches beyond 180 degrees
    scale = table.scale(lens, squared, camera_indices) if lens.radial else torch.ones_like(u)
    theta = squared.clamp_min(torch.finfo(u.dtype).tiny).sqrt() * scale
    factor = torch.sinc(theta / torch.pi) * scale  # sin(theta) / theta_distorted
    return u * factor, v * factor, torch.cos(theta)
