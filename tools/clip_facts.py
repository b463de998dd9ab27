"""clip.json of a run: what of a clip is needed to draw its field, so that the clip itself is not."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from ..datasets import Clip
from .errors import RunError
from .run_folder import RunFolder


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


def _path(run: RunFolder) -> Path:
    return run.path / "clip.json"
