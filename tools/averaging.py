"""A running average of the weights: what pictures are made with."""

from collections.abc import Generator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

_EVERY = 8


class WeightAverage:
    """Exponential moving average of a module's parameters.

        average = decay^8 average + (1 - decay^8) weights,    every 8 steps

    Args:
        module: Whose parameters; integer buffers and the like are not averaged.
        decay: Per step, in [0, 1); 0 keeps the latest weights.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self._parameters = dict(module.named_parameters())
        self._keep = decay**_EVERY
        self.tensors: dict[str, Tensor] = {
            name: parameter.detach().clone() for name, parameter in self._parameters.items() if decay > 0.0
        }

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Takes the weights after `step` into account."""
        if step % _EVERY == 0:
            for name, average in self.tensors.items():
                average.lerp_(self._parameters[name], 1.0 - self._keep)

    @contextmanager
    def applied(self) -> Generator[None]:
        """Inside the `with` block the module's parameters are the average."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    def _swap(self) -> None:
        for name, average in self.tensors.items():
            parameter = self._parameters[name]
            self.tensors[name], parameter.data = parameter.data, average
