"""How close a fitted field comes to a clip's frames, beside the blending of those that it was fitted to."""

import time
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ..metrics import SSIM_WINDOW, psnr, ssim
from ..pictures import error_image, to_uint8
from ..progress import Progress
from .drawing import drawn_frame
from .task import VideoTask

_FITTED_FRAMES = 16  # of those that were trained on, drawn to see how well they are held
_PICTURES = 3  # of a frame: target, render, error
_MOST_SHOWN, _SHOWN_BYTES = 24, 256 << 20  # of the frames that are scored, and of their pictures


@dataclass(frozen=True)
class FrameView:
    """One frame that was scored."""

    name: str
    scores: dict[str, float]
    pictures: tuple[UInt8[np.ndarray, "height width 3"], ...]
    """Target, render and error for people; none of most frames of a long clip."""


@dataclass(frozen=True)
class VideoEvaluation:
    """Scores of a fitted clip.

    Attributes:
        scores: Means over the frames that are scored; of a grid also `fitted_psnr`, over some of those that it was
            fitted to, which a motion leaves as they are.
        views: The frames that are scored, in order of time.
        protocol: How it was scored, in words.
        seconds: What drawing and scoring took.
    """

    scores: dict[str, float]
    views: list[FrameView]
    protocol: dict[str, str]
    seconds: float


def evaluate_video(task: VideoTask, progress: Progress) -> VideoEvaluation:
    """Draws every frame that is scored at its own size, and scores it."""
    begin = time.perf_counter()
    views: list[FrameView] = []
    frames = task.scored_frames.tolist()
    shown = shown_frames(len(frames), picture_bytes=3 * task.kind.width * task.kind.height)
    for index, frame in enumerate(frames):
        progress.stage(index / len(frames), "scoring frames")
        views.append(_view(task, frame, shown=index in shown))
    scores = {name: _mean([view.scores[name] for view in views]) for name in views[0].scores}
    if len(task.held_out) and task.config.field == "grid":
        some = task.trained[:: -(-len(task.trained) // _FITTED_FRAMES)].tolist()
        scores["fitted_psnr"] = _mean([psnr(_drawn(task, frame), task.frame(frame)) for frame in some])
    return VideoEvaluation(scores, views, protocol(task), time.perf_counter() - begin)


def shown_frames(count: int, *, picture_bytes: int) -> set[int]:
    """Which of so many frames are shown: evenly spread, and so few that their pictures take little memory."""
    most = min(count, _MOST_SHOWN, max(_SHOWN_BYTES // (_PICTURES * picture_bytes), 1))
    return set(np.linspace(0, count - 1, most).round().astype(int).tolist())


def protocol(task: VideoTask) -> dict[str, str]:
    """How a clip is scored, in words."""
    every, average = task.config.holdout_every, task.config.optimizer.average
    frames = f"all {len(task.trained)}, which are those it was fitted to"
    if not len(task.held_out) and task.config.field == "motion":
        frames += ", and which a motion leaves as they are: hold some out to see what it is worth"
    if len(task.held_out):
        frames = f"{len(task.held_out)}, one of every {every}, left out of the fit of {len(task.trained)} others"
    return {
        "frames": f"{frames}; {task.kind.width}x{task.kind.height}",
        **({"blending": "linear, of the nearest fitted frames before and after"} if len(task.held_out) else {}),
        "psnr": "of values in [0, 1], not rounded; mean over the frames",
        "ssim": "window 11, sigma 1.5, data range 1; mean over the frames",
        "weights": f"running average, decay {average}" if average else "the last step's",
    }


def blended(task: VideoTask, frame: int) -> Float[Tensor, "height width 3"]:
    """What linear blending of the nearest trained frames makes of a held-out one."""
    before, after = int(task.trained[task.trained < frame].max()), int(task.trained[task.trained > frame].min())
    return torch.lerp(task.frame(before), task.frame(after), (frame - before) / (after - before))


def _view(task: VideoTask, frame: int, *, shown: bool) -> FrameView:
    target, render = task.frame(frame), _drawn(task, frame)
    scores = _scores(render, target)
    if len(task.held_out):
        scores |= {f"blending_{name}": value for name, value in _scores(blended(task, frame), target).items()}
    pictures = (target, render, error_image(render, target)) if shown else ()
    return FrameView(f"frame {frame}, {frame / task.kind.fps:.2f} s", scores, tuple(map(to_uint8, pictures)))


def _scores(found: Tensor, target: Tensor) -> dict[str, float]:
    scores = {"psnr": psnr(found, target)}
    if min(target.shape[:2]) >= SSIM_WINDOW:
        scores["ssim"] = ssim(found, target)
    return scores


def _drawn(task: VideoTask, frame: int) -> Float[Tensor, "height width 3"]:
    return drawn_frame(task.model, task.raster, float(frame))


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
