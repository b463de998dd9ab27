"""The command line: help without heavy imports, and every bad input told in one message with exit code 2."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from safetensors import safe_open
from safetensors.torch import save_file

Cli = Callable[..., Any]


def assert_refused(said: Any, *texts: str) -> None:
    """Exit code 2 and, on stderr alone, one message with all the texts."""
    assert said.code == 2, said
    assert "Traceback" not in said.err + said.out
    assert said.out == ""
    for text in texts:
        assert text in said.err
    if said.err.startswith("neufield: "):
        assert said.err.count("neufield: ") == 1


def test_help_and_version_import_nothing_heavy():
    program = """
import sys
from neufield.tools.cli import main
assert main(["--help"]) == 0
assert main(["--version"]) == 0
assert main(["nonsense"]) == 2
heavy = {"torch", "numpy", "numba", "tyro", "pydantic", "yaml", "rich", "safetensors", "PIL", "imageio"}
print("heavy:", sorted(heavy & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "heavy: []"
    for command in ("demo", "nerf", "eval", "render", "resume", "data check", "data pose"):
        assert f"\n  {command} " in done.stdout


def test_without_a_command(cli: Cli):
    said = cli()
    assert said.code == 2
    assert "usage: neufield COMMAND" in said.out
    assert cli("-h") == (0, said.out, "")


def test_version(cli: Cli):
    from importlib.metadata import version

    assert cli("--version") == (0, f"neufield {version('neufield')}\n", "")


@pytest.mark.parametrize("line", ["train x", "--nonsense", "Nerf x"])
def test_unknown_commands(cli: Cli, line: str):
    assert_refused(cli(*line.split()), f"there is no command {line.split()[0]!r}. Try: neufield --help")


@pytest.mark.parametrize("line", ["data", "data chek x", "data --help"])
def test_half_a_command_is_told_the_other_half(cli: Cli, line: str):
    assert_refused(cli(*line.split()), "there is no command 'data'. Try: neufield data check or neufield data pose")


@pytest.mark.parametrize("command", ["demo", "nerf", "eval", "render", "resume", "data check", "data pose"])
def test_every_command_explains_itself(cli: Cli, command: str):
    said = cli(*command.split(), "--help")
    assert said.code == 0
    assert f"usage: neufield {command}" in said.out
    assert_refused(cli(*command.split(), "x", "--colour", "red"), "--colour")


@pytest.mark.parametrize("command", ["nerf", "eval", "render", "resume", "data check", "data pose"])
def test_every_command_asks_for_what_it_works_on(cli: Cli, command: str):
    assert_refused(cli(*command.split()), "Required options", "PATH")


def test_help_of_nerf_names_its_settings(cli: Cli):
    out = cli("nerf", "--help").out
    for text in (
        "--config FILE",
        "--seconds",
        "--view-dependence {on,off}",
        "--field.levels",
        "Neurons per hidden layer",
    ):
        assert text in out


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("--seconds 0", "--seconds must be positive, got 0.0"),
        ("--seconds -3", "--seconds must be positive, got -3.0"),
        ("--seconds soon", "soon"),
        ("--steps -1", "--steps must be positive, got -1"),
        ("--steps 1.5", "1.5"),
        ("--steps 5 --seconds 5", "Give either --seconds or --steps"),
        ("--holdout-every 1", "--holdout-every takes 2 or more, got 1"),
        ("--downscale 0", "--downscale must be positive, got 0"),
        ("--checkpoint-seconds 0", "--checkpoint-seconds must be positive, got 0.0"),
        ("--seed -1", "--seed takes 0 to 4294967295, got -1"),
        ("--device gpu", "--device takes auto, cpu, cuda or cuda:N, got 'gpu'"),
        ("--device cuda:64", "--device cuda:64: torch sees"),
        ("--memory lots", "--memory takes a size such as 512MiB or 2GiB, got 'lots'"),
        ("--memory 10", "--memory takes 16MiB or more, got '10'; a number alone counts bytes: write 10GiB"),
        ("--backend cuda", "--backend"),
        ("--preset fast", "--preset"),
        ("--background blue", "--background"),
        ("--field.width 48", "--field.width"),
        ("--field.levels 0", "--field.levels must be positive, got 0"),
        ("--field.finest 4", "--field.finest takes 16 to 1048576, got 4"),
        ("--sampling.steps-per-unit 0", "--sampling.steps-per-unit must be positive, got 0"),
        ("--sampling.occupancy-resolution 12", "must be a multiple of 8, got 12"),
        ("--name ../elsewhere", "A run's name is a plain folder name, got '../elsewhere'"),
        ("--against nowhere", "There is no run folder nowhere"),
        ("--config nowhere.yaml", "The configuration nowhere.yaml cannot be read: No such file"),
    ],
)
def test_bad_settings_leave_no_run(cli: Cli, photos: Path, tmp_path: Path, option: str, text: str):
    assert_refused(cli("nerf", photos, "--runs", tmp_path / "runs", "--quiet", *option.split()), text)
    assert not (tmp_path / "runs").exists()


