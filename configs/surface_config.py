"""Every setting of `neufield surface`."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

from .implicit_config import ImplicitConfig
from .run_options import Positional, RunOptions, Switch, require_between, require_positive

SurfaceMethod = Literal["patches", "implicit", "poisson"]
MeshFormat = Literal["ply", "obj", "glb", "off"]

_TRAINED = ("seconds", "steps")


@dataclass(frozen=True, kw_only=True)
class PatchesConfig:
    """The charts of --method patches. What is not given is chosen from the cloud, and printed."""

    __pydantic_config__: ClassVar = {"extra": "forbid"}

    radius: float | None = None
    """Radius of a patch, in the cloud's unit; by default what holds about 150 points, or more where there is noise."""
    spacing: float = 0.6
    """Distance between the centres of patches, as a share of the radius."""
    noise: float | None = None
    """Standard deviation of the noise across the surface, in the cloud's unit; estimated by default."""
    widths: tuple[int, ...] = (32, 32)
    """Neurons of each chart's hidden layers."""
    transport_rounds: int = 2
    """How often the points are transported anew while the charts take shape; 0 leaves the transport out."""
    steps: int | None = None
    """Steps of each chart towards its own points at most: it stops where what is left is the noise, for the shape is
    fitted before it. By default 60, or more where there is little noise."""
    agreement_rounds: int = 2
    """How often what overlapping patches say is brought together."""
    agreement_steps: int = 10
    """Steps towards it each time."""
    rate: float = 1e-2
    """Adam's step."""

    def __post_init__(self) -> None:
        require_positive(self, "radius", "spacing", "rate", group="patches.")
        require_between(self, "spacing", 0.05, 1.0, group="patches.")
        require_between(self, "noise", 0.0, 1e30, group="patches.")
        require_between(self, "transport_rounds", 0, 100, group="patches.")
        require_between(self, "steps", 1, 100_000, group="patches.")
        require_between(self, "agreement_rounds", 0, 100, group="patches.")
        require_between(self, "agreement_steps", 1, 100_000, group="patches.")
        if not self.widths or not all(1 <= width <= 1024 for width in self.widths):
            raise ValueError(f"--patches.widths takes widths of 1 to 1024, at least one, got {self.widths}.")


@dataclass(frozen=True, kw_only=True)
class SurfaceConfig(RunOptions):
    """Reconstructs the surface that a point cloud was taken from."""

    cloud: Positional[Path]
    """The cloud: ply, xyz, txt, csv, npy, npz, obj, pcd, las, laz, with or without normals; of a mesh its vertices."""
    method: SurfaceMethod = "patches"
    """patches: a small network for each patch of the cloud, then screened Poisson on what all of them say. implicit: a
    signed distance, then marching cubes. poisson: screened Poisson on the points as they are, for comparison."""
    normals: Literal["auto", "estimated"] = "auto"
    """auto: the cloud's own, if it has any. estimated: as if it had none."""
    watertight: Switch = "off"
    """on: a closed mesh, which is made up where there are no points. off: trimmed there."""
    depth: int | None = None
    """Of the octree of screened Poisson; by default what the points' spacing and noise ask for."""
    truth: Path | None = None
    """The true surface, a mesh or a cloud: scores are then against it, not against the cloud."""
    format: MeshFormat = "ply"
    """Of the mesh."""
    patches: PatchesConfig = PatchesConfig()
    """The charts of --method patches."""
    implicit: ImplicitConfig = ImplicitConfig()
    """The signed distance of --method implicit."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require_between(self, "depth", 3, 14)
        if self.method != "implicit":
            given = [name for name in _TRAINED if getattr(self, name) is not None]
            if given:
                raise ValueError(
                    f"--{given[0]} says how long a field is trained; --method {self.method} ends by itself. Leave it "
                    "out, or take --method implicit."
                )
