"""From plain photos, or a video, to a folder of posed photos that a NeRF can be trained on."""

import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image

from ..errors import MissingFolderError, OutputError, PhotosError
from ..image_files import IMAGE_ENDINGS
from ..listed_files import listed
from ..whole_output import whole_folder
from .image_pairs import Matching, pairs_to_match, resolved_matching
from .photo_files import FEWEST_PHOTOS, Photo, list_photos, prepare_photos, require_photos, same_lens_groups
from .pose_report import REPORT_FILE, PoseReport
from .structure_from_motion import (
    CameraGroup,
    LensModel,
    SparseModel,
    extract_features,
    find_models,
    match_features,
    read_descriptors,
    require_pycolmap,
    write_as_taken,
    write_undistorted,
)
from .video_frames import write_sharpest_frames

_PHOTOS_FOR_OPENCV = 10
_LARGEST_SEED = 2**31 - 1  # pycolmap's
_SHARES = {"reading": 0.05, "features": 0.3, "matching": 0.65, "mapping": 0.95, "writing": 1.0}  # of the time, summed

Progress = Callable[[float, str], None]
"""Is told the share of everything that is done, in [0, 1], and what is under way."""


@dataclass(frozen=True)
class PoseSettings:
    """How poses are found."""

    frames: int = 100
    """Of a video: how many frames at most."""
    cameras: Literal["shared", "separate"] = "shared"
    """One lens for all photos of the same size, camera and focal length, or one for each photo."""
    lens: LensModel | Literal["auto"] = "auto"
    """`auto`: OPENCV where ten photos or more share a lens, else SIMPLE_RADIAL."""
    matching: Matching = "auto"
    undistort: bool = True
    seed: int = 0
    threads: int | None = None
    """All cores if None."""

    def __post_init__(self) -> None:
        for name, least in (("frames", FEWEST_PHOTOS), ("threads", 1), ("seed", 0)):
            value = getattr(self, name)
            if value is not None and value < least:
                raise ValueError(f"--{name} must be at least {least}, got {value}.")
        if self.seed > _LARGEST_SEED:
            raise ValueError(f"--seed takes 0 to {_LARGEST_SEED}, got {self.seed}.")


def default_output(source: Path) -> Path:
    """Where the posed photos go if nothing is said: `PHOTOS-posed` beside the folder, `CLIP-posed` beside the video."""
    source = _named(source)
    return source.with_name(f"{source.name if source.is_dir() else source.stem}-posed")


def _named(path: Path) -> Path:
    """The same place by a path that ends in its name, for `.` and `..`."""
    return path.resolve() if path.name in ("", "..") else path


def pose_photos(
    source: Path,
    output: Path,
    settings: PoseSettings | None = None,
    *,
    replace: bool = False,
    note: Callable[[str], None] | None = None,
    progress: Progress | None = None,
) -> PoseReport:
    """Finds the poses of photos and writes a folder that `load_posed_scene` reads.

    Args:
        source: A folder of photos, or a video. Nothing in it is changed.
        output: Gets `images/`, `sparse/0/` and `pose_report.json`, all at once or not at all.
        replace: An earlier output of this function may be replaced.
        note: Is told what is left out and why.
        progress: Is told how far it is.

    Raises:
        DataError: The source has too few photos that can be read or that show the same, or the output is in the way.
        MissingPackageError: pycolmap is not installed.
    """
    started = time.monotonic()
    settings, note = settings or PoseSettings(), note or (lambda text: None)
    stage = _Stage(progress or (lambda share, text: None))
    require_pycolmap()
    _require_source(source)
    replace = _require_output(output, source, replace=replace)
    with whole_folder(_named(output), replace=replace) as aside:
        work = aside / "work"
        photos_folder = work / "photos"
        photos_folder.mkdir(parents=True)
        photos, unreadable = _read_source(source, photos_folder, settings, note, stage)
        found = _find_models(photos, work, settings, stage, in_time=not source.is_dir())
        if not found.models or len(found.models[0].registered) < FEWEST_PHOTOS:
            raise PhotosError(_no_overlap(source, len(photos), found))
        stage("writing", 0.0)
        model = found.models[0]
        if settings.undistort:
            write_undistorted(model, photos_folder, aside, work, threads=settings.threads)
        else:
            write_as_taken(model, photos_folder, aside)
        shutil.rmtree(work)
        report = _report(photos, unreadable, found, settings, time.monotonic() - started)
        (aside / REPORT_FILE).write_text(json.dumps(asdict(report), indent=2) + "\n", encoding="utf-8")
    return report