def test_a_backend_that_cannot_run_leaves_no_run(cli: Cli, photos: Path, tmp_path: Path):
    line = ("nerf", photos, "--runs", tmp_path / "runs", "--quiet", "--device", "cpu", "--backend", "triton")
    assert_refused(cli(*line), "No backend can run", "triton")
    assert not (tmp_path / "runs").exists()


def matrix(**changes: float) -> list[list[float]]:
    """The unit matrix with some entries changed: `m03=1.0` is row 0, column 3."""
    values = [[float(row == column) for column in range(4)] for row in range(4)]
    for key, value in changes.items():
        values[int(key[1])][int(key[2])] = value
    return values


BAD_FRAMES: list[tuple[dict[str, Any], tuple[str, ...]]] = [
    ({"transform_matrix": matrix(m00=1.2)}, ("transforms.json, frame 4", "expected a rotation")),
    ({"transform_matrix": matrix(m03=float("nan"))}, ("transforms.json, frame 4", "found NaN or infinity")),
    ({"file_path": "../../secret.png"}, ("frame 4", "../../secret.png")),
    ({"file_path": "/etc/passwd"}, ("frame 4", "/etc/passwd")),
    ({"file_path": None}, ("frame 4", "'file_path'")),
]


@pytest.mark.parametrize(("frame", "texts"), BAD_FRAMES)
def test_bad_frames(
    cli: Cli, capture: Callable[..., Path], tmp_path: Path, frame: dict[str, Any], texts: tuple[str, ...]
):
    folder = capture(frames={4: frame})
    assert_refused(cli("nerf", folder, "--runs", tmp_path / "runs", "--quiet"), *texts)
    assert not (tmp_path / "runs").exists()
    assert_refused(cli("data", "check", folder), *texts, "not ready: 1 problem")


def truncate(folder: Path) -> None:
    path = folder / "train" / "r_004.png"
    path.write_bytes(path.read_bytes()[:-200])


def resize(folder: Path) -> None:
    Image.new("RGBA", (30, 20)).save(folder / "train" / "r_004.png")


def remove_all(folder: Path) -> None:
    for path in (folder / "train").iterdir():
        path.unlink()


def garble(folder: Path) -> None:
    (folder / "transforms.json").write_text('{"frames": [')


@pytest.mark.parametrize(
    ("spoil", "texts"),
    [
        (truncate, ("train/r_004.png: cannot be read as an image",)),
        (resize, ("train/r_004.png: expected 48x48 pixels (its camera), found 30x20",)),
        (remove_all, ("transforms.json: none of its 24 images is there", "r_000.png")),
        (garble, ("transforms.json",)),
    ],
)
def test_bad_files(
    cli: Cli, capture: Callable[..., Path], tmp_path: Path, spoil: Callable[[Path], None], texts: tuple[str, ...]
):
    folder = capture()
    spoil(folder)
    assert_refused(cli("nerf", folder, "--runs", tmp_path / "runs", "--quiet"), *texts)
    assert not (tmp_path / "runs").exists()
    assert_refused(cli("data", "check", folder), *texts)


def test_missing_folder_and_no_poses(cli: Cli, tmp_path: Path):
    (tmp_path / "empty").mkdir()
    for command in (("nerf",), ("data", "check")):
        assert_refused(cli(*command, tmp_path / "nowhere"), "nowhere: expected a folder", "check the path")
        assert_refused(cli(*command, tmp_path / "empty"), "empty", "transforms.json", "sparse/0/cameras.bin")
    assert not (tmp_path / "runs").exists()


def test_data_check_on_a_good_folder(cli: Cli, photos: Path):
    said = cli("data", "check", photos)
    assert (said.code, said.err) == (0, "")
    assert "24 to train on, 3 held out (transforms_test.json)" in said.out
    assert said.out.splitlines()[-1] == "ready to train"


def test_missing_photos_are_named_and_the_rest_is_used(cli: Cli, capture: Callable[..., Path]):
    folder = capture()
    (folder / "train" / "r_007.png").unlink()
    said = cli("data", "check", folder)
    assert said.code == 0
    assert "1 of 24" in said.out
    assert "r_007.png" in said.out


