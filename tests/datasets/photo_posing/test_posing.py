"""Poses from plain photos: found again as they were, and every photo that was left out is told."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import ExifTags, Image

from neufield.datasets import PoseReport, PoseSettings, default_output, inspect_folder, load_posed_scene, pose_photos
from neufield.datasets.colmap import pose_of
from neufield.datasets.colmap_files import read_colmap_model
from neufield.datasets.photo_posing.structure_from_motion import (
    CameraGroup,
    SparseModel,
    _apart,
    extract_features,
    require_pycolmap,
)

pycolmap = pytest.importorskip("pycolmap", reason="needs pycolmap: pip install -c constraints.txt -e '.[sfm]'")


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


def given_poses(folder: Path) -> dict[str, np.ndarray]:
    """The poses that a capture came with, by the names of its photos."""
    if not (folder / "transforms.json").exists():
        return found_poses(folder)
    frames = json.loads((folder / "transforms.json").read_text())["frames"]
    to_opencv = np.diag([1.0, -1.0, -1.0, 1.0])
    return {Path(frame["file_path"]).name: (frame["transform_matrix"] @ to_opencv)[:3] for frame in frames}


@pytest.fixture(scope="session")
def posed(snapshots: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, PoseReport]:
    """The snapshots after their poses were found; not to be changed."""
    folder = tmp_path_factory.mktemp("posed") / "corner-posed"
    return folder, pose_photos(snapshots.folder, folder, PoseSettings(threads=1))


def test_the_cameras_are_found_again(snapshots: Any, posed: tuple[Path, PoseReport]):
    folder, report = posed
    assert (report.photos, report.registered, report.unregistered, report.model_sizes) == (14, 14, (), (14,))
    angles, distances = pose_errors(found_poses(folder), snapshots.world_from_camera)
    assert np.median(angles) < 0.2
    assert np.median(distances) < 0.005
    assert 0.0 < report.median_reprojection_error_px < 0.3
    assert report.median_reprojection_error_px < report.mean_reprojection_error_px < 0.5
    assert report.points > 1000


def test_the_folder_is_read_as_pinhole_cameras(snapshots: Any, posed: tuple[Path, PoseReport]):
    scene = load_posed_scene(posed[0])
    assert scene.format == "colmap"
    assert len(scene.train) + len(scene.test) == 14
    assert inspect_folder(posed[0]).ok
    assert inspect_folder(posed[0]).camera_models == (("PINHOLE", 14),)
    assert not scene.train.cameras.distortion.any()
    assert scene.train.cameras.focal.mean().item() == pytest.approx(snapshots.focal, rel=0.01)
    assert (scene.train.cameras.sizes >= torch.tensor([310, 230])).all()  # nearly all of the photo is kept


def test_the_report_has_its_fixed_form(posed: tuple[Path, PoseReport]):
    written = json.loads((posed[0] / "pose_report.json").read_text())
    assert written == json.loads(json.dumps(asdict(posed[1])))
    assert list(written) == [
        "photos", "registered", "unregistered", "unreadable", "mean_reprojection_error_px",
        "median_reprojection_error_px", "points", "camera_models", "undistorted", "model_sizes", "matching", "pairs",
        "seed", "seconds",
    ]  # fmt: skip
    assert written["camera_models"] == {"OPENCV": 14}


def test_the_same_seed_repeats_the_poses(snapshots: Any, posed: tuple[Path, PoseReport], tmp_path: Path):
    again = pose_photos(snapshots.folder, tmp_path / "again", PoseSettings(threads=1))
    first, second = found_poses(posed[0]), found_poses(tmp_path / "again")
    assert again.points == posed[1].points
    assert all((first[name] == second[name]).all() for name in first)


def test_photos_as_they_were_taken(snapshots: Any, tmp_path: Path):
    """Without undistortion, one lens for each photo, and look-alikes only."""
    settings = PoseSettings(cameras="separate", matching="similar", undistort=False, threads=1)
    report = pose_photos(snapshots.folder, tmp_path / "posed", settings)
    assert report.registered == 14
    assert (report.camera_models, report.undistorted) == ({"SIMPLE_RADIAL": 14}, False)
    for path in snapshots.folder.iterdir():
        assert (tmp_path / "posed" / "images" / path.name).read_bytes() == path.read_bytes()
    assert inspect_folder(tmp_path / "posed").camera_models == (("SIMPLE_RADIAL", 14),)
    angles, _ = pose_errors(found_poses(tmp_path / "posed"), snapshots.world_from_camera)
    assert np.median(angles) < 1.0


def test_the_exif_says_where_the_focal_length_begins(snapshots: Any, tmp_path: Path):
    exif = Image.Exif()
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.FocalLengthIn35mmFilm] = 27
    with Image.open(snapshots.folder / "IMG_0000.jpg") as image:
        image.save(tmp_path / "a.jpg", exif=exif)
        image.save(tmp_path / "b.jpg")
    require_pycolmap()
    groups = [CameraGroup((name,), "SIMPLE_RADIAL", True) for name in ("a.jpg", "b.jpg")]
    extract_features(tmp_path / "database.db", tmp_path, groups, threads=1, progress=lambda share: None)
    with pycolmap.Database.open(tmp_path / "database.db") as database:
        told, untold = (camera.mean_focal_length() for camera in database.read_all_cameras())
    diagonal, film_diagonal = np.hypot(*image.size), np.hypot(36.0, 24.0)
    assert told == pytest.approx(27 * diagonal / film_diagonal, rel=1e-3)
    assert untold == pytest.approx(1.2 * max(image.size))


@pytest.mark.parametrize("stage", ["reading", "features", "mapping"])
def test_an_interruption_leaves_nothing(snapshots: Any, tmp_path: Path, stage: str):
    def interrupt(share: float, name: str) -> None:
        if name == stage:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pose_photos(snapshots.folder, tmp_path / "posed", PoseSettings(threads=1), progress=interrupt)
    assert list(tmp_path.iterdir()) == []


def test_models_within_others_are_left_out():
    def model(*names: str) -> SparseModel:
        return SparseModel(pycolmap.Reconstruction(), names, 10, np.zeros(0), ("OPENCV",) * len(names))

    whole, inside, apart = model("a", "b", "c", "d"), model("b", "c"), model("d", "e")
    assert _apart([whole, inside, apart, inside]) == [whole, apart]
    assert _apart([]) == []


def test_groups_that_do_not_connect_are_told():
    report = PoseReport(
        9, 5, ("f.jpg", "g.jpg"), (), 0.5, 0.4, 80, {"OPENCV": 5}, True, (5, 3), "exhaustive", 36, 0, 2.0
    )
    assert report.lines()[0] == (
        "The photos fall into 2 groups that do not connect (5, 3 photos); the largest is taken."
    )
    assert report.result(Path("a b")) == (
        "5 of 9 photos registered, median reprojection error 0.40 px. Next: neufield nerf 'a b'"
    )


def test_where_the_output_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "trip.day 1").mkdir()
    assert default_output(tmp_path / "trip.day 1") == tmp_path / "trip.day 1-posed"
    assert default_output(tmp_path / "clip.mp4") == tmp_path / "clip-posed"
    monkeypatch.chdir(tmp_path / "trip.day 1")
    assert default_output(Path()) == tmp_path / "trip.day 1-posed"


@pytest.mark.slow
@pytest.mark.parametrize("name", ["fox", "clay_bust_colmap"])
def test_real_photos(real_data: Path, tmp_path: Path, name: str):
    report = pose_photos(real_data / name / "images", tmp_path / "posed")
    assert report.registered >= 0.9 * report.photos
    assert report.median_reprojection_error_px < 1.0
    angles, distances = pose_errors(found_poses(tmp_path / "posed"), given_poses(real_data / name))
    assert np.median(angles) < 1.0
    assert np.median(distances) < 0.03
