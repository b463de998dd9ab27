"""Poses, lenses and sparse points from plain photos: the one place that talks to pycolmap.

Every step runs on the CPU, in batches between which Ctrl-C is heard and progress is told. Seeds are set wherever
pycolmap takes one; with one thread a run repeats itself.
"""

import shutil
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
from jaxtyping import Float64, UInt8

from ..errors import MissingPackageError, PhotosError
from .image_pairs import Pair

if TYPE_CHECKING:
    import pycolmap

LensModel = Literal["OPENCV", "SIMPLE_RADIAL"]
Share = Callable[[float], None]
"""Is told the share of a step that is done, in [0, 1]."""

_PHOTOS_AT_ONCE, _PAIRS_AT_ONCE = 4, 64
_SMALLEST_MODEL = 3
_ALL_CORES = -1
_JPEG_QUALITY = 95


@dataclass(frozen=True)
class CameraGroup:
    """Photos that are given one lens to share, or one lens each."""

    names: tuple[str, ...]
    lens: LensModel
    shared: bool


@dataclass(frozen=True)
class SparseModel:
    """What was found of the cameras and the scene."""

    reconstruction: "pycolmap.Reconstruction"
    """pycolmap's own form, lenses as they are."""
    registered: tuple[str, ...]
    """Names of the photos whose poses were found, sorted."""
    points: int
    errors: Float64[np.ndarray, "observations"]
    """Distance of every observed feature to where its point projects, pixels of the photos."""
    lenses: tuple[str, ...]
    """COLMAP's names of the lens models, of every registered photo."""


def require_pycolmap() -> None:
    """Makes pycolmap silent, whose faults arrive as exceptions anyhow.

    Raises:
        MissingPackageError: It is not installed, or in a version that does not fit.
    """
    try:
        import pycolmap
    except ImportError as error:
        raise MissingPackageError(
            "Poses from photos need the package pycolmap, which is not installed: "
            "pip install -c constraints.txt -e '.[sfm]'"
        ) from error
    pycolmap.logging.minloglevel = int(pycolmap.logging.FATAL)


@contextmanager
def _faults_told(step: str) -> Generator[None, None, None]:
    """Turns what pycolmap raises into one sentence."""
    try:
        yield
    except (RuntimeError, ValueError) as error:
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise PhotosError(f"pycolmap failed while {step} ({reason}); is there room on the disk?") from error


def extract_features(
    database: Path, photos: Path, groups: Sequence[CameraGroup], *, threads: int | None, progress: Share
) -> None:
    """Finds SIFT features in photos and notes their cameras, with the focal length of the EXIF where there is one.

    Args:
        database: A new file, or one that an earlier call wrote.
        photos: The folder that the groups' names are in.
        threads: How many; all cores if None.
    """
    import pycolmap

    extraction = pycolmap.FeatureExtractionOptions(num_threads=threads or _ALL_CORES, use_gpu=False)
    total, done = sum(len(group.names) for group in groups), 0
    for group in groups:
        reading = pycolmap.ImageReaderOptions(camera_model=group.lens)
        mode = pycolmap.CameraMode.SINGLE if group.shared else pycolmap.CameraMode.PER_IMAGE
        for start in range(0, len(group.names), _PHOTOS_AT_ONCE):
            names = group.names[start : start + _PHOTOS_AT_ONCE]
            with _faults_told("finding features"):
                pycolmap.extract_features(
                    database, photos, list(names), mode, reading, extraction, device=pycolmap.Device.cpu
                )
            if group.shared and start == 0:
                with pycolmap.Database.open(database) as opened:
                    reading.existing_camera_id = _image_of(opened, names[0]).camera_id
            done += len(names)
            progress(done / total)


def read_descriptors(database: Path, names: Sequence[str]) -> list[UInt8[np.ndarray, "_ 128"]]:
    """The features' descriptors of photos, in the order of their names."""
    import pycolmap

    with pycolmap.Database.open(database) as opened:
        ids = [_image_of(opened, name).image_id for name in names]
        return [np.asarray(opened.read_descriptors(i).data, np.uint8).reshape(-1, 128) for i in ids]


def _image_of(database: "pycolmap.Database", name: str) -> "pycolmap.Image":
    image = database.read_image_with_name(name)
    if image is None:
        raise PhotosError(f"{name}: pycolmap cannot read it; save it anew as JPEG, or leave it out")
    return image


def match_features(
    database: Path, names: Sequence[str], pairs: Sequence[Pair], *, seed: int, threads: int | None, progress: Share
) -> None:
    """Matches the features of pairs of photos and keeps what one motion of the camera explains.

    Args:
        names: Of the photos that the pairs count.
        threads: How many; all cores if None.
    """
    import pycolmap

    matching = pycolmap.FeatureMatchingOptions(num_threads=threads or _ALL_CORES, use_gpu=False)
    verification = pycolmap.TwoViewGeometryOptions()
    verification.ransac.random_seed = seed
    listing = database.with_name("pairs.txt")
    pairing = pycolmap.ImportedPairingOptions(match_list_path=listing)
    for start in range(0, len(pairs), _PAIRS_AT_ONCE):
        batch = pairs[start : start + _PAIRS_AT_ONCE]
        listing.write_text("".join(f"{names[i]} {names[j]}\n" for i, j in batch), encoding="utf-8")
        with _faults_told("matching features"):
            pycolmap.match_image_pairs(database, matching, pairing, verification, device=pycolmap.Device.cpu)
        progress(min(1.0, (start + len(batch)) / len(pairs)))


