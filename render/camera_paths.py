"""Camera paths for videos: a turn around the scene, and a smooth flight through the training cameras."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from .cameras import Cameras

_TO_MIDDLE = 1e-2  # how strongly the scene's middle attracts the point that cameras look at, against one camera's axis
_STEPS = 32  # pieces of a span between two key cameras when the length of a path is measured


def turntable(
    cameras: Cameras,
    frames: int,
    *,
    size: tuple[int, int] | None = None,
    center: Float[Tensor, "3"] | None = None,
) -> Cameras:
    """Cameras that circle what the training cameras look at, once around, at their median height and distance.

    The axis is the mean of the cameras' up vectors. The circle starts on the first camera's side and closes: the frame
    after the last one would be the first.

    Args:
        cameras: Training cameras in scene coordinates, at least one.
        frames: Number of cameras on the circle, >= 1.
        size: Width and height of the pictures; None takes the median of the training pictures.
        center: What to circle; None finds the point nearest to all optical axes.

    Raises:
        ValueError: There are no cameras or fewer than one frame.
    """
    pose = _poses(cameras, frames)
    middle = _looked_at(pose) if center is None else center.double().cpu()
    up = _mean_up(pose)
    offsets = pose[:, :, 3] - middle
    distances = offsets.norm(dim=1).clamp(min=1e-9)
    elevation = torch.asin((offsets @ up / distances).clamp(-1, 1)).median().clamp(-1.4, 1.4)
    ahead = _across(offsets[0], up)
    side = torch.linalg.cross(up, ahead)
    angle = torch.arange(frames, dtype=torch.float64)[:, None] * (2 * math.pi / frames)
    outward = elevation.cos() * (angle.cos() * ahead + angle.sin() * side) + elevation.sin() * up
    poses = _looking_at(middle + distances.median() * outward, middle, up)
    return _with_poses(cameras, poses, size)


def interpolated_path(cameras: Cameras, frames: int, *, size: tuple[int, int] | None = None, keys: int = 12) -> Cameras:
    """A smooth closed flight at even speed through a subset of the training poses, on a short round trip.

    Positions follow a Catmull-Rom spline, rotations the same construction on the sphere of quaternions, with slerp
    where the spline has straight blends (Barry and Goldman 1988).

    Args:
        cameras: Training cameras, at least one.
        frames: Number of cameras on the path, >= 1.
        size: Width and height of the pictures; None takes the median of the training pictures.
        keys: How many training poses to pass through, >= 1; they are chosen far apart from each other.

    Raises:
        ValueError: There are no cameras, fewer than one frame or fewer than one key.
    """
    if keys < 1:
        raise ValueError(f"a path needs at least 1 key camera, found keys={keys}")
    pose = _poses(cameras, frames)
    chosen = _round_trip(_far_apart(pose, keys), pose)
    positions, quaternions = pose[chosen, :, 3], _quaternions(pose[chosen, :, :3])
    fine = torch.arange(len(chosen) * _STEPS + 1, dtype=torch.float64) / _STEPS
    walked = _spline(positions, fine, _straight).diff(dim=0).norm(dim=1)
    turned = _rotations(_spline(quaternions, fine, _slerp)).diff(dim=0).flatten(1).norm(dim=1)
    turned = turned * positions.std(dim=0, correction=0).norm() / 2  # as far as a point at the positions' spread moves
    length = torch.cat([torch.zeros(1, dtype=torch.float64), (walked + turned + 1e-12).cumsum(dim=0)])
    t = _interpolated(torch.arange(frames, dtype=torch.float64) / frames * length[-1], length, fine)
    rotations = _rotations(_spline(quaternions, t, _slerp))
    poses = torch.cat([rotations, _spline(positions, t, _straight)[:, :, None]], dim=2)
    return _with_poses(cameras, poses, size)


def _poses(cameras: Cameras, frames: int) -> Float[Tensor, "cameras 3 4"]:
    if len(cameras) == 0:
        raise ValueError("a camera path needs at least one training camera, found none")
    if frames < 1:
        raise ValueError(f"a camera path needs at least 1 frame, found {frames}")
    return cameras.world_from_camera.detach().double().cpu()


def _looked_at(pose: Float[Tensor, "cameras 3 4"]) -> Float[Tensor, "3"]:
    """The point with the least squared distance to all optical axes, drawn a little to the unit cube's middle.

    The pull decides where the axes leave it open: one camera, or cameras side by side.
    """
    axes = pose[:, :, 2]
    across = torch.eye(3, dtype=torch.float64) - axes[:, :, None] * axes[:, None, :]
    pull = _TO_MIDDLE * torch.eye(3, dtype=torch.float64)
    target = (across @ pose[:, :, 3:]).mean(dim=0)[:, 0] + pull @ torch.full((3,), 0.5, dtype=torch.float64)
    return torch.linalg.solve(across.mean(dim=0) + pull, target)


def _mean_up(pose: Float[Tensor, "cameras 3 4"]) -> Float[Tensor, "3"]:
    up = -pose[:, :, 1].mean(dim=0)
    if up.norm() < 1e-3:  # cameras that roll all ways leave no direction: the first one's up is as good as any
        up = -pose[0, :, 1]
    return up / up.norm()


def _across(vector: Float[Tensor, "3"], axis: Float[Tensor, "3"]) -> Float[Tensor, "3"]:
    """The unit vector across `axis` on the side of `vector`; any one across where `vector` runs along the axis."""
    across = vector - (vector @ axis) * axis
    if across.norm() < 1e-6 * vector.norm().clamp(min=1e-6):
        across = torch.eye(3, dtype=axis.dtype)[int(axis.abs().argmin())]
        across = across - (across @ axis) * axis
    return across / across.norm()


def _looking_at(
    positions: Float[Tensor, "frames 3"], target: Float[Tensor, "3"], up: Float[Tensor, "3"]
) -> Float[Tensor, "frames 3 4"]:
    forward = torch.nn.functional.normalize(target - positions, dim=1)
    right = torch.nn.functional.normalize(torch.linalg.cross(forward, up.expand_as(forward)), dim=1)
    down = torch.linalg.cross(forward, right)
    return torch.stack([right, down, forward, positions], dim=2)


def _with_poses(cameras: Cameras, poses: Float[Tensor, "frames 3 4"], size: tuple[int, int] | None) -> Cameras:
    """Pinhole cameras with the training cameras' median lens: the picture's shorter side keeps its field of view."""
    like, count = cameras.world_from_camera, len(poses)
    sizes = cameras.sizes.cpu().double()
    width, height = size or (int(x) for x in sizes.median(dim=0).values.round())
    scale = min(width, height) / sizes.amin(dim=1, keepdim=True)
    focal = (cameras.focal.detach().cpu().double() * scale).median(dim=0).values
    path = Cameras(
        world_from_camera=poses.to(like.dtype),
        focal=focal.to(like.dtype).repeat(count, 1),
        center=torch.tensor([width / 2, height / 2], dtype=like.dtype).repeat(count, 1),
        distortion=torch.zeros(count, 6, dtype=like.dtype),
        fisheye=torch.zeros(count, dtype=torch.bool),
        sizes=torch.tensor([width, height]).repeat(count, 1),
    )
    return path.to(like.device)


def _far_apart(pose: Float[Tensor, "cameras 3 4"], count: int) -> list[int]:
    """Indices of cameras chosen one by one, each the farthest from those before it; the first camera leads."""
    chosen, gap = [0], _differences(pose, 0)
    while len(chosen) < min(count, len(pose)) and gap.max() > 1e-9:
        chosen.append(int(gap.argmax()))
        gap = torch.minimum(gap, _differences(pose, chosen[-1]))
    return chosen


def _differences(pose: Float[Tensor, "cameras 3 4"], index: int) -> Float[Tensor, "cameras"]:
    """How far all cameras are from one, in position (against their spread) and in viewing direction."""
    spread = pose[:, :, 3].std(dim=0, correction=0).norm().clamp(min=1e-9)
    moved = (pose[:, :, 3] - pose[index, :, 3]).norm(dim=1) / spread
    return moved + (pose[:, :, 2] - pose[index, :, 2]).norm(dim=1)


def _round_trip(chosen: list[int], pose: Float[Tensor, "cameras 3 4"]) -> list[int]:
    """A short closed tour: parts are turned around for as long as that makes it shorter (2-opt)."""
    gap = torch.stack([_differences(pose[chosen], i) for i in range(len(chosen))]).tolist()
    tour, count = list(range(len(chosen))), len(chosen)
    improved = True
    while improved:
        improved = False
        for i in range(1, count - 1):
            for j in range(i + 1, count):
                a, b, c, d = tour[i - 1], tour[i], tour[j], tour[(j + 1) % count]
                if gap[a][c] + gap[b][d] < gap[a][b] + gap[c][d] - 1e-9:
                    tour[i : j + 1] = tour[i : j + 1][::-1]
                    improved = True
    return [chosen[i] for i in tour]


def _spline(
    keys: Float[Tensor, "keys n"], t: Float[Tensor, "frames"], blend: Callable[[Tensor, Tensor, Tensor], Tensor]
) -> Float[Tensor, "frames n"]:
    """The closed uniform Catmull-Rom spline through `keys` at times t in [0, keys], as Barry and Goldman's pyramid."""
    start = t.floor().long()
    u = (t - start)[:, None]
    p0, p1, p2, p3 = (keys[(start + i) % len(keys)] for i in (-1, 0, 1, 2))
    a, b, c = blend(p0, p1, u + 1), blend(p1, p2, u), blend(p2, p3, u - 1)
    return blend(blend(a, b, (u + 1) / 2), blend(b, c, u / 2), u)


