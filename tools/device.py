"""Which device a command runs on, how many threads torch may use beside the kernels, and that these are compiled."""

from collections.abc import Generator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from numba.core import event

from ..fields.kernels.numba_runtime import start_threads
from .progress import Progress


def choose_device(name: str) -> torch.device:
    """Turns auto, cpu, cuda or cuda:1 into a device that is there.

    Raises:
        ValueError: There is no such device, or the name means nothing.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise ValueError(f"--device takes auto, cpu, cuda or cuda:N, got {name!r}.") from None
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"--device takes auto, cpu, cuda or cuda:N, got {name!r}.")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(f"--device {name}: torch sees {torch.cuda.device_count()} CUDA devices. Use --device cpu.")
    return device


@contextmanager
def quiet_torch_threads(device: torch.device) -> Generator[None]:
    """Keeps torch to one thread on the CPU while numba's kernels have all cores.

    What torch does between two kernels is small; a second pool of threads that wakes and sleeps beside numba's costs
    more than it gains, and sums taken by one thread come out the same whatever the number of cores.
    """
    threads = torch.get_num_threads()
    if device.type == "cpu":
        start_threads()
        torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class _BeforeTheFirst(event.Listener):
    def __init__(self, progress: Progress) -> None:
        self._progress, self._told = progress, False

    def on_start(self, event: Any) -> None:
        if not self._told:
            self._told = True
            self._progress.say("Compiling kernels: about a minute, once on this machine.")

    def on_end(self, event: Any) -> None:
        pass


def compiling_told(progress: Progress) -> AbstractContextManager[Any]:
    """Inside the `with` block, it is said before kernels are compiled, and not where they are on the disk already."""
    return event.install_listener("numba:compile", _BeforeTheFirst(progress))
