"""`neufield eval`: scores a run on its held-out photos."""

import json
import math
import time
from dataclasses import asdict, dataclass
from pathlib import PurePosixPath
from typing import Any

from torch import Tensor

from ...datasets import PosedImages
from ..metrics import exposed_psnr, score
from ..peak_memory import peak_of_run
from ..picture_files import write_picture
from ..pictures import error_image, side_by_side, striped
from ..progress import Progress
from ..run_folder import RunFolder
from .alignment import ALIGNMENT_STEPS, aligned_camera
from .depth_supervision import depth_error
from .model import blend
from .refined_cameras import CameraShift, median_shift
from .task import NerfTask

_BACKGROUNDS = {
    "none": "black in scoring; in training random colours behind opaque photos, black behind transparent ones",
    "white": "white in scoring, random colours in training",
    "black": "black in scoring, random colours in training",
    "learned": "the learned environment; random colours while training begins",
}


_MEAN_PHOTO = "of the mean training photo; exposed_psnr is that of the right half, with gains fitted on the left half"
_MOST_PIXELS = 4_000_000
_DEPTH_ERROR = "mean absolute error of the distance along the ray, units of the poses, where a depth map knows it"
_MASKED_SSIM = "; mean over the pixels that count, windows that reach into ignored ones find the photo there"


@dataclass(frozen=True)
class ScoredView:
    """One held-out view: its scores and pictures, RGB (h, w, 3) in [0, 1]; `kept` (h, w) where a mask ignores some."""

    name: str
    scores: dict[str, float]
    target: Tensor
    render: Tensor
    kept: Tensor | None = None

    def pictures(self) -> tuple[Tensor, Tensor, Tensor]:
        """Target, render and error, what is ignored under stripes."""
        error = error_image(self.render, self.target)
        return striped(self.target, self.kept), self.render, striped(error, self.kept)


@dataclass(frozen=True)
class Evaluation:
    """Held-out numbers of a run.

    Attributes:
        views: Every held-out view.
        protocol: How they were scored, in words.
        seconds: What rendering them took.
        moved: How far training moved the photos' cameras; None where it left them as they were.
    """

    views: list[ScoredView]
    protocol: dict[str, str]
    seconds: float
    moved: CameraShift | None = None

    @property
    def mean(self) -> dict[str, float]:
        """Mean of each score over the views that have it."""
        names = dict.fromkeys(name for view in self.views for name in view.scores)
        found = {name: [view.scores[name] for view in self.views if name in view.scores] for name in names}
        return {name: sum(values) / len(values) for name, values in found.items()}


def evaluate(task: NerfTask, progress: Progress) -> Evaluation:
    """Renders and scores every held-out view: at its full size up to four megapixels, else at a whole fraction."""
    start, count = time.perf_counter(), len(task.scene.test)
    views: list[ScoredView] = []
    with progress:
        for index in range(count):
            views.append(score_view(task, index))
            progress.stage((index + 1) / count, f"{index + 1} of {count} held-out photos scored")
    return Evaluation(views, protocol(task), time.perf_counter() - start, median_shift(task))