def _straight(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    return a + (b - a) * share


def _slerp(a: Tensor, b: Tensor, share: Tensor) -> Tensor:
    """Along the great circle from a to b the short way round, and beyond for shares outside [0, 1]."""
    b = torch.where((a * b).sum(dim=1, keepdim=True) < 0, -b, b)
    angle = 2 * torch.atan2((a - b).norm(dim=1, keepdim=True), (a + b).norm(dim=1, keepdim=True))
    sine = angle.sin().clamp(min=1e-12)
    near = angle < 1e-6
    first = torch.where(near, 1 - share, ((1 - share) * angle).sin() / sine)
    second = torch.where(near, share, (share * angle).sin() / sine)
    return torch.nn.functional.normalize(first * a + second * b, dim=1)


def _interpolated(x: Float[Tensor, "n"], known: Float[Tensor, "m"], values: Float[Tensor, "m"]) -> Float[Tensor, "n"]:
    """Linear interpolation of `values` given at rising places `known`."""
    right = torch.searchsorted(known, x, right=True).clamp(1, len(known) - 1)
    share = (x - known[right - 1]) / (known[right] - known[right - 1])
    return values[right - 1] + share * (values[right] - values[right - 1])


def _quaternions(rotations: Float[Tensor, "n 3 3"]) -> Float[Tensor, "n 4"]:
    """Unit quaternions (w, x, y, z), each on the side of the one before it."""
    found = [_quaternion(rotation) for rotation in rotations]
    for i in range(1, len(found)):
        if found[i] @ found[i - 1] < 0:
            found[i] = -found[i]
    return torch.stack(found)


def _quaternion(rotation: Float[Tensor, "3 3"]) -> Float[Tensor, "4"]:
    """The eigenvector of Bar-Itzhack's symmetric matrix (2000): exact for rotations, the nearest one otherwise."""
    r = rotation
    k = torch.stack(
        [
            torch.stack([r[0, 0] + r[1, 1] + r[2, 2], r[2, 1] - r[1, 2], r[0, 2] - r[2, 0], r[1, 0] - r[0, 1]]),
            torch.stack([r[2, 1] - r[1, 2], r[0, 0] - r[1, 1] - r[2, 2], r[0, 1] + r[1, 0], r[0, 2] + r[2, 0]]),
            torch.stack([r[0, 2] - r[2, 0], r[0, 1] + r[1, 0], r[1, 1] - r[0, 0] - r[2, 2], r[1, 2] + r[2, 1]]),
            torch.stack([r[1, 0] - r[0, 1], r[0, 2] + r[2, 0], r[1, 2] + r[2, 1], r[2, 2] - r[0, 0] - r[1, 1]]),
        ]
    )
    return torch.linalg.eigh(k).eigenvectors[:, -1]


def _rotations(quaternions: Float[Tensor, "n 4"]) -> Float[Tensor, "n 3 3"]:
    w, x, y, z = quaternions.unbind(dim=1)
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return torch.stack([torch.stack(row, dim=1) for row in rows], dim=1)
