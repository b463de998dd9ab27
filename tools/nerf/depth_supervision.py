"""Depth maps in training and scoring: what a camera measured against where rays are stopped."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ...render import Cameras, Rendering

_TOLERANCE = 0.01
"""Distance errors above this count linearly, scene units."""
_SMALLEST_COSINE = 1e-3


def distance_along_rays(
    depth: Float[Tensor, "rays"],
    directions: Float[Tensor, "rays 3"],
    cameras: Cameras,
    camera_indices: Int[Tensor, "rays"],
) -> Float[Tensor, "rays"]:
    """Distances along rays from depths along their cameras' optical axes: `depth / (direction · axis)`.

    Args:
        depth: 0 where it is not known.
        directions: Of unit length.
        cameras: Those that the rays come from.

    Returns:
        Distances; 0 where the depth is not known, and for rays that leave their camera sideways, where it says nothing.
    """
    axes = cameras.world_from_camera[:, :, 2].index_select(0, camera_indices)
    cosine = (directions * axes).sum(dim=1)
    return torch.where(cosine > _SMALLEST_COSINE, depth / cosine.clamp(min=_SMALLEST_COSINE), 0.0)


def depth_loss(rendering: Rendering, distance: Float[Tensor, "rays"]) -> Float[Tensor, ""]:
    """How far from the measured distance rays are stopped, mean over all rays; those without a measurement give 0.

        huber(opacity * (expected distance - measured distance)) / tolerance, in scene units

    The opacity keeps the gradient of rays finite that nothing stops yet; that they are to be stopped, colours say.

    Args:
        rendering: Carries gradients to the field.
        distance: Along the ray, 0 where it is not known.
    """
    miss = torch.where(distance > 0.0, rendering.opacity * (rendering.depth - distance), 0.0)
    return torch.nn.functional.huber_loss(miss, torch.zeros_like(miss), delta=_TOLERANCE) / _TOLERANCE


def depth_error(
    camera: Cameras,
    depth: Float[Tensor, "height width"],
    kept: Bool[Tensor, "height width"] | None,
    rendered: Float[Tensor, "height width"],
    *,
    scale: float,
) -> dict[str, float]:
    """The mean absolute error of rendered distances where a depth map knows them and no mask ignores them.

    Args:
        camera: The view's, a batch of one.
        depth: Along the optical axis, scene units; 0 where it is not known.
        kept: Which pixels count; None: all.
        rendered: Expected distance along each pixel's ray, scene units.
        scale: Scene units per unit of the poses.

    Returns:
        `{"depth_error": ...}` in units of the poses; empty where nothing is known.
    """
    known = depth > 0.0 if kept is None else (depth > 0.0) & kept
    rows, columns = known.nonzero(as_tuple=True)
    if not len(rows):
        return {}
    camera, indices = camera.to("cpu"), torch.zeros_like(rows)
    _, directions = camera.rays(torch.stack([columns, rows], dim=1) + 0.5, indices)
    distance = distance_along_rays(depth[known], directions, camera, indices)
    miss = (rendered.cpu()[known] - distance)[distance > 0.0].abs()
    return {"depth_error": float(miss.mean()) / scale} if len(miss) else {}