def test_a_run_that_exists(cli: Cli, photos: Path, run_copy: Path):
    before = {path: path.stat().st_mtime_ns for path in run_copy.rglob("*")}
    line = ("nerf", photos, "--runs", run_copy.parent, "--quiet")
    assert_refused(cli(*line), f"The run {run_copy} exists", f"`neufield resume {run_copy}`", "--force", "--name")
    # With --force it is replaced, but not before all else was found in order.
    assert_refused(cli(*line, "--force", "--device", "cuda:64"), "--device cuda:64")
    assert_refused(cli(*line, "--force", "--sampling.occupancy-resolution", "12"), "multiple of 8")
    assert_refused(cli(*line, "--force", "--device", "cpu", "--backend", "triton"), "triton")
    assert_refused(cli(*line, "--force", "--against", run_copy), "cannot be compared with the run that replaces it")
    assert {path: path.stat().st_mtime_ns for path in run_copy.rglob("*")} == before


def test_a_folder_that_is_no_run(cli: Cli, photos: Path, tmp_path: Path):
    (tmp_path / "runs" / "still").mkdir(parents=True)
    (tmp_path / "runs" / "still" / "config.yaml").write_text("model: of another program\n")
    assert_refused(cli("nerf", photos, "--runs", tmp_path / "runs", "--force"), "still exists and is not a run")
    for command in ("eval", "render", "resume"):
        assert_refused(
            cli(command, tmp_path / "runs" / "still"), "still is not a run: it has no config.yaml that neufield"
        )
        assert_refused(cli(command, photos), f"{photos} is not a run")
        assert_refused(cli(command, tmp_path / "nowhere"), "There is no run folder", "nowhere")


def rewrite(checkpoint: Path, **header: str) -> None:
    with safe_open(checkpoint, framework="pt") as file:
        metadata = {**file.metadata(), **header}
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    save_file(tensors, checkpoint, metadata=metadata)


@pytest.mark.parametrize("command", ["eval", "render", "resume"])
def test_bad_checkpoints(cli: Cli, run_copy: Path, command: str):
    checkpoint = run_copy / "checkpoint" / "latest.safetensors"
    rewrite(checkpoint, version="999")
    assert_refused(cli(command, run_copy, "--quiet"), f"{checkpoint} was written in version 999")
    checkpoint.write_bytes(checkpoint.read_bytes()[:-1000])
    assert_refused(cli(command, run_copy, "--quiet"), f"The checkpoint {checkpoint} is damaged or cut short")
    checkpoint.unlink()
    again = f"Train it again: `neufield nerf --config {run_copy / 'config.yaml'} --force`"
    assert_refused(cli(command, run_copy, "--quiet"), f"There is no checkpoint {checkpoint}", again)


@pytest.mark.parametrize("command", ["eval", "render", "resume"])
def test_a_run_that_cannot_be_written(cli: Cli, run_copy: Path, command: str):
    """A file stands where its outputs would go; permissions do not bind everybody who runs the tests."""
    shutil.rmtree(run_copy / "outputs")
    (run_copy / "outputs").touch()
    longer = ("--steps", 400) if command == "resume" else ()
    assert_refused(cli(command, run_copy, "--quiet", *longer), "cannot be written (", "outputs", "see to the space and")
    assert not list(run_copy.rglob("*.partial*"))


@pytest.mark.parametrize("command", ["eval", "render", "resume"])
def test_settings_that_do_not_fit_the_checkpoint(cli: Cli, run_copy: Path, command: str):
    config = run_copy / "config.yaml"
    config.write_text(config.read_text().replace("width: 64", "width: 32"))
    assert_refused(cli(command, run_copy, "--quiet"), "does not fit the run's config.yaml", "expected torch.float32")
    config.write_text(config.read_text() + "colour: red\n")
    assert_refused(cli(command, run_copy, "--quiet"), f"The settings in {config} do not fit. colour: there is no such")
    config.write_text("task: restore\n")
    assert_refused(cli(command, run_copy, "--quiet"), "is of `neufield restore`, not of `neufield nerf`")


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ("--frames 0", "at least 1 frame, found 0"),
        ("--frames -2", "at least 1 frame, found -2"),
        ("--size 0 0", "--size takes a width and a height of at least 1, got 0 0"),
        ("--size 10 -1", "--size takes a width and a height of at least 1, got 10 -1"),
        ("--size 10", "--size"),
        ("--size 100000 100000", "--size takes a width and a height of at most 16384, got 100000 100000"),
        ("--frames 1000000000", "--frames takes up to 100000, got 1000000000"),
        ("--fps 0", "fps must be above 0, found 0.0"),
        ("--path spiral", "--path"),
        ("--output video.avi", "a video's name must end with .mp4 or .gif, found 'video.avi'"),
        ("--device gpu", "--device takes auto, cpu, cuda or cuda:N, got 'gpu'"),
    ],
)
def test_bad_options_of_render(cli: Cli, trained: Path, options: str, text: str):
    before = set(trained.rglob("*"))
    assert_refused(cli("render", trained, "--quiet", *options.split()), text)
    assert set(trained.rglob("*")) == before


