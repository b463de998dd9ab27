"""What came of the search for poses, for people and for programs."""

import shlex
from dataclasses import dataclass
from pathlib import Path

from ..listed_files import listed

REPORT_FILE = "pose_report.json"

_ADVICE = (
    "take more photos between them and the others, so that each shows most of what the one before shows; take blurred "
    "ones again; keep the focal length (no zoom) and the scene still"
)


@dataclass(frozen=True)
class PoseReport:
    """What was found; `pose_report.json` has it with the same names."""

    photos: int
    """How many were tried, those that cannot be read included."""
    registered: int
    unregistered: tuple[str, ...]
    """Names of the photos without a pose that could be read."""
    unreadable: tuple[str, ...]
    """Why each photo that cannot be read cannot, its name first."""
    mean_reprojection_error_px: float
    median_reprojection_error_px: float
    points: int
    camera_models: dict[str, int]
    """COLMAP's name of a lens model as it was fitted, and of how many photos."""
    undistorted: bool
    """Whether the photos written have pinhole cameras."""
    model_sizes: tuple[int, ...]
    """Photos in each of the models that do not connect; the first one is what was written."""
    matching: str
    pairs: int
    """Pairs of photos that were compared."""
    seed: int
    seconds: float

    def lines(self) -> list[str]:
        """What a user should know besides the numbers of the result, in plain words, a finding a line."""
        lines: list[str] = []
        if len(self.model_sizes) > 1:
            lines.append(
                f"The photos fall into {len(self.model_sizes)} groups that do not connect "
                f"({', '.join(map(str, self.model_sizes))} photos); the largest is taken."
            )
        if self.unregistered:
            lines.append(
                f"{len(self.unregistered)} of {self.photos} photos not registered and left out: "
                f"{listed(self.unregistered)}."
            )
            lines.append(f"To get them in: {_ADVICE}.")
        lens = " and ".join(f"{name} ({count} photos)" for name, count in self.camera_models.items())
        ending = ", undone in the photos written" if self.undistorted else ""
        lines.append(f"{self.points} points; lens {lens}{ending}.")
        return lines

    def result(self, folder: Path) -> str:
        """One line: how well it went, and what to do with the folder."""
        return (
            f"{self.registered} of {self.photos} photos registered, median reprojection error "
            f"{self.median_reprojection_error_px:.2f} px. Next: neufield nerf {shlex.quote(str(folder))}"
        )
