"""What a folder of posed photos holds and what is wrong with it, found out before any training."""

from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .depth_maps import read_depth
from .errors import DataError
from .faults import told_once
from .image_files import large_images_allowed, read_image
from .loading import PreparedScene, prepare_scene
from .scene_frame import SceneFrame
from .views import View


@dataclass(frozen=True)
class DataReport:
    """The findings on one folder."""

    folder: Path
    format: str | None
    """None: no poses were found."""
    train_images: int
    test_images: int
    unused_images: int
    split_rule: str
    image_sizes: tuple[tuple[tuple[int, int], int], ...]
    """Width and height, and how many images have them; the most frequent first."""
    camera_models: tuple[tuple[str, int], ...]
    """Camera model, and how many images were taken with it."""
    transparency: bool
    """Whether an image has an alpha channel."""
    frame: SceneFrame | None
    camera_distance: float
    """Mean distance of the cameras to the middle of the scene, scene units."""
    problems: tuple[str, ...]
    """What keeps the folder from being trained on."""
    notes: tuple[str, ...]
    """What is worth knowing and keeps nothing from working."""

    @property
    def ok(self) -> bool:
        """Whether the folder can be trained on as it is."""
        return not self.problems

    def lines(self) -> list[str]:
        """The report in plain words, a finding a line."""
        lines = [f"{self.folder}: {'no poses found' if self.format is None else f'poses in the format {self.format}'}"]
        if self.format is not None:
            unused = f", {self.unused_images} not used" if self.unused_images else ""
            lines += [
                f"images: {self.train_images} to train on, {self.test_images} held out ({self.split_rule}){unused}",
                f"image sizes: {_counted([(f'{w}x{h}', n) for (w, h), n in self.image_sizes])}",
                f"camera models: {_counted(self.camera_models)}",
                f"transparency: {'an alpha channel' if self.transparency else 'none'}",
            ]
        if self.frame is not None:
            similarity = self.frame.scene_from_world
            offset = ", ".join(f"{value:.4g}" for value in similarity.translation.tolist())
            lines.append(
                f"scene: {similarity.scale:.4g} scene units per unit of the poses, moved by ({offset}); box of side "
                f"{self.frame.extent}; cameras {self.camera_distance:.2f} from its middle; near {self.frame.near:.3g}"
            )
        lines += [f"note: {note}" for note in self.notes]
        lines += [f"problem: {problem}" for problem in self.problems]
        count = len(self.problems)
        lines.append("ready to train" if self.ok else f"not ready: {count} problem{'s' if count > 1 else ''}")
        return lines


def inspect_folder(folder: Path, *, holdout_every: int = 8, downscale: int = 1) -> DataReport:
    """Looks at a folder as `load_posed_scene` would, decodes every image, and collects the faults it meets."""
    faults: list[DataError] = []
    prepared = None
    try:
        prepared = prepare_scene(folder, faults.append, holdout_every=holdout_every, downscale=downscale)
    except DataError as error:
        faults.append(error)
    if prepared is not None:
        faults += _undecodable((*prepared.train, *prepared.test))
    return _report(folder, prepared, [str(fault) for fault in told_once(faults)])


def _undecodable(views: Sequence[View]) -> list[DataError]:
    """Images and depth maps that cannot be decoded to their end."""

    def fault(view: View) -> DataError | None:
        try:
            read_image(view.path, view.name)
            if view.depth:
                read_depth(view)
        except DataError as error:
            return error
        return None

    with large_images_allowed(), ThreadPoolExecutor() as pool:
        return [error for error in pool.map(fault, views) if error]


def _report(folder: Path, prepared: PreparedScene | None, problems: Sequence[str]) -> DataReport:
    views = (*prepared.train, *prepared.test) if prepared else ()
    frame = prepared.frame if prepared else None
    sizes = Counter(view.lens.size for view in views if view.lens.size)
    models = Counter(view.lens.model for view in views)
    return DataReport(
        folder=folder,
        format=prepared.format if prepared else None,
        train_images=len(prepared.train) if prepared else 0,
        test_images=len(prepared.test) if prepared else 0,
        unused_images=prepared.unused if prepared else 0,
        split_rule=prepared.split_rule if prepared else "",
        image_sizes=tuple(sizes.most_common()),
        camera_models=tuple(models.most_common()),
        transparency=bool(prepared and prepared.maybe_transparent),
        frame=frame,
        camera_distance=_camera_distance(views, frame),
        problems=tuple(problems),
        notes=prepared.notes if prepared else (),
    )


def _camera_distance(views: Sequence[View], frame: SceneFrame | None) -> float:
    if frame is None or not views:
        return 0.0
    similarity = frame.scene_from_world
    positions = np.stack([view.world_from_camera[:, 3] for view in views])
    scene = similarity.scale * positions @ similarity.rotation.numpy().T + similarity.translation.numpy()
    return float(np.linalg.norm(scene - 0.5, axis=1).mean())


def _counted(items: Sequence[tuple[str, int]]) -> str:
    shown = ", ".join(f"{count} of {name}" for name, count in items[:5])
    return f"{shown} and {len(items) - 5} more" if len(items) > 5 else shown or "none"