def test_frames_that_memory_cannot_hold(cli: Cli, trained: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("neufield.tools.nerf.rendering.machine_memory_bytes", lambda: 2 << 30)
    said = cli("render", trained, "--size", 16384, 8192)
    assert_refused(
        said, "--size 16384 8192 takes about 25 GiB of memory, and this machine has 2.0 GiB", "at most 11 mi"
    )


def test_render_replaces_no_file(cli: Cli, run_copy: Path, tmp_path: Path):
    mine, earlier = tmp_path / "holiday.mp4", run_copy / "outputs" / "turntable.mp4"
    for path in (mine, earlier):
        path.write_bytes(b"mine")
    assert_refused(cli("render", run_copy, "--output", mine), f"{mine} exists", "--force")
    assert_refused(cli("render", run_copy), f"{earlier} exists; name another file by --output, or replace it with --fo")
    assert mine.read_bytes() == earlier.read_bytes() == b"mine"
    assert cli("render", run_copy, "--frames", 1, "--size", 16, 16, "--force").code == 0
    assert earlier.read_bytes() != b"mine"


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ("--steps 0", "--steps must be positive, got 0"),
        ("--seconds -1", "--seconds must be positive, got -1.0"),
        ("--steps 10", "has 300 steps already; --steps is their number in all"),
        ("--steps 400 --seconds 3", "Give either --seconds or --steps"),
        ("--device gpu", "--device takes auto"),
    ],
)
def test_bad_options_of_resume(cli: Cli, run_copy: Path, options: str, text: str):
    before = (run_copy / "config.yaml").read_text()
    assert_refused(cli("resume", run_copy, "--quiet", *options.split()), text)
    assert (run_copy / "config.yaml").read_text() == before


def test_photos_that_have_changed(cli: Cli, photos: Path, run_copy: Path, tmp_path: Path):
    """A run goes on with its own photos alone, and is scored on no others."""
    folder = Path(shutil.copytree(photos, tmp_path / "still"))
    listed = json.loads((folder / "transforms_train.json").read_text())
    del listed["frames"][3]
    (folder / "transforms_train.json").write_text(json.dumps(listed))
    config = run_copy / "config.yaml"
    config.write_text(config.read_text().replace(f"data: {photos}", f"data: {folder}"))
    for command in ("resume", "eval"):
        assert_refused(cli(command, run_copy, "--quiet"), f"The photos in {folder}", "not those that", "was trained on")
    shutil.rmtree(folder)
    for command in ("resume", "eval"):
        assert_refused(cli(command, run_copy, "--quiet"), f"{folder}: expected a folder")


def test_runs_that_cannot_be_compared(cli: Cli, photos: Path, run_copy: Path, tmp_path: Path):
    line = ("nerf", photos, "--runs", tmp_path / "others", "--quiet", "--against", run_copy)
    assert_refused(cli(*line, "--background", "black"), "was scored with --background white", "--background black")
    (run_copy / "checkpoint" / "latest.safetensors").unlink()
    assert_refused(cli(*line), f"{run_copy} has no checkpoint yet; wait for it if it is being trained")
    assert not (tmp_path / "others").exists()


@pytest.mark.parametrize(
    ("line", "text"),
    [
        (
            "kernels --data photos",
            "`neufield bench kernels` takes no --data.",
        ),
        ("image --seconds 3 --background white", "`neufield bench image` takes no --background."),
        ("image --page x.html", "`neufield bench image` takes both --data and --seconds"),
    ],
)
def test_bench_refuses_what_a_part_does_not_take(cli: Cli, line: str, text: str):
    assert_refused(cli("bench", *line.split()), text)


def test_a_traceback_for_those_who_ask(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("NEUFIELD_TRACEBACK", "1")
    with pytest.raises(ValueError, match="nowhere"):
        cli("nerf", tmp_path / "nowhere")
