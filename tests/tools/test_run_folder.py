import json
from pathlib import Path

import pytest

from neufield.datasets import OutputError
from neufield.tools.errors import RunError
from neufield.tools.run_folder import RunFolder


@pytest.fixture
def run(tmp_path: Path) -> RunFolder:
    """A run that was begun."""
    folder = RunFolder.planned(tmp_path, "first", force=False)
    folder.create("task: nerf\nseed: 0\n")
    return folder


def test_a_plan_touches_nothing(tmp_path: Path):
    folder = RunFolder.planned(tmp_path / "runs", "new", force=False)
    assert not (tmp_path / "runs").exists()
    folder.create("task: nerf\n")
    assert folder.outputs.is_dir()
    assert folder.config.read_text() == "task: nerf\n"
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["new"]


def test_an_existing_run_is_refused_with_its_remedies(run: RunFolder):
    run.checkpoint.parent.mkdir()
    run.checkpoint.touch()
    with pytest.raises(RunError) as error:
        RunFolder.planned(run.path.parent, "first", force=False)
    for text in (f"The run {run.path} exists", f"`neufield resume {run.path}`", "--force", "--name"):
        assert text in str(error.value)


def test_a_run_without_a_checkpoint_is_not_to_be_resumed(run: RunFolder):
    with pytest.raises(RunError, match=r"first exists. Replace it with --force, or") as error:
        RunFolder.planned(run.path.parent, "first", force=False)
    assert "resume" not in str(error.value)


def test_force_replaces_a_run(run: RunFolder):
    run.log({"step": 1})
    again = RunFolder.planned(run.path.parent, "first", force=True)
    assert run.metrics.is_file()
    again.create("task: nerf\n")
    assert sorted(path.name for path in run.path.iterdir()) == ["config.yaml", "outputs"]
    assert list(run.path.parent.iterdir()) == [run.path]


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("file", ["thesis.tex", "config.yaml", "file itself"])
def test_what_is_no_run_is_never_replaced(tmp_path: Path, force: bool, file: str):
    """A config.yaml of another program makes no run."""
    path = tmp_path / "work" if file == "file itself" else tmp_path / "work" / file
    path.parent.mkdir(exist_ok=True)
    path.write_text("model: mine\n")
    with pytest.raises(RunError, match="work exists and is not a run; choose another --name or --runs"):
        RunFolder.planned(tmp_path, "work", force=force)
    assert path.read_text() == "model: mine\n"


@pytest.mark.parametrize("force", [False, True])
@pytest.mark.parametrize("left", [[], ["outputs"], ["outputs", ".config.77.partial.yaml"]])
def test_an_empty_folder_is_taken_and_one_of_a_run_that_never_began(tmp_path: Path, left: list[str], force: bool):
    for name in left:
        (tmp_path / "empty" / name).mkdir(parents=True) if name == "outputs" else (tmp_path / "empty" / name).touch()
    (tmp_path / "empty").mkdir(exist_ok=True)
    RunFolder.planned(tmp_path, "empty", force=force).create("task: nerf\n")
    assert sorted(path.name for path in (tmp_path / "empty").iterdir()) == ["config.yaml", "outputs"]


@pytest.mark.parametrize("mine", ["outputs", "outputs/mine.mp4", "outputs/deeper/mine.mp4"])
def test_a_folder_with_a_file_of_yours_is_not(tmp_path: Path, mine: str):
    (tmp_path / "empty" / mine).parent.mkdir(parents=True)
    (tmp_path / "empty" / mine).touch()
    with pytest.raises(RunError, match="empty exists and is not a run"):
        RunFolder.planned(tmp_path, "empty", force=True)


def test_a_run_folder_that_cannot_be_written(run: RunFolder):
    run.require_writable()
    assert sorted(path.name for path in run.path.iterdir()) == ["config.yaml", "outputs"]
    run.outputs.rmdir()
    run.outputs.touch()
    with pytest.raises(RunError, match=r"The run folder .*first cannot be written \(.*outputs: Not a directory\); see"):
        run.require_writable()
    run.metrics.mkdir()
    with pytest.raises(RunError, match=r"metrics.jsonl cannot be written \(Is a directory\); see .*neufield resume"):
        run.log({"step": 1})


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "/tmp/x", "a/"])
def test_names_that_climb_out(tmp_path: Path, name: str):
    with pytest.raises(RunError, match="A run's name is a plain folder name, got"):
        RunFolder.planned(tmp_path / "runs", name, force=True)


def test_a_place_where_nothing_can_be_made(tmp_path: Path):
    (tmp_path / "runs").write_text("a file")
    with pytest.raises(OutputError, match=r"runs/x: cannot be written \(.*\); see"):
        RunFolder.planned(tmp_path / "runs", "x", force=False).create("task: nerf\n")


def test_open(run: RunFolder, tmp_path: Path):
    assert RunFolder.open(run.path) == run
    with pytest.raises(RunError, match=r"There is no run folder .*nowhere; `neufield nerf`"):
        RunFolder.open(tmp_path / "nowhere")
    (tmp_path / "other").mkdir()
    with pytest.raises(RunError, match=r"other is not a run: it has no config.yaml"):
        RunFolder.open(tmp_path / "other")
    (tmp_path / "other" / "config.yaml").write_text("model: mine\n")
    with pytest.raises(RunError, match=r"other is not a run: it has no config.yaml that neufield wrote"):
        RunFolder.open(tmp_path / "other")


def test_its_name_where_the_path_has_none(run: RunFolder, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(run.path)
    assert RunFolder.open(Path()).name == "first"


def test_metrics_without_a_last_line_that_was_cut_short(run: RunFolder):
    assert run.read_metrics() == []
    for step in (1, 2, 3):
        run.log({"step": step, "losses": {"color": 1.0 / step}})
    run.metrics.write_text(run.metrics.read_text()[:-9])
    assert [line["step"] for line in run.read_metrics()] == [1, 2]


def test_rewind_drops_what_will_be_made_again(run: RunFolder):
    for step in (1, 2, 3):
        run.log({"step": step})
    with run.metrics.open("a") as file:
        file.write('{"step": 4, "los')
    run.rewind_metrics(2)
    run.log({"step": 3, "again": True})
    assert [json.loads(line) for line in run.metrics.read_text().splitlines()] == [
        {"step": 1},
        {"step": 2},
        {"step": 3, "again": True},
    ]


def test_write_text_is_whole_or_not_at_all(run: RunFolder):
    with pytest.raises(UnicodeEncodeError):
        run.write_text(run.config, "task: nerf\n\udcff")
    assert run.config.read_text() == "task: nerf\nseed: 0\n"


def test_partial_files_of_a_killed_run_are_removed(run: RunFolder):
    left = [run.path / ".config.77.partial.yaml", run.checkpoint.parent / ".latest.77.partial.safetensors"]
    for path in left:
        path.parent.mkdir(exist_ok=True)
        path.write_text("half")
    run.remove_partial_files()
    assert not any(path.exists() for path in left)
    assert run.config.is_file()
