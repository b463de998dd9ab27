"""Poses as files state them: checked, and turned to OpenCV's camera axes."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

from ..render.similarity import ROTATION_TOLERANCE
from .errors import PoseError

_OPENCV_FROM_OPENGL = np.diag([1.0, -1.0, -1.0])


def opencv_from_opengl(world_from_camera: Float64[np.ndarray, "3 4"]) -> Float64[np.ndarray, "3 4"]:
    """Turns a pose with OpenGL's camera axes (y up, z backward) into one with OpenCV's (y down, z forward)."""
    return np.concatenate([world_from_camera[:, :3] @ _OPENCV_FROM_OPENGL, world_from_camera[:, 3:]], axis=1)


def checked_pose(matrix: np.ndarray, where: str) -> Float64[np.ndarray, "3 4"]:
    """A pose whose rotation is exactly one.

    Args:
        matrix: 3x4, or 4x4 with (0, 0, 0, 1) in its last row.
        where: Names the file and frame in messages.

    Raises:
        PoseError: if the shape is another, a number is not finite, or `R Rᵀ` differs from 1 by more than the tolerance.
    """
    if matrix.shape not in ((3, 4), (4, 4)):
        raise PoseError(f"{where}: expected a 3x4 or 4x4 matrix, found shape {'x'.join(map(str, matrix.shape))}")
    if not np.isfinite(matrix).all():
        raise PoseError(f"{where}: expected finite numbers in the pose, found NaN or infinity; remove the frame")
    if matrix.shape == (4, 4) and np.abs(matrix[3] - [0.0, 0.0, 0.0, 1.0]).max() > ROTATION_TOLERANCE:
        raise PoseError(f"{where}: expected 0, 0, 0, 1 in the matrix's last row, found {matrix[3].tolist()}")
    rotation = matrix[:3, :3]
    fault = _rotation_fault(rotation)
    if fault:
        raise PoseError(f"{where}: expected a rotation (R Rᵀ = 1 up to {ROTATION_TOLERANCE:g}), found {fault}")
    left, _, right = np.linalg.svd(rotation)
    return np.concatenate([left @ right, matrix[:3, 3:]], axis=1)


def _rotation_fault(rotation: np.ndarray) -> str | None:
    with np.errstate(over="ignore", invalid="ignore"):
        product = rotation @ rotation.T
        error = float(np.abs(product - np.eye(3)).max())
    if error <= ROTATION_TOLERANCE:
        return "a reflection (determinant -1): one axis is flipped" if np.linalg.det(rotation) < 0 else None
    square = float(np.trace(product)) / 3.0
    if np.isfinite(square) and square > 0.0 and float(np.abs(product / square - np.eye(3)).max()) <= ROTATION_TOLERANCE:
        scale = np.sqrt(square)
        return f"a rotation scaled by {scale:g}; divide its 3x3 part by that, or apply the scale to the positions"
    return f"a matrix that is off by {error:.3g}; export the poses again"


def same_poses_note(names: Sequence[str], poses: Sequence[Float64[np.ndarray, "3 4"]]) -> list[str]:
    """Says that photos have one pose, which two photos taken by hand never do; empty if none have."""
    first: dict[bytes, str] = {}
    pairs: list[tuple[str, str]] = []
    for name, pose in zip(names, poses, strict=True):
        earlier = first.setdefault((pose.astype(np.float32) + 0.0).tobytes(), name)
        if earlier != name:
            pairs.append((earlier, name))
    if not pairs:
        return []
    earlier, later = pairs[0]
    told = f"photos with the pose of another one: {len(pairs)}, first {later} (that of {earlier})"
    return [f"{told}; a photo is there twice, or the poses are wrong"]
