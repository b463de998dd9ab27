"""Poses from plain photos: found again as they were, and every photo that was left out is told."""

from pathlib import Path

import numpy as np
import pytest

from neufield.datasets.colmap import pose_of
from neufield.datasets.colmap_files import read_colmap_model
from neufield.datasets.photo_posing import PoseReport, PoseSettings, pose_photos

pytest.importorskip("pycolmap", reason="needs pycolmap: pip install -c constraints.txt -e '.[sfm]'")


def aligned(found: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Poses after the similarity that brings their positions closest to the true ones (Umeyama 1991)."""
    middle, goal = found[:, :, 3].mean(0), true[:, :, 3].mean(0)
    a, b = found[:, :, 3] - middle, true[:, :, 3] - goal
    u, s, vt = np.linalg.svd(b.T @ a)
    sign = np.diag([1.0, 1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = u @ sign @ vt
    scale = float((s * np.diag(sign)).sum() / (a * a).sum())
    moved = scale * a @ rotation.T + goal
    return np.concatenate([rotation @ found[:, :, :3], moved[:, :, None]], axis=2)


def pose_errors(found: dict[str, np.ndarray], true: dict[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Angles in degrees and distances in units of the cameras' spread, after alignment, of the names in both."""
    names = sorted(set(found) & set(true))
    truth = np.stack([true[name] for name in names])
    moved = aligned(np.stack([found[name] for name in names]), truth)
    turns = np.einsum("nji,njk->nik", moved[:, :, :3], truth[:, :, :3])
    cosines = (np.trace(turns, axis1=1, axis2=2) - 1.0) / 2.0
    spread = np.sqrt(((truth[:, :, 3] - truth[:, :, 3].mean(0)) ** 2).sum(1).mean())
    return np.degrees(np.arccos(cosines.clip(-1, 1))), np.linalg.norm((moved - truth)[:, :, 3], axis=1) / spread


def found_poses(folder: Path) -> dict[str, np.ndarray]:
    model = read_colmap_model(folder / "sparse" / "0", ".bin")
    return {image.name: pose_of(image, image.name) for image in model.images}


@pytest.fixture(scope="session")
def posed(snapshots, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PoseReport]:
    """The snapshots after their poses were found; not to be changed."""
    folder = tmp_path_factory.mktemp("posed") / "corner-posed"
    return folder, pose_photos(snapshots.folder, folder, PoseSettings(threads=1))


def test_the_cameras_are_found_again(snapshots, posed: tuple[Path, PoseReport]):
    folder, report = posed
    assert (report.photos, report.registered, report.unregistered) == (14, 14, ())
    angles, distances = pose_errors(found_poses(folder), snapshots.world_from_camera)
    print(angles, distances, report)
    assert np.median(angles) < 0.2
    assert np.median(distances) < 0.01
    assert report.median_reprojection_error_px < 0.6
