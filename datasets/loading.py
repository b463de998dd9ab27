"""Folders of posed photos, of any known format, to scenes in memory."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from .depth_check import depth_notes
from .depth_maps import require_depth_size
from .errors import DataError, FormatError, TooFewImagesError
from .faults import told_once
from .image_files import read_image_header
from .masks import mask_notes, mask_rule, require_mask_size, wholly_masked, with_masks
from .pixel_pool import PixelPool
from .pixel_runs import PixelRuns
from .pixel_store import DEPTH_BYTES, first_pixels, is_transparent, load_depth, load_pixels, machine_memory_bytes
from .posed_images import PosedImages, PosedScene
from .poses import same_poses_note
from .recognition import require_format, several_note
from .scene_frame import SceneFrame, frame_from_cameras
from .views import Landmarks, Report, View, cameras_of, lens_for_image

_FEWEST_IMAGES = 2


@dataclass(frozen=True)
class PreparedScene:
    """A capture whose files were all looked at, except for their pixels."""

    format: str
    train: tuple[View, ...]
    test: tuple[View, ...]
    unused: int
    """Images that the format's split leaves out."""
    split_rule: str
    frame: SceneFrame | None
    """None: nothing is left to choose it from."""
    maybe_transparent: tuple[View, ...]
    """Images whose format has an alpha channel."""
    notes: tuple[str, ...]


def load_posed_scene(
    folder: Path,
    *,
    memory_bytes: int | None = None,
    holdout_every: int = 8,
    downscale: int = 1,
) -> PosedScene:
    """Loads a folder of posed photos; the format is recognised by its content.

    Args:
        folder: Of a Blender scene, an instant-ngp or nerfstudio `transforms.json`, a COLMAP model, or LLFF's poses.
        memory_bytes: Of pixels that take more than this a random choice is kept; half of the machine's memory if None.
        holdout_every: Every such image by name is held out, from the first on, if the format has no split of its own.
        downscale: Width and height are divided by this: `images_2`, `images_4`, ... are used where they exist, else
            squares of pixels are averaged on loading.

    Raises:
        DataError: a subclass named for what is wrong with the data, and a message that says where and what to do.
    """
    faults: list[DataError] = []
    prepared = prepare_scene(folder, faults.append, holdout_every=holdout_every, downscale=downscale)
    if faults:
        raise told_once(faults)[0]
    assert prepared.frame is not None
    transparent = any(is_transparent(view) for view in prepared.maybe_transparent)
    channels = 4 if transparent else 3
    per_pixel = channels + (DEPTH_BYTES if any(view.depth for view in (*prepared.train, *prepared.test)) else 0)
    total = sum(int(first_pixels(part)[-1]) for part in (prepared.train, prepared.test)) * per_pixel
    allowed = machine_memory_bytes() // 2 if memory_bytes is None else memory_bytes
    pooled = allowed if total > allowed else None
    train = _load_images(prepared.train, prepared.frame, channels, pooled)
    test = _load_images(prepared.test, prepared.frame, channels, None if pooled is None else 0)
    notes = prepared.notes
    if train.pool is not None:
        train.turn_over(0)
        share = 100.0 * len(train.pixels) / max(int(train.first_pixel[-1]), 1)
        notes += (f"the photos' pixels take {total / 2**30:.2g} GiB: {share:.2g} % of them are in memory at a time",)
    return PosedScene(
        name=folder.resolve().name,
        folder=folder,
        format=prepared.format,
        train=train,
        test=test,
        split_rule=prepared.split_rule,
        scene_from_world=prepared.frame.scene_from_world,
        extent=prepared.frame.extent,
        near=prepared.frame.near,
        notes=notes,
        background="alpha" if transparent else "none",
    )


def _load_images(views: Sequence[View], frame: SceneFrame, channels: int, pooled: int | None) -> PosedImages:
    cameras = cameras_of(views).transformed(frame.scene_from_world).to("cpu", torch.float32)
    starts, names, scale = first_pixels(views), tuple(view.name for view in views), frame.scene_from_world.scale
    masked = any(view.kept is not None for view in views)
    kept = PixelRuns.joined([view.kept for view in views], starts.diff().tolist()) if masked else None
    if pooled is not None:
        pool = PixelPool.planned(views, kept, scale=scale, channels=channels, memory_bytes=pooled)
        return PosedImages(cameras, names, pool.colors, starts, kept, pool.depth, pool)
    depth = load_depth(views, scale=scale) if any(view.depth for view in views) else None
    return PosedImages(cameras, names, load_pixels(views, channels=channels), starts, kept, depth)


