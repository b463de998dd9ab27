"""Held-out cameras brought into line with a scene whose cameras were refined: without it their scores mean nothing."""

from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch import Tensor

from ...fields import Adam
from ...render import CameraRefinement, Cameras, Rays
from .model import blend
from .task import NerfTask

ALIGNMENT_STEPS = 100
_PIXELS = 2048
_RATE, _LAST_SHARE = 2e-3, 0.02


def aligned_camera(task: NerfTask, index: int) -> Cameras:
    """One held-out camera, turned and shifted to where its photo fits the scene best; the scene stays as it is.

    Six numbers a photo, found by Adam on the squared error of random pixels. A run without refined cameras keeps the
    camera that was given.
    """
    camera = task.test_cameras[index]
    if task.model.refinement is None:
        return camera
    refinement = CameraRefinement(camera).to(task.device)
    optimizer = Adam(refinement.parameters(), rate=_RATE)
    generator = torch.Generator().manual_seed(index)
    photo, counting = task.scene.test.image(index), _counting(task, index)
    with _frozen(task.model):
        for step in range(ALIGNMENT_STEPS):
            optimizer.param_groups[0]["rate"] = _RATE * _LAST_SHARE ** (step / ALIGNMENT_STEPS)
            _photometric_error(task, camera, photo, _drawn(photo, counting, generator), refinement).backward()
            optimizer.step()
            optimizer.zero_grad()
    return refinement.corrected(camera)


def _photometric_error(
    task: NerfTask, camera: Cameras, photo: Tensor, drawn: tuple[Tensor, Tensor], refinement: CameraRefinement
) -> Tensor:
    rows, columns = drawn
    pixels = (torch.stack([columns, rows], dim=1) + 0.5).to(task.device)
    behind = task.scoring_background
    rays = Rays(*refinement.rays(camera, pixels, torch.zeros(_PIXELS, dtype=torch.long, device=task.device)))
    seen = task.model.renderer().render(rays, behind[None]).color
    return (seen - blend(photo[rows, columns].to(task.device), behind)).square().mean()


def _counting(task: NerfTask, index: int) -> Tensor | None:
    """Where the pixels that count lie in a held-out photo; None: all count."""
    kept = task.scene.test.kept_in(index)
    return None if kept is None else kept.view(-1).nonzero()[:, 0]


def _drawn(photo: Tensor, counting: Tensor | None, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Rows and columns of random pixels of a photo, of those that count."""
    height, width = photo.shape[:2]
    chosen = torch.randint(width * height if counting is None else len(counting), (_PIXELS,), generator=generator)
    if counting is not None:
        chosen = counting[chosen]
    return torch.div(chosen, width, rounding_mode="floor"), chosen % width


@contextmanager
def _frozen(module: torch.nn.Module) -> Generator[None]:
    """Inside the `with` block a module's parameters get no gradients."""
    learned = [parameter for parameter in module.parameters() if parameter.requires_grad]
    for parameter in learned:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in learned:
            parameter.requires_grad_(True)
