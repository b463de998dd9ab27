"""The folder of a run: what lies in it and under which name, complete at any moment."""

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..datasets.whole_output import whole_file, whole_folder
from .errors import RunError


@dataclass(frozen=True)
class RunFolder:
    """Paths of one run, and reading and writing of its small files."""

    path: Path

    @classmethod
    def planned(cls, runs: Path, name: str, *, force: bool) -> "RunFolder":
        """Where a new run will be; `create` makes it, once everything else that may be refused was found in order.

        Raises:
            RunError: Something of that name exists; a run may be replaced with `force`, anything else never.
        """
        if not name or name != Path(name).name or name in (".", ".."):
            raise RunError(f"A run's name is a plain folder name, got {name!r}; use --runs to put it elsewhere.")
        folder = cls(runs / name)
        if folder._is_run():
            if not force:
                go_on = f"Go on with it by `neufield resume {folder.path}`, replace"
                remedy = go_on if folder.checkpoint.is_file() else "Replace"
                raise RunError(f"The run {folder.path} exists. {remedy} it with --force, or choose another --name.")
        elif folder.path.exists() and not folder._holds_nothing():
            raise RunError(f"{folder.path} exists and is not a run; choose another --name or --runs.")
        return folder

    def create(self, config: str) -> None:
        """Makes the folder with its config.yaml, both at once; a run or an empty folder in its place is gone.

        Raises:
            OutputError: The folder cannot be made.
        """
        with whole_folder(self.path, replace=True) as aside:
            new = RunFolder(aside)
            new.outputs.mkdir()
            new.config.write_text(config, encoding="utf-8")

    def require_writable(self) -> None:
        """Finds out before any work whether its results can be kept.

        Raises:
            RunError: They cannot.
        """
        for folder in (self.path, self.outputs, self.checkpoint.parent):
            try:
                if folder.exists():
                    tempfile.TemporaryFile(dir=folder).close()
            except OSError as error:
                raise RunError(
                    f"The run folder {self.path} cannot be written ({folder}: {error.strerror or error}); "
                    "see to the space and the permissions there, or work on a copy of it."
                ) from None

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """Opens an existing run folder.

        Raises:
            RunError: There is none, or it holds no run.
        """
        folder = cls(path)
        if not path.is_dir():
            if path.suffix == ".nfz":
                raise RunError(f"{path} is no run but a compressed picture, which `neufield render` alone takes.")
            raise RunError(f"There is no run folder {path}; `neufield nerf`, `image` and `video` write them to runs/.")
        if not folder._is_run():
            raise RunError(f"{path} is not a run: it has no config.yaml that neufield wrote.")
        return folder

    def _holds_nothing(self) -> bool:
        """Whether it is a folder that is empty, or as one was whose run was killed before it wrote its config.yaml."""
        partial = tuple(self.path.glob(".config.*.partial.yaml"))
        begun = (*partial, self.outputs) if self.outputs.is_dir() else partial
        return self.path.is_dir() and all(path in begun for path in self.path.rglob("*"))

    @property
    def task(self) -> str | None:
        """Which command trained it: "nerf", "image" or "video"; None where there is no run.

        Other programs have a config.yaml as well; ours begins with its task.
        """
        if not self.config.is_file():
            return None
        with self.config.open(encoding="utf-8", errors="replace") as file:
            key, _, value = file.readline().partition(":")
        return value.strip() if key == "task" else None

    def _is_run(self) -> bool:
        return self.task is not None

    @property
    def name(self) -> str:
        """What the run is called, also where the path is `.`."""
        return self.path.resolve().name

    @property
    def config(self) -> Path:
        """Every setting, as resolved."""
        return self.path / "config.yaml"

    @property
    def checkpoint(self) -> Path:
        """The last checkpoint."""
        return self.path / "checkpoint" / "latest.safetensors"

    @property
    def metrics(self) -> Path:
        """A line per logged step."""
        return self.path / "metrics.jsonl"

    @property
    def evaluation(self) -> Path:
        """Held-out numbers, with the protocol."""
        return self.path / "evaluation.json"

    @property
    def report(self) -> Path:
        """The page for people."""
        return self.path / "report.html"

    @property
    def outputs(self) -> Path:
        """Renders, meshes, videos."""
        return self.path / "outputs"

    def write_text(self, path: Path, text: str) -> None:
        """Writes one of the run's files, whole or not at all."""
        with whole_file(path) as aside:
            aside.write_text(text, encoding="utf-8")

    def remove_partial_files(self) -> None:
        """Removes what a run that was killed while writing left beside its files."""
        for path in self.path.rglob(".*.partial*"):
            path.unlink(missing_ok=True)

    def log(self, line: dict[str, Any]) -> None:
        """Appends one line to the metrics.

        Raises:
            RunError: It cannot be written.
        """
        try:
            with self.metrics.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")
        except OSError as error:
            raise RunError(
                f"{self.metrics} cannot be written ({error.strerror or error}); see to the space and the permissions "
                f"there, and go on by `neufield resume {self.path}`."
            ) from None

    def read_metrics(self) -> list[dict[str, Any]]:
        """All lines of the metrics; a last line that was cut short by a crash is left out."""
        if not self.metrics.exists():
            return []
        lines: list[dict[str, Any]] = []
        for text in self.metrics.read_text(encoding="utf-8").splitlines():
            try:
                lines.append(json.loads(text))
            except json.JSONDecodeError:
                continue
        return lines

    def rewind_metrics(self, step: int) -> None:
        """Drops the lines of steps after `step`: they will be made again."""
        kept = [json.dumps(line) + "\n" for line in self.read_metrics() if line.get("step", 0) <= step]
        self.write_text(self.metrics, "".join(kept))