def score_view(task: NerfTask, index: int) -> ScoredView:
    """Renders and scores one held-out view."""
    views = task.scene.test
    behind, factor = task.scoring_background, _reduction(views, index)
    camera, photo = aligned_camera(task, index), views.image(index, reduce=factor)
    kept, depth = views.kept_in(index), views.depth_in(index)
    if factor > 1:
        camera = camera.reduced(factor)
        if kept is not None:
            squares = _squares(kept, factor).transpose(1, 2).flatten(2)
            kept = squares.all(dim=2) if bool(squares.all(dim=2).any()) else squares.any(dim=2)
        depth = None if depth is None else _squares(depth, factor)[:, factor // 2, :, factor // 2]
    picture = task.model.renderer().render_image(camera, 0, behind)
    render = picture["color"].clamp(0.0, 1.0).cpu()
    target = blend(photo, behind.cpu())
    scores = score(render, target, kept)
    exposed = None if task.model.appearance is None else exposed_psnr(render, target, kept)
    scores |= {} if exposed is None else {"exposed_psnr": exposed}
    if depth is not None:
        scores |= depth_error(camera, depth, kept, picture["depth"], scale=task.scene.scene_from_world.scale)
    return ScoredView(views.names[index], scores, target, render, kept)


def protocol(task: NerfTask) -> dict[str, str]:
    """How held-out views are scored, in words."""
    scene, config, average = task.scene, task.config, task.config.optimizer.average
    masked = scene.test.kept is not None
    return {
        "views": f"{len(scene.test)} held out of {len(scene.test) + len(scene.train)}: {scene.split_rule}",
        "resolution": _sizes(scene.test),
        "background": _BACKGROUNDS[config.background],
        "psnr": f"mean over views of the PSNR of all pixels{' that count' if masked else ''}, values in [0, 1]",
        "ssim": "window 11, sigma 1.5, data range 1" + (_MASKED_SSIM if masked else ""),
        **_mask_protocol(scene.test),
        **({} if scene.test.depth is None else {"depth_error": _DEPTH_ERROR}),
        "weights": f"running average, decay {average} per step" if average else "the last step's",
        "crop": "none",
        "poses": _poses(config.refine_poses),
        "appearance": "the same in all photos" if config.appearance == "off" else _MEAN_PHOTO,
    }


def _poses(refined: str) -> str:
    if refined == "off":
        return "as given"
    return (
        f"refined in training ({refined}); each held-out camera moved as the training's did together, then by "
        f"{ALIGNMENT_STEPS} steps of Adam on its own photo, the scene unchanged; the curve is without these steps"
    )


def _mask_protocol(images: PosedImages) -> dict[str, str]:
    """Which share of the held-out pixels does not count; empty where all do."""
    if images.kept is None:
        return {}
    share = 100.0 * (1.0 - len(images.kept) / max(int(images.first_pixel[-1]), 1))
    return {"masks": f"{share:.1f} % of the held-out pixels do not count: masks ignore them (striped in the pictures)"}


def _squares(values: Tensor, factor: int) -> Tensor:
    """The whole squares of this side: (rows of them, row within, columns of them, column within)."""
    height, width = (size // factor for size in values.shape)
    return values[: height * factor, : width * factor].reshape(height, factor, width, factor)


def _reduction(images: PosedImages, index: int) -> int:
    """By what whole factor a view's sides are divided before it is scored."""
    width, height = (int(size) for size in images.cameras.sizes[index])
    return max(1, math.ceil(math.sqrt(width * height / _MOST_PIXELS)))


def _sizes(images: PosedImages) -> str:
    scored = [(images.cameras.sizes[i], _reduction(images, i)) for i in range(len(images))]
    sizes = sorted({(int(size[0]) // factor, int(size[1]) // factor, factor) for size, factor in scored})
    told = ", ".join(
        f"{width}x{height}" + (f" (photos at 1/{factor})" if factor > 1 else "") for width, height, factor in sizes[:3]
    )
    return told + (f" and {len(sizes) - 3} more sizes" if len(sizes) > 3 else "")


def write_evaluation(run: RunFolder, evaluation: Evaluation, *, training_seconds: float) -> dict[str, Any]:
    """Writes evaluation.json and a picture per view (target, render, error); returns what the file says."""
    content = {
        "protocol": evaluation.protocol,
        "mean": evaluation.mean,
        "views": [{"name": view.name, **view.scores} for view in evaluation.views],
        **({} if evaluation.moved is None else {"cameras": asdict(evaluation.moved)}),
        "seconds": training_seconds,
        "render_seconds": evaluation.seconds,
        "peak_memory_bytes": peak_of_run(run),
    }
    stems = _file_stems([view.name for view in evaluation.views])
    for view, stem in zip(evaluation.views, stems, strict=True):
        strip = side_by_side(*view.pictures()).cpu().numpy()
        write_picture(run.outputs / "held_out" / f"{stem}.png", strip, "uint8")
    run.write_text(run.evaluation, json.dumps(content, indent=1))
    return content


def _file_stems(names: list[str]) -> list[str]:
    """Views' names as file names, each another one: folders joined, the ending dropped where that leaves no doubt."""
    short = [PurePosixPath(name).with_suffix("").as_posix().replace("/", "_") for name in names]
    return [stem if short.count(stem) == 1 else f"{stem}_{index:03d}" for index, stem in enumerate(short)]