def prepare_scene(folder: Path, report: Report, *, holdout_every: int = 8, downscale: int = 1) -> PreparedScene:
    """Everything short of decoding photos: recognition, poses, image headers, masks, the split and the scene's frame.

    Args:
        report: Is given every fault; what it does not raise is left out of the scene.

    Raises:
        DataError: for a folder that is not there or has no poses, and whatever `report` raises.
    """
    if downscale < 1:
        raise ValueError(f"downscale: expected a whole number from 1 on, found {downscale}")
    if holdout_every < 2:
        raise ValueError(f"holdout_every: expected a whole number from 2 on, found {holdout_every}")
    formats = require_format(folder)
    capture = formats[0].read(folder, report, downscale=downscale)
    notes = [note] if (note := several_note(formats)) else []
    views, repeated = _without_repeats(capture.views)
    views, transparent, size_notes = _sized(views, report, downscale)
    views = _with_usable_lenses(views, report)
    train, test, split_rule = _split(views, capture.split_rule, holdout_every)
    train, test = with_masks(train, report), with_masks(test, report)
    chosen = (*train, *test)
    train, test = (tuple(view for view in part if not wholly_masked(view)) for part in (train, test))
    if len(train) < _FEWEST_IMAGES or not test:
        report(_too_few(folder, train, test, split_rule, chosen))
    used_notes = [*mask_notes(chosen), *_depth_notes(chosen, capture.landmarks, report), *_pose_notes((*train, *test))]
    frame = capture.frame
    if frame is None and train:
        poses = np.stack([view.world_from_camera for view in (*train, *test)])
        frame = frame_from_cameras(poses, capture.points, nearest=capture.nearest)
    return PreparedScene(
        format=formats[0].format,
        train=train,
        test=test,
        unused=len(views) - len(train) - len(test),
        split_rule=split_rule,
        frame=frame,
        maybe_transparent=tuple(view for view in (*train, *test) if view.path in transparent),
        notes=(*notes, *capture.notes, *repeated, *size_notes, *used_notes),
    )


def _without_repeats(views: Sequence[View]) -> tuple[list[View], list[str]]:
    """Keeps the first view of each image file."""
    first: dict[Path, View] = {}
    for view in views:
        first.setdefault(view.path, view)
    repeated = len(views) - len(first)
    return list(first.values()), [f"{repeated} frames list an image again; the first is used"] if repeated else []


def _sized(views: Sequence[View], report: Report, downscale: int) -> tuple[list[View], set[Path], list[str]]:
    """Reads the images' headers: views with lenses in image pixels, files with an alpha channel, and notes."""
    sized: list[View] = []
    transparent: set[Path] = set()
    factors: Counter[int] = Counter()
    for view in views:
        try:
            header = read_image_header(view.path, view.name)
            lens, factor = lens_for_image(view, header.size, turned=header.turned)
            if min(header.size) < view.reduce:
                raise FormatError(
                    f"{view.name}: {header.size[0]}x{header.size[1]} pixels cannot be downscaled {view.reduce} times"
                )
            require_mask_size(view, header.size)
            require_depth_size(view, header.size)
        except DataError as error:
            report(error)
            continue
        copied = downscale if view.reduce != downscale else 1  # a smaller copy was asked for and found
        factors[1 if factor == copied else factor] += 1
        if header.has_alpha:
            transparent.add(view.path)
        lens = lens.reduced(view.reduce) if view.reduce > 1 else lens
        sized.append(replace(view, lens=lens, file_size=header.size))
    notes = [
        f"{count} of {len(views)} images are {factor} times smaller than their cameras say; cameras are scaled to fit"
        for factor, count in sorted(factors.items())
        if factor > 1
    ]
    averaged = sum(view.reduce > 1 for view in sized)
    if averaged:
        notes.append(f"{averaged} images are averaged down {downscale} times on loading")
    return sized, transparent, notes


def _with_usable_lenses(views: list[View], report: Report) -> list[View]:
    """Leaves out views whose distortion cannot be inverted in the whole image."""
    if not any(view.lens.fisheye or any(view.lens.distortion) for view in views):
        return views
    try:
        _ = cameras_of(views).lens_table
    except ValueError:
        return [view for view in views if _has_usable_lens(view, report)]
    return views


def _has_usable_lens(view: View, report: Report) -> bool:
    try:
        _ = cameras_of([view]).lens_table
    except ValueError as error:
        report(FormatError(f"{view.name}, {error}"))
        return False
    return True


def _split(views: Sequence[View], rule: str | None, every: int) -> tuple[tuple[View, ...], tuple[View, ...], str]:
    """Sorts views by name into those to train on and those held out."""
    views = sorted(views, key=lambda view: view.name)
    if rule is not None:
        train = tuple(view for view in views if view.part == "train")
        return train, tuple(view for view in views if view.part == "test"), rule
    usable = [view for view in views if view.part != "unused"]
    train = tuple(view for i, view in enumerate(usable) if i % every)
    return train, tuple(usable[::every]), f"every {_ordinal(every)} image by name"


def _depth_notes(views: Sequence[View], landmarks: Landmarks | None, report: Report) -> list[str]:
    try:
        return depth_notes(views, landmarks)
    except DataError as error:
        report(error)
        return []


def _pose_notes(views: Sequence[View]) -> list[str]:
    return same_poses_note([view.name for view in views], [view.world_from_camera for view in views])


def _ordinal(number: int) -> str:
    endings = {1: "st", 2: "nd", 3: "rd"}
    return f"{number}{'th' if 10 <= number % 100 <= 20 else endings.get(number % 10, 'th')}"


def _too_few(
    folder: Path, train: Sequence[View], test: Sequence[View], rule: str, all_views: Sequence[View]
) -> TooFewImagesError:
    empty = [view for view in all_views if wholly_masked(view)]
    remedy = "add posed images"
    if empty:
        rules = " and ".join(dict.fromkeys(mask_rule(view.mask) for view in empty if view.mask))
        remedy = f"{len(empty)} more are masked wholly ({rules}): invert the masks, remove them, or add posed images"
    return TooFewImagesError(
        f"{folder}: expected at least {_FEWEST_IMAGES} images to train on and 1 held out ({rule}), "
        f"found {len(train)} and {len(test)} that can be used; {remedy}"
    )
