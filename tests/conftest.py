"""What all tests share: shapes and types checked at run time, and the folder of real data."""

import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

os.environ.setdefault("GOMP_SPINCOUNT", "1000")  # as the command line does; read when torch loads OpenMP

import numpy as np
import torch
from jaxtyping import install_import_hook
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("fields", "render", "datasets", "configs", "tools")


def checked_modules() -> list[str]:
    """Full names of all modules that beartype checks: those that numba compiles cannot be wrapped.

    The hook takes a name for itself and everything below it, so that packages cannot be listed: an `__init__` stays
    unchecked.
    """
    files = (path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py")) if path.stem != "__init__")
    uses_numba = re.compile(r"^\s*(import|from)\s+(numba\b|[\w.]*\.numba_runtime\b)", re.MULTILINE)
    return [
        ".".join(("neufield", *path.relative_to(ROOT).with_suffix("").parts))
        for path in files
        if not uses_numba.search(path.read_text(encoding="utf-8"))
    ]


# Before anything of ours is imported: conftest is read first, and imports none of it.
install_import_hook(checked_modules(), "beartype.beartype")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real measurements beside the checkout; no part of the repository: tests skip without it."""
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"needs the folder of real data beside the checkout: {folder} is missing")
    return folder


@pytest.fixture(scope="session")
def assert_agree() -> Callable[..., None]:
    """Holds a float32 result to the truth: by element, by direction, and in where it is exactly zero."""

    def check(found: torch.Tensor, truth: torch.Tensor, *, relative: float = 1e-4, zeros: bool = True) -> None:
        assert found.shape == truth.shape
        if not truth.numel():
            return
        found, truth = found.detach().double(), truth.detach().double()
        # Sums that cancel are held to the size of what was summed.
        torch.testing.assert_close(found, truth, rtol=relative, atol=1e-6 * truth.abs().max().item())
        if truth.any():
            cosine = (found / found.norm() * (truth / truth.norm())).sum()
            assert cosine.item() > 1.0 - 1e-8
        if zeros:
            assert torch.equal(found == 0, truth == 0)

    return check


@pytest.fixture
def on_one_and_two_threads() -> Iterator[Callable[..., tuple[object, object]]]:
    """Calls a function on one thread of numba's pool and on two, and returns what it gave each time."""
    import numba

    before = numba.get_num_threads()
    if numba.config.NUMBA_NUM_THREADS < 2:  # pyright: ignore[reportAttributeAccessIssue]
        pytest.skip("needs two cores: numba's pool has one thread here")

    def call(function: Callable[[], object]) -> tuple[object, object]:
        numba.set_num_threads(1)
        alone = function()
        numba.set_num_threads(2)
        return alone, function()

    yield call
    numba.set_num_threads(before)


class Snapshots(NamedTuple):
    """Plain photos of a textured corner, and the cameras that took them."""

    folder: Path
    world_from_camera: dict[str, np.ndarray]
    """By name; 3x4, OpenCV axes."""
    focal: float


SNAPSHOT_SIZE = (320, 240)
_SNAPSHOT_FOCAL = 330.0


@pytest.fixture(scope="session")
def snapshots(tmp_path_factory: pytest.TempPathFactory) -> Snapshots:
    """Fourteen photos on an arc before three walls with a texture of all scales; not to be changed."""
    folder = tmp_path_factory.mktemp("snapshots") / "corner"
    folder.mkdir()
    random = np.random.default_rng(7)
    walls = [_wall_texture(random) for _ in range(3)]
    poses: dict[str, np.ndarray] = {}
    for i, angle in enumerate(np.radians(np.linspace(18.0, 72.0, 14))):
        position = np.array([3.2 * np.cos(angle), 3.2 * np.sin(angle), 1.4 + 0.3 * np.sin(5.0 * angle)])
        forward = np.array([0.4, 0.4, 0.5]) - position
        forward /= np.linalg.norm(forward)
        right = np.cross(forward, [0.0, 0.0, 1.0])
        right /= np.linalg.norm(right)
        pose = np.stack([right, np.cross(forward, right), forward, position], axis=1)
        name = f"IMG_{i:04d}.jpg"
        poses[name] = pose
        Image.fromarray(_snapshot(pose, walls)).save(folder / name, quality=95)
    return Snapshots(folder, poses, _SNAPSHOT_FOCAL)


def _wall_texture(random: np.random.Generator) -> np.ndarray:
    """512x512 grey values: blurred noise of every octave."""
    texture = np.zeros((512, 512))
    for side in (8, 16, 32, 64, 128):
        noise = Image.fromarray(random.uniform(-1.0, 1.0, (side, side)).astype(np.float32))
        texture += np.asarray(noise.resize((512, 512), Image.Resampling.BICUBIC))
    return np.clip(128.0 + 60.0 * texture, 0.0, 255.0)


def _snapshot(pose: np.ndarray, walls: list[np.ndarray]) -> np.ndarray:
    """What a camera sees of the three planes x = 0, y = 0 and z = 0, four samples a pixel."""
    width, height = SNAPSHOT_SIZE
    y, x = np.mgrid[0.25:height:0.5, 0.25:width:0.5]
    local = np.stack([(x - 0.5 * width) / _SNAPSHOT_FOCAL, (y - 0.5 * height) / _SNAPSHOT_FOCAL, np.ones_like(x)], -1)
    directions = local @ pose[:, :3].T
    with np.errstate(divide="ignore"):
        distances = -pose[:, 3] / directions
    distances[distances <= 0.0] = np.inf
    nearest = distances.argmin(axis=-1)
    points = pose[:, 3] + distances.min(axis=-1, keepdims=True) * directions
    shade = np.zeros_like(x)
    for axis, texture in enumerate(walls):
        u, v = (np.delete(points, axis, axis=-1)[nearest == axis] * 128.0).astype(int).T % 512
        shade[nearest == axis] = texture[u, v]
    pixels = shade.reshape(height, 2, width, 2).mean(axis=(1, 3))
    return np.repeat(pixels[:, :, None].round().astype(np.uint8), 3, axis=2)
