"""The folder of a run: what lies in it and under which name, complete at any moment."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .errors import RunError
from .whole_file import whole_file


@dataclass(frozen=True)
class RunFolder:
    """Paths of one run, and reading and writing of its small files."""

    path: Path

    @classmethod
    def create(cls, runs: Path, name: str, *, force: bool) -> "RunFolder":
        """Makes a new run folder.

        Raises:
            RunError: Something of that name exists; a run is replaced with `force`, anything else never.
        """
        if not name or name != Path(name).name or name in (".", ".."):
            raise RunError(f"A run's name is a plain folder name, got {name!r}; use --runs to put it elsewhere.")
        folder = cls(runs / name)
        if folder.path.exists():
            if not folder.config.is_file() and (not folder.path.is_dir() or any(folder.path.iterdir())):
                raise RunError(f"{folder.path} exists and is not a run; choose another --name or --runs.")
            if folder.config.is_file() and not force:
                raise RunError(
                    f"The run {folder.path} exists. Go on with it by `neufield resume {folder.path}`, "
                    "replace it with --force, or choose another --name."
                )
            shutil.rmtree(folder.path)
        try:
            folder.outputs.mkdir(parents=True)
        except OSError as error:
            raise RunError(f"The run folder {folder.path} cannot be made: {error.strerror}.") from None
        return folder

    @classmethod
    def open(cls, path: Path) -> "RunFolder":
        """Opens an existing run folder.

        Raises:
            RunError: There is none, or it holds no run.
        """
        folder = cls(path)
        if not path.is_dir():
            raise RunError(f"There is no run folder {path}. Train one first: `neufield nerf PHOTOS_FOLDER`.")
        if not folder.config.is_file():
            raise RunError(f"{path} is not a run: it has no config.yaml.")
        return folder

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

    @property
    def cache(self) -> Path:
        """Decoded photos that do not fit in memory; may be deleted at any time."""
        return self.path / "cache"

    def write_text(self, path: Path, text: str) -> None:
        """Writes one of the run's files, whole or not at all."""
        with whole_file(path) as aside:
            aside.write_text(text, encoding="utf-8")

    def log(self, line: dict[str, Any]) -> None:
        """Appends one line to the metrics."""
        with self.metrics.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")

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