class _Stage:
    """Turns the share of one step into the share of everything."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def __call__(self, name: str, share: float) -> None:
        names = list(_SHARES)
        before = _SHARES[names[names.index(name) - 1]] if name != names[0] else 0.0
        self._progress(before + share * (_SHARES[name] - before), name)


@dataclass(frozen=True)
class _Found:
    models: list[SparseModel]
    matching: str
    pairs: int


def _require_source(source: Path) -> None:
    if not source.exists():
        raise MissingFolderError(f"{source}: expected a folder of photos or a video, found nothing; check the path")
    if source.is_dir():
        return
    if source.suffix.lower() in IMAGE_ENDINGS:
        raise PhotosError(
            f"{source}: expected a video or a folder of at least {FEWEST_PHOTOS} photos, found one photo; "
            "give the folder it lies in"
        )
    if not source.is_file():
        raise PhotosError(f"{source}: expected a video or a folder of photos, found neither; check the path")


def _require_output(output: Path, source: Path, *, replace: bool) -> bool:
    """Refuses an output that is in the way; returns whether something is to be replaced."""
    there, here = output.resolve(), source.resolve()
    if there == here or there in here.parents or here in there.parents:
        raise OutputError(f"{output}: expected an output folder apart from {source}; name another by --output")
    if not output.exists() and not output.is_symlink():
        return False
    is_folder = output.is_dir() and not output.is_symlink()
    if is_folder and not any(output.iterdir()):
        return True
    if not is_folder or not (output / REPORT_FILE).is_file():
        raise OutputError(
            f"{output} exists and was not written by `neufield data pose`; name another folder by --output"
        )
    if not replace:
        raise OutputError(f"{output} exists; replace it with --force, or name another folder by --output")
    return True


def _read_source(
    source: Path, folder: Path, settings: PoseSettings, note: Callable[[str], None], stage: _Stage
) -> tuple[list[Photo], tuple[str, ...]]:
    if not source.is_dir():
        return _read_video(source, folder, settings.frames, note, stage), ()
    listing = list_photos(source)
    require_photos(source, listing)
    prepared = prepare_photos(listing.photos, folder, progress=lambda share: stage("reading", share))
    require_photos(source, listing, prepared.unreadable)
    unreadable = (
        *prepared.unreadable,
        *(f"{name}: not read here; convert it to JPEG" for name in listing.camera_files),
    )
    if listing.others:
        note(f"Left out, no photos: {listed(listing.others)}.")
    if listing.folders:
        note(f"Folders not looked into: {listed(listing.folders)}.")
    if unreadable:
        note(f"{len(unreadable)} of {len(listing.photos) + len(listing.camera_files)} photos unreadable and left out:")
        for reason in unreadable:
            note(f"  {reason}")
    if transparent := sum(photo.transparent for photo in prepared.photos):
        note(f"{transparent} of {len(prepared.photos)} photos transparent in parts; what is written is opaque.")
    return list(prepared.photos), unreadable


def _read_video(source: Path, folder: Path, count: int, note: Callable[[str], None], stage: _Stage) -> list[Photo]:
    names, total = write_sharpest_frames(
        source,
        folder,
        count=count,
        progress=lambda share: stage("reading", share),
        note=lambda wrong: note(f"{source.name}: {wrong}."),
    )
    if len(names) < FEWEST_PHOTOS:
        raise PhotosError(
            f"{source}: expected a video of at least {FEWEST_PHOTOS} frames, found {total}; film for 20 seconds or "
            "more, moving slowly around the scene"
        )
    note(f"{len(names)} of {total} frames taken, the sharpest of each stretch of time.")
    with Image.open(folder / names[0]) as image:
        size = image.size
    return [Photo(name, name, size) for name in names]


def _find_models(
    photos: Sequence[Photo], work: Path, settings: PoseSettings, stage: _Stage, *, in_time: bool
) -> _Found:
    database, folder = work / "database.db", work / "photos"
    names = [photo.name for photo in photos]
    extract_features(
        database,
        folder,
        _camera_groups(photos, settings),
        threads=settings.threads,
        progress=lambda share: stage("features", share),
    )
    matching = resolved_matching(settings.matching, len(names), in_time=in_time)
    descriptors = [] if matching == "exhaustive" else read_descriptors(database, names)
    pairs = pairs_to_match(matching, len(names), descriptors, seed=settings.seed)
    match_features(
        database,
        names,
        pairs,
        seed=settings.seed,
        threads=settings.threads,
        progress=lambda share: stage("matching", share),
    )
    models = find_models(
        database,
        folder,
        work / "models",
        count=len(names),
        seed=settings.seed,
        threads=settings.threads,
        progress=lambda share: stage("mapping", share),
    )
    return _Found(models, matching, len(pairs))


def _camera_groups(photos: Sequence[Photo], settings: PoseSettings) -> list[CameraGroup]:
    shared = settings.cameras == "shared"
    groups: list[CameraGroup] = []
    for group in same_lens_groups(photos):
        many = shared and len(group) >= _PHOTOS_FOR_OPENCV
        lens: LensModel = ("OPENCV" if many else "SIMPLE_RADIAL") if settings.lens == "auto" else settings.lens
        groups.append(CameraGroup(tuple(photo.name for photo in group), lens, shared))
    return groups


def _no_overlap(source: Path, photos: int, found: _Found) -> str:
    most = max((len(model.registered) for model in found.models), default=0)
    outcome = f"at most {most} of {photos} photos" if most else f"no two of {photos} photos"
    return (
        f"{source}: expected photos that overlap, found {outcome} that show the same things; take 30 or more around "
        "the scene, sharp, without zooming, each one showing most of what the one before shows"
    )


def _report(
    photos: Sequence[Photo], unreadable: tuple[str, ...], found: _Found, settings: PoseSettings, seconds: float
) -> PoseReport:
    model = found.models[0]
    registered = set(model.registered)
    return PoseReport(
        photos=len(photos) + len(unreadable),
        registered=len(registered),
        unregistered=tuple(photo.original for photo in photos if photo.name not in registered),
        unreadable=unreadable,
        mean_reprojection_error_px=float(model.errors.mean()),
        median_reprojection_error_px=float(np.median(model.errors)),
        points=model.points,
        camera_models=dict(Counter(model.lenses).most_common()),
        undistorted=settings.undistort,
        model_sizes=tuple(len(other.registered) for other in found.models),
        matching=found.matching,
        pairs=found.pairs,
        seed=settings.seed,
        seconds=round(seconds, 1),
    )
