"""Options of the commands that take no settings of a training."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ..configs.nerf_config import Background
from ..configs.run_options import Backend, Positional


@dataclass(frozen=True, kw_only=True)
class RunChoice:
    """Which run, and what it runs on now."""

    run: Positional[Path]
    """The run's folder; for `neufield render` also a compressed picture, FILE.nfz."""
    device: str | None = None
    """auto, cpu, cuda or cuda:1, instead of what the run was trained on."""
    backend: Backend | None = None
    """Which kernels run, instead of those that the run was trained with."""
    quiet: bool = False
    """Print the result only."""


@dataclass(frozen=True, kw_only=True)
class EvalOptions(RunChoice):
    """Scores a run on its held-out photos or frames, or its picture, and writes evaluation.json, report.html and what
    that shows anew."""

    against: Path | None = None
    """nerf: a finished run on the same data that the report compares this one with."""


@dataclass(frozen=True, kw_only=True)
class RenderOptions(RunChoice):
    """Renders a video of a NeRF, a picture or a clip at any resolution, into the run's outputs/ folder."""

    size: tuple[int, int] | None = None
    """Width and height in pixels; by default that of the photos, at most 400 on the longer side, of the picture or of
    the clip."""
    output: Path | None = None
    """The file: .mp4 or .gif; .png, .jpg, .tif, .exr, .hdr or .npy; of clips and compressed pictures also a folder for
    it. By default one in the run's outputs/ folder."""
    force: bool = False
    """Replace a file that is there."""
    path: Literal["turntable", "interpolate"] | None = None
    """nerf: once around the scene (turntable, the default), or smoothly through the training cameras (interpolate)."""
    frames: int | None = None
    """nerf: number of frames; 60 by default. video: the same, spread evenly over the clip; by default what keeps its
    speed."""
    fps: float | None = None
    """nerf: frames per second; 20 by default. video: the same; by default those of the clip."""
    time: float | None = None
    """video: draw a single picture, so many seconds after the first frame."""
    scale: float | None = None
    """image: draw it so many times as large, instead of --size."""
    crop: tuple[float, float, float, float] | None = None
    """image: draw a part of it alone: left, top, width and height in pixels of the picture."""


@dataclass(frozen=True, kw_only=True)
class ResumeOptions(RunChoice):
    """Goes on with a run from its last checkpoint; one that is finished is left as it is, if no later end is given."""

    seconds: float | None = None
    """Train until this many seconds in all, instead of what the run was given."""
    steps: int | None = None
    """Train until this many steps in all, instead of what the run was given."""


@dataclass(frozen=True, kw_only=True)
class BenchOptions:
    """Times every CPU backend side by side, in one run; ratios tell, absolute times depend on the machine."""

    part: Positional[Literal["nerf", "kernels", "image", "surface"]] = "nerf"
    """nerf: a whole training step, from the same half-trained state, and what it consists of. kernels: one by one, and
    beside them what the machine can do at most. image: a picture fitted as a field. surface: made scans of true
    surfaces, reconstructed by every method; here ratios are of distances."""
    data: Path | None = None
    """nerf: a folder of posed photos; by default the built-in scene. image: a picture that --seconds is about.
    surface: a mesh, or a folder of meshes."""
    background: Background = "auto"
    """nerf: as in training."""
    seconds: float | None = None
    """nerf: also train a run for so long, score its held-out photos and time frames. image: also fit the picture with
    every field at three sizes, and with two of plain PyTorch, for so long each. surface: so long the implicit method
    trains."""
    page: Path | None = None
    """image: draw PSNR against seconds and against parameters on this page, an .html file."""
    repeats: int = 7
    """How often everything is timed; the median counts."""
    json: Path | None = None
    """Also write the figures to this file."""
    quiet: bool = False
    """Print the result only."""


@dataclass(frozen=True, kw_only=True)
class CheckOptions:
    """Says what a folder of photos holds and what is wrong with it, before any training."""

    folder: Positional[Path]
    """The folder."""


@dataclass(frozen=True, kw_only=True)
class PoseOptions:
    """Finds out where photos were taken from, and writes a folder that `neufield nerf` takes as it is.

    The input is a folder of photos, which are only read, or one video, of which the sharpest frames are taken. Needs
    the package pycolmap: pip install -c constraints.txt -e '.[sfm]'. No GPU is used."""

    source: Positional[Path]
    """The folder of photos, or the video."""
    output: Path | None = None
    """The folder to write; by default PHOTOS-posed beside the photos."""
    frames: int = 100
    """Of a video: how many frames to take at most, the sharpest of each of so many equal stretches."""
    cameras: Literal["shared", "separate"] = "shared"
    """shared: photos of the same size, and of the same camera and focal length by their EXIF, have one lens. separate:
    one for each photo, where the zoom changed and no EXIF tells."""
    lens: Literal["auto", "OPENCV", "SIMPLE_RADIAL"] = "auto"
    """SIMPLE_RADIAL has one number of distortion; OPENCV has four and two focal lengths, and needs more photos to tell
    them. auto: OPENCV where ten photos or more share a lens."""
    matching: Literal["auto", "exhaustive", "sequential", "similar"] = "auto"
    """Which photos are compared. exhaustive: all with all. sequential: neighbours by name, and look-alikes. similar:
    each with the 30 that look most alike. auto: exhaustive up to 80 photos, then sequential for a video, else similar.
    """
    undistort: Literal["on", "off"] = "on"
    """on: write photos as a lens without distortion would have taken them. off: write them as they are, and the
    distortion beside them, which `neufield nerf` undoes as well."""
    seed: int = 0
    """Of everything that is drawn at random; the same seed with --threads 1 finds the same poses."""
    threads: int | None = None
    """How many threads; all cores if not given."""
    force: bool = False
    """Replace an earlier output of this command."""
    quiet: bool = False
    """Print the result only."""
