"""What the report of a NeRF run says."""

import shlex
from typing import Any

from ...configs.loading import to_yaml
from ..pictures import to_uint8
from ..report import ReportContent, ReportSection, ReportView
from ..report_parts import curve_of, series_of, timings_of, versions
from ..run_folder import RunFolder
from ..run_life import longer_by
from .comparison import Comparison
from .evaluation import Evaluation
from .task import NerfTask


def report_content(
    run: RunFolder,
    task: NerfTask,
    evaluation: Evaluation,
    content: dict[str, Any],
    comparison: Comparison | None,
    warm_up_seconds: float | None,
) -> ReportContent:
    """Gathers the page from the run's numbers, pictures and logs.

    Args:
        run: The run.
        task: Its task, for the data's notes and the settings.
        evaluation: The held-out views.
        content: What evaluation.json says.
        comparison: With another run, if asked for.
        warm_up_seconds: How long the kernels took to compile or load, where that is known.
    """
    lines = run.read_metrics()
    mean = content["mean"]
    turntable = run.outputs / "turntable.mp4"
    flight = " --path interpolate" if task.config.turntable == "on" else ""
    path, data = shlex.quote(str(run.path)), shlex.quote(str(task.config.data))
    best, flat = (shlex.quote(f"{run.name}-{kind}") for kind in ("best", "flat"))
    return ReportContent(
        title=run.name,
        headline=f"{mean['psnr']:.2f} dB" if mean else "trained",
        explanation=f"PSNR, mean of {len(evaluation.views)} held-out views" if mean else "no photo was held out",
        protocol=evaluation.protocol,
        figures={
            **({"SSIM": f"{mean['ssim']:.3f}"} if mean else {}),
            **({"depth error": f"{mean['depth_error']:.3g}"} if "depth_error" in mean else {}),
            "training": f"{content['seconds']:.0f} s",
            "photos": str(len(task.scene.train)),
            **_moved(evaluation),
        },
        views=[ReportView(view.name, view.scores, *map(to_uint8, view.pictures())) for view in evaluation.views],
        curve=curve_of(lines),
        scored=task.scored,
        series=series_of(lines),
        sections=[] if comparison is None else [_comparison_section(comparison)],
        video=turntable.read_bytes() if task.config.turntable == "on" and turntable.is_file() else None,
        timings=timings_of(content, _drawing(content, len(evaluation.views)), warm_up_seconds),
        settings=to_yaml(task.config),
        versions=versions(),
        notes=task.scene.notes,
        next_commands=[
            ("fly through the cameras" if flight else "turn around the scene", f"neufield render {path}{flight}"),
            ("train longer, from here", f"neufield resume {path} {longer_by(task.config.steps, content['seconds'])}"),
            ("the best preset", f"neufield nerf {data} --preset best --name {best}"),
            (
                "see what view dependence is worth",
                f"neufield nerf {data} --view-dependence off --name {flat} --against {path}",
            ),
        ],
    )


def _drawing(content: dict[str, Any], views: int) -> dict[str, str]:
    return (
        {"rendering a held-out view": f"{content['render_seconds'] / views:.2f} s, scoring included"} if views else {}
    )


def _moved(evaluation: Evaluation) -> dict[str, str]:
    if evaluation.moved is None:
        return {}
    return {"cameras moved by": f"{evaluation.moved.degrees:.3f}°, {evaluation.moved.distance:.4g} of your units"}


def _comparison_section(comparison: Comparison) -> ReportSection:
    here, there = comparison.names
    top, left, side = comparison.crop
    gain, crop_gain = (pair[0] - pair[1] for pair in (comparison.psnr, comparison.crop_psnr))
    return ReportSection(
        title=f"{here} against {there}",
        text=(
            f"Over all common held-out views {here} is {gain:+.2f} dB against {there}. The crop is where their errors "
            f"differ the most: {side}x{side} pixels at row {top}, column {left} of {comparison.view}; "
            f"there it is {crop_gain:+.2f} dB. {comparison.caveat}"
        ),
        images=[
            (caption, to_uint8(picture))
            for caption, picture in zip(("photo", here, there), comparison.pictures, strict=True)
        ],
        table=[
            ("run", "PSNR, all pixels", "PSNR, crop"),
            *(
                (name, f"{psnr:.2f} dB", f"{crop:.2f} dB")
                for name, psnr, crop in zip(comparison.names, comparison.psnr, comparison.crop_psnr, strict=True)
            ),
        ],
    )
