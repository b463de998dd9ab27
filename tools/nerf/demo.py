"""`neufield demo`: the main job on a scene that the program draws itself."""

from dataclasses import replace
from pathlib import Path

from ...configs.nerf_config import NerfConfig
from ..progress import Progress
from ..run_folder import RunFolder
from .run import BUILT_IN, start


def demo(config: NerfConfig) -> str:
    """Trains on the built-in scene, scores it, writes the turntable and the report; returns the result in one line."""
    progress = Progress(quiet=config.quiet)
    progress.say("Drawing the scene: 60 photos of textured solids, a glossy one among them, by ray tracing.")
    name = config.name or "demo"
    result = start(replace(config, data=BUILT_IN, name=name, turntable="on"))
    run = RunFolder(config.runs / name)
    if run.report.is_file():  # not where Ctrl-C stopped it
        progress.say(_next_commands(run.path))
    return result


def _next_commands(run: Path) -> str:
    return "\n".join(
        [
            "What to try next:",
            f"  neufield render {run} --path interpolate   a flight through the training cameras",
            f"  neufield resume {run} --seconds 180        train longer",
            "  neufield data check PHOTOS_FOLDER          see what a folder of yours holds",
            "  neufield nerf PHOTOS_FOLDER                train on it",
        ]
    )
