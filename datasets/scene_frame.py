"""Where the scene lies: the similarity that brings what was photographed into the unit cube, and the box around it."""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np
import torch
from jaxtyping import Float64

from ..render.similarity import Similarity

LARGEST_EXTENT = 16
"""Largest box that is chosen from cameras and points; a file may state a larger one."""

_CAMERA_DISTANCE = 1.3  # mean distance of inward-looking cameras to what they look at, scene units
_CAMERA_MARGIN = 1.05
_DEFAULT_NEAR = 0.05
_NEAR_SHARE = 0.7  # of the distance of the nearest thing seen; closer there is only what would hang before the cameras
_NEAR_LIMIT = 0.9  # at most, scene units
_POINTS_INSIDE = 0.98  # share of the sparse points that the box holds; the rest are strays
_FEWEST_POINTS = 20


@dataclass(frozen=True)
class SceneFrame:
    """The frame of a scene; see `PosedScene` for what the parts mean."""

    scene_from_world: Similarity
    extent: int
    near: float


class Focus(NamedTuple):
    """What the cameras look at."""

    center: Float64[np.ndarray, "3"]
    distance: float
    """Mean distance of the cameras to it, world units."""
    kind: Literal["inward", "forward", "outward"]


def blender_frame() -> SceneFrame:
    """The frame of NeRF's synthetic scenes: the cube [-1.5, 1.5]³ becomes the unit cube."""
    return SceneFrame(_similarity(1.0 / 3.0, np.full(3, 0.5)), 1, 0.0)


def instant_ngp_frame(*, scale: float, offset: tuple[float, float, float], aabb_scale: float) -> SceneFrame:
    """The frame that a `transforms.json` of instant-ngp states: `scene = scale * world + offset`."""
    extent = 2 ** max(0, math.ceil(math.log2(aabb_scale)))
    return SceneFrame(_similarity(scale, np.array(offset)), extent, _DEFAULT_NEAR)


def frame_from_cameras(
    world_from_camera: Float64[np.ndarray, "cameras 3 4"],
    points: Float64[np.ndarray, "points 3"] | None = None,
    *,
    nearest: float | None = None,
) -> SceneFrame:
    """Chooses a frame: what the cameras look at comes to the middle of the unit cube, the cameras into the box.

    Args:
        world_from_camera: Poses in OpenCV axes.
        points: Sparse points of the scene, strays among them; they set the box's side, and the depth of the scene where
            the cameras' axes do not meet.
        nearest: Distance of the nearest thing that a camera saw, world units.

    Returns:
        The frame. Cameras that look inward have a mean distance of 1.3 to the middle; the extent is at most 16.
    """
    points = np.zeros((0, 3)) if points is None or len(points) < _FEWEST_POINTS else points
    focus = find_focus(world_from_camera, points)
    wanted = 0.35 if focus.kind == "outward" else _CAMERA_DISTANCE
    scale = wanted / focus.distance
    reach = float(np.abs(world_from_camera[:, :, 3] - focus.center).max()) * _CAMERA_MARGIN
    scale = min(scale, 0.5 * LARGEST_EXTENT / max(reach, 1e-12))
    if len(points):
        reach = max(reach, float(np.quantile(np.abs(points - focus.center).max(axis=1), _POINTS_INSIDE)))
    extent = min(LARGEST_EXTENT, 2 ** max(0, math.ceil(math.log2(max(2.0 * scale * reach, 1.0)))))
    near = _DEFAULT_NEAR if nearest is None else max(_DEFAULT_NEAR, _NEAR_SHARE * scale * nearest)
    return SceneFrame(_similarity(scale, 0.5 - scale * focus.center), extent, min(near, _NEAR_LIMIT))


def find_focus(world_from_camera: Float64[np.ndarray, "cameras 3 4"], points: Float64[np.ndarray, "points 3"]) -> Focus:
    """The point that is nearest to all optical axes in the least-squares sense, if the cameras look inward.

    The point solves `sum_i (1 - d_i d_iᵀ) (p - o_i) = 0` with positions o and axes d. Cameras that look ahead side by
    side focus in front of them, at the median depth of the points; cameras that look outward on their own middle.
    """
    positions, axes = world_from_camera[:, :, 3], world_from_camera[:, :, 2]
    across = np.eye(3) - axes[:, :, None] * axes[:, None, :]
    meeting = np.linalg.lstsq(across.sum(0), (across @ positions[:, :, None]).sum(0)[:, 0], rcond=1e-9)[0]
    offsets = meeting - positions
    depths = (offsets * axes).sum(1)
    distances = np.linalg.norm(offsets, axis=1)
    misses = np.linalg.norm((across @ offsets[:, :, None])[:, :, 0], axis=1)
    angles_differ = float(np.linalg.eigvalsh(across.mean(0))[0]) > 0.02
    in_front = float((depths > 0.0).mean()) >= 0.9
    if angles_differ and in_front and float(np.median(misses)) < 0.35 * float(np.median(distances)):
        return Focus(meeting, _positive(float(distances.mean())), "inward")
    middle, heading = positions.mean(0), axes.mean(0)
    spread = float(np.linalg.norm(positions - middle, axis=1).max())
    if float(np.linalg.norm(heading)) < 0.5:
        return Focus(np.median(positions, axis=0), _positive(spread), "outward")
    heading = heading / np.linalg.norm(heading)
    depth = _depth_of_points(points, middle, heading) or 2.0 * _positive(spread)
    return Focus(middle + depth * heading, depth, "forward")


def _depth_of_points(points: np.ndarray, origin: np.ndarray, heading: np.ndarray) -> float | None:
    """Median depth of what lies ahead; None without points."""
    depths = (points - origin) @ heading
    ahead = depths[depths > 0.0]
    return float(np.median(ahead)) if len(ahead) >= _FEWEST_POINTS else None


def _positive(length: float) -> float:
    """A length to divide by: 1 where cameras coincide and say nothing about the scale."""
    return length if length > 1e-9 else 1.0


def _similarity(scale: float, translation: np.ndarray) -> Similarity:
    return Similarity(scale, torch.eye(3, dtype=torch.float64), torch.from_numpy(translation))
