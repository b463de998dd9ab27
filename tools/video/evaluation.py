"""How close a fitted field comes to a clip's frames, beside the blending of those that it was fitted to."""

import time
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from ..metrics import SSIM_WINDOW, psnr, ssim
from ..progress import Progress
from .drawing import drawn_frame
from .task import VideoTask

_FITTED_FRAMES = 16  # of those that were trained on, drawn to see how well they are held


@dataclass(frozen=True)
class FrameView:
    """One frame, for people; pictures in [0, 1]."""

    name: str
    scores: dict[str, float]
    target: Float[Tensor, "height width 3"]
    render: Float[Tensor, "height width 3"]


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
    for index, frame in enumerate(task.scored_frames.tolist()):
        progress.stage(index / len(task.scored_frames), "scoring frames")
        views.append(_view(task, frame))
    scores = {name: _mean([view.scores[name] for view in views]) for name in views[0].scores}
    if len(task.held_out) and task.config.field == "grid":
        some = task.trained[:: -(-len(task.trained) // _FITTED_FRAMES)].tolist()
        scores["fitted_psnr"] = _mean([psnr(_drawn(task, frame), task.frame(frame)) for frame in some])
    return VideoEvaluation(scores, views, protocol(task), time.perf_counter() - begin)


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


def _view(task: VideoTask, frame: int) -> FrameView:
    target, render = task.frame(frame), _drawn(task, frame)
    scores = _scores(render, target)
    if len(task.held_out):
        scores |= {f"blending_{name}": value for name, value in _scores(blended(task, frame), target).items()}
    return FrameView(f"frame {frame}, {frame / task.kind.fps:.2f} s", scores, target, render)


def _scores(found: Tensor, target: Tensor) -> dict[str, float]:
    scores = {"psnr": psnr(found, target)}
    if min(target.shape[:2]) >= SSIM_WINDOW:
        scores["ssim"] = ssim(found, target)
    return scores


def _drawn(task: VideoTask, frame: int) -> Float[Tensor, "height width 3"]:
    return drawn_frame(task.model, task.raster, float(frame))


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