def find_models(
    database: Path, photos: Path, folder: Path, *, count: int, seed: int, threads: int | None, progress: Share
) -> list[SparseModel]:
    """Builds models photo by photo from the matches; photos that do not connect end up in several, or in none.

    Args:
        folder: Where pycolmap may write.
        count: How many photos there are; for the progress alone.
        threads: How many; all cores if None.

    Returns:
        The models, the one with the most photos first, each with a photo that those before it do not have.
    """
    import pycolmap

    options = pycolmap.IncrementalPipelineOptions(
        num_threads=threads or _ALL_CORES, random_seed=seed, min_model_size=min(_SMALLEST_MODEL, count)
    )
    options.mapper.random_seed = options.triangulation.random_seed = seed
    pycolmap.set_random_seed(seed)
    registered = 2

    def next_photo() -> None:
        nonlocal registered
        registered += 1
        progress(min(1.0, registered / count))

    folder.mkdir()
    with _faults_told("finding poses"):
        found = pycolmap.incremental_mapping(database, photos, folder, options, next_image_callback=next_photo)
    models = [_sparse_model(model) for model in found.values()]
    return _apart(sorted(models, key=lambda model: (-len(model.registered), -model.points)))


def _apart(models: Sequence[SparseModel]) -> list[SparseModel]:
    """Models less those whose photos all are in the ones before: pycolmap starts again from some that it has."""
    kept: list[SparseModel] = []
    seen: set[str] = set()
    for model in models:
        if not seen.issuperset(model.registered):
            kept.append(model)
            seen.update(model.registered)
    return kept


def write_undistorted(model: SparseModel, photos: Path, folder: Path, work: Path, *, threads: int | None) -> None:
    """Writes `images/` as pinhole cameras would have taken them, and `sparse/0/` with those cameras.

    The largest rectangle without blank borders is kept of each photo; its size in pixels may change a little.

    Args:
        photos: The folder of the photos as they were taken.
        folder: Where the two folders are written.
        work: Where more may be written, to be removed by the caller.
    """
    import pycolmap

    distorted, flat = work / "distorted", work / "undistorted"
    distorted.mkdir()
    model.reconstruction.write(distorted)
    with _faults_told("undistorting photos"):
        pycolmap.undistort_images(
            flat, distorted, photos, jpeg_quality=_JPEG_QUALITY, num_threads=threads or _ALL_CORES
        )
    _require_images(flat / "images", model)
    (flat / "images").rename(folder / "images")
    (folder / "sparse").mkdir()
    (flat / "sparse").rename(folder / "sparse" / "0")


def write_as_taken(model: SparseModel, photos: Path, folder: Path) -> None:
    """Copies the registered photos to `images/` and writes `sparse/0/` with their distorted lenses."""
    (folder / "images").mkdir()
    for name in model.registered:
        shutil.copyfile(photos / name, folder / "images" / name)
    (folder / "sparse" / "0").mkdir(parents=True)
    model.reconstruction.write(folder / "sparse" / "0")


def _require_images(folder: Path, model: SparseModel) -> None:
    missing = [name for name in model.registered if not (folder / name).is_file()]
    if missing:
        raise PhotosError(
            f"{len(missing)} photos could not be written undistorted, {missing[0]} among them; disk full?"
        )


def _sparse_model(model: "pycolmap.Reconstruction") -> SparseModel:
    images = sorted((model.image(i) for i in model.reg_image_ids()), key=lambda image: image.name)
    errors = [_reprojection_errors(model, image) for image in images]
    return SparseModel(
        reconstruction=model,
        registered=tuple(image.name for image in images),
        points=model.num_points3D(),
        errors=np.concatenate([*errors, np.zeros(0)]),
        lenses=tuple(model.camera(image.camera_id).model_name for image in images),
    )


def _reprojection_errors(
    model: "pycolmap.Reconstruction", image: "pycolmap.Image"
) -> Float64[np.ndarray, "observations"]:
    seen = image.get_observation_points2D()
    if not seen:
        return np.zeros(0)
    world = np.array([model.point3D(feature.point3D_id).xyz for feature in seen])
    camera_from_world = image.cam_from_world().matrix()
    points = world @ camera_from_world[:, :3].T + camera_from_world[:, 3]
    pixels = np.asarray(model.camera(image.camera_id).img_from_cam(points))
    return np.linalg.norm(pixels - np.array([feature.xy for feature in seen]), axis=1)
