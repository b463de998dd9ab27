"""clip.json and frames.safetensors of a run: what drawing needs of the clip, so that the clip itself is not needed."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor

from ...datasets import Clip
from ...datasets.whole_output import whole_file
from ..errors import RunError
from ..run_folder import RunFolder


@dataclass(frozen=True)
class ClipFacts:
    """The kind of a clip.

    Attributes:
        width, height: In pixels.
        frames: How many.
        fps: Frames per second.
    """

    width: int
    height: int
    frames: int
    fps: float

    @classmethod
    def of(cls, clip: Clip) -> "ClipFacts":
        """Reads them from a clip."""
        return cls(*clip.size, len(clip), clip.fps)

    @property
    def seconds(self) -> float:
        """From the first frame to the end of the last one."""
        return self.frames / self.fps

    def __str__(self) -> str:
        return f"{self.frames} frames of {self.width}x{self.height} pixels, {self.fps:g} per second"


def write_facts(run: RunFolder, facts: ClipFacts) -> None:
    """Writes what `read_facts` reads."""
    run.write_text(_path(run), json.dumps(asdict(facts)))


def read_facts(run: RunFolder) -> ClipFacts:
    """Reads the facts of a run's clip.

    Raises:
        RunError: The file is missing or damaged.
    """
    path = _path(run)
    try:
        return ClipFacts(**json.loads(path.read_text(encoding="utf-8")))
    except (OSError, TypeError, ValueError) as error:
        raise RunError(f"{path} is missing or damaged ({error}). Train the run again with --force.") from None


def write_frames(run: RunFolder, frames: UInt8[Tensor, "frames height width 3"]) -> None:
    """Writes what `read_frames` reads."""
    from safetensors.torch import save_file

    with whole_file(_frames_path(run)) as aside:
        mode = aside.stat().st_mode
        save_file({"frames": frames.contiguous()}, aside)
        aside.chmod(mode)  # safetensors lets nobody but the owner read its files


def read_frames(run: RunFolder) -> UInt8[Tensor, "frames height width 3"]:
    """Reads the frames that a motion carries.

    Raises:
        RunError: The file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    path = _frames_path(run)
    try:
        return load_file(path)["frames"].to(torch.uint8)
    except (SafetensorError, OSError, KeyError) as error:
        raise RunError(f"{path} is missing or damaged ({error}). Train the run again with --force.") from None


def _path(run: RunFolder) -> Path:
    return run.path / "clip.json"


def _frames_path(run: RunFolder) -> Path:
    return run.path / "frames.safetensors"
