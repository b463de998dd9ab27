"""A SIREN's training step beside that of plain PyTorch, in one run."""

import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ...fields import Adam, Siren
from ..device import quiet_torch_threads
from ..progress import Progress
from .rows import Row

_POINTS = 1 << 14
_RATE = 1e-4


class _Sine(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.sin(30.0 * x)


def bench_siren(*, repeats: int, progress: Progress) -> list[Row]:
    """Times a step of the SIREN that fits pictures: forward, backward and Adam, ours and plain PyTorch's in turn.

    Both have the same layers and weights, 256 wide, two coordinates to three channels. Plain PyTorch is `nn.Linear`,
    `torch.sin` and `torch.optim.Adam`, on all threads.

    Args:
        repeats: Timed steps of each, of which the median counts.
        progress: Told what happens.
    """
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(_POINTS, 2, generator=generator) * 2 - 1
    target = torch.rand(_POINTS, 3, generator=generator)
    siren = Siren(2, 3)
    plain = _plain(siren)
    optimizer, plain_optimizer = Adam([siren.weights], rate=_RATE), torch.optim.Adam(plain.parameters(), lr=_RATE)
    threads = torch.get_num_threads()
    works = {
        "numba": (1, _step(siren, optimizer, x, target)),
        "PyTorch": (threads, _step(plain, plain_optimizer, x, target)),
    }
    times: dict[str, list[float]] = {name: [] for name in works}
    progress.say(
        f"A SIREN of 3 layers of 256 after the first, {_POINTS} pixels a step; {repeats} steps of each in turn."
    )
    with quiet_torch_threads(torch.device("cpu")):
        for turn in range(repeats + 2):
            for name, (torch_threads, step) in works.items():
                torch.set_num_threads(torch_threads)
                start = time.perf_counter()
                step()
                if turn > 1:  # the first steps compile and fetch memory
                    times[name].append(time.perf_counter() - start)
    ours, theirs = (statistics.median(times[name]) for name in works)
    return [
        Row("SIREN step, numba", ours * 1e3, "ms", "PyTorch", theirs / ours),
        Row("SIREN step, plain PyTorch", theirs * 1e3, "ms"),
    ]


def _plain(siren: Siren) -> nn.Sequential:
    """The same network in PyTorch's own modules."""
    modules: list[nn.Module] = []
    for weight, bias in siren.layers:
        linear = nn.Linear(weight.shape[1], weight.shape[0])
        linear.load_state_dict({"weight": weight.detach(), "bias": bias.detach()})
        modules += [linear, _Sine()]
    return nn.Sequential(*modules[:-1])


def _step(network: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, target: Tensor) -> Callable[[], None]:
    def step() -> None:
        nn.functional.mse_loss(network(x), target).backward()
        optimizer.step()
        optimizer.zero_grad()

    return step
