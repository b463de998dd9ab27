"""`neufield bench image`: a picture fitted as a field, every CPU backend side by side in one run."""

import statistics
import time

import torch
from torch import Tensor

from ...configs.run_options import Backend
from ...datasets import synthetic_scene
from ...fields import MLP, Adam, CoordinateField, HashGrid
from ..device import quiet_torch_threads
from ..metrics import psnr
from ..nerf.model import blend
from ..progress import Progress
from .rows import Row
from .siren import bench_siren

_SIDE = 512
_POINTS = 1 << 15
_SCORED_STEPS = (100, 200, 400)
_RATE = 1e-2


class _Fit:
    """A hash grid and a small network that learn a picture's colours at random places."""

    def __init__(self, picture: Tensor, backend: Backend) -> None:
        grid = HashGrid(2, levels=12, features=2, log2_table_size=15, coarsest=16, finest=_SIDE / 2, backend=backend)
        self.field = CoordinateField(grid, MLP(grid.out_features, 3, backend=backend))
        self.optimizer = Adam(self.field.parameters(), rate=_RATE, sparse=True, backend=backend)
        self.picture, self.generator = picture, torch.Generator().manual_seed(0)

    def step(self) -> None:
        """One step on random pixels."""
        height, width = self.picture.shape[:2]
        chosen = torch.randint(height * width, (_POINTS,), generator=self.generator)
        found = self.field(self._places(chosen))
        torch.nn.functional.mse_loss(found, self.picture.view(-1, 3)[chosen]).backward()
        self.optimizer.step()
        self.optimizer.zero_grad()

    def score(self) -> float:
        """PSNR over all pixels, dB."""
        with torch.no_grad():
            found = self.field(self._places(torch.arange(self.picture[..., 0].numel())))
        return psnr(found.clamp(0.0, 1.0).view_as(self.picture), self.picture)

    def _places(self, pixels: Tensor) -> Tensor:
        """Pixels' middles in the unit square."""
        height, width = self.picture.shape[:2]
        return torch.stack([(pixels % width + 0.5) / width, (pixels // width + 0.5) / height], dim=1)


def bench_image(*, repeats: int = 7, progress: Progress) -> list[Row]:
    """Times a step of every backend on a picture of the built-in scene, and scores what the fast one has learned.

    Then a SIREN's step, see `bench_siren`.

    Args:
        repeats: Timed steps per backend; they alternate, and the median counts.
        progress: Told what happens.
    """
    photo = synthetic_scene(train_views=1, test_views=1, size=_SIDE).train.image(0)
    picture = blend(photo, torch.ones(3))
    threads = torch.get_num_threads()
    with quiet_torch_threads(torch.device("cpu")):
        fits: dict[Backend, _Fit] = {"numba": _Fit(picture, "numba"), "reference": _Fit(picture, "reference")}
        times: dict[Backend, list[float]] = {backend: [] for backend in fits}
        progress.say(f"A picture of {_SIDE}x{_SIDE}, {_POINTS} pixels a step; {repeats} steps of each backend in turn.")
        for turn in range(repeats + 1):
            for backend, fit in fits.items():
                torch.set_num_threads(threads if backend == "reference" else 1)
                start = time.perf_counter()
                fit.step()
                if turn:  # the first step compiles
                    times[backend].append(time.perf_counter() - start)
        torch.set_num_threads(1)
        fast, slow = (statistics.median(times[backend]) for backend in fits)
        rows = [
            Row("image step, numba", fast * 1e3, "ms", "reference", slow / fast),
            Row("image step, reference", slow * 1e3, "ms"),
            Row("pixels learned, numba", _POINTS / fast / 1e6, "M/s"),
        ]
        progress.say(f"{_SCORED_STEPS[-1]} steps with numba.")
        fit, done = _Fit(picture, "numba"), 0
        for steps in _SCORED_STEPS:
            for _ in range(steps - done):
                fit.step()
            done = steps
            rows.append(Row(f"PSNR after {steps} steps, all pixels", fit.score(), "dB"))
    return rows + bench_siren(repeats=repeats, progress=progress)
