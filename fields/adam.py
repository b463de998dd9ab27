"""Adam as hash grids need it: table entries without a gradient are left alone, and each value counts its own steps."""

from collections.abc import Callable, Iterable
from typing import Any

import torch

from . import kernels
from .kernels.dispatch import select


class Adam(torch.optim.Optimizer):
    """Adam with optional skipping of values whose gradient is exactly zero.

    A hash table's entry that no sample touched in a step keeps its value, its moments and its own step count, so that
    the bias correction of rarely touched entries is right. Kingma and Ba 2015; Müller et al. 2022, section 4.

    Args:
        parameters: Parameters or groups of them; a group may set every option below for itself.
        rate: Learning rate; `group["rate"]` may be changed between steps.
        betas: Decay of the two moments. Steps are counted to 4,096: with a beta above 0.995 the bias correction stays
            a little above 1 from there on.
        epsilon: Added to the root of the second moment.
        weight_decay: L2 penalty, added to the gradient.
        sparse: Whether values with zero gradient are skipped.
        backend: Which kernel runs the step, see `kernels.dispatch`.
    """

    def __init__(
        self,
        parameters: Iterable[Any],
        *,
        rate: float = 1e-2,
        betas: tuple[float, float] = (0.9, 0.99),
        epsilon: float = 1e-15,
        weight_decay: float = 0.0,
        sparse: bool = False,
        backend: str = "auto",
    ) -> None:
        if not rate >= 0.0 or not epsilon > 0.0 or not all(0.0 <= beta < 1.0 for beta in betas):
            raise ValueError(f"Adam needs rate >= 0, epsilon > 0 and betas in [0, 1); got {rate}, {epsilon}, {betas}.")
        defaults = {
            "rate": rate,
            "betas": betas,
            "epsilon": epsilon,
            "weight_decay": weight_decay,
            "sparse": sparse,
            "backend": backend,
        }
        super().__init__(parameters, defaults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Updates every parameter that has a gradient. A closure is not supported."""
        if closure is not None:
            raise ValueError("This Adam takes no closure: compute the gradients, then call step().")
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is not None:
                    self._update(parameter, group)

    def prepare(self, parameter: torch.nn.Parameter) -> dict[str, torch.Tensor]:
        """The parameter's state (mean, square, count), made if it has none yet."""
        state = self.state[parameter]
        if not state:
            state["mean"] = torch.zeros_like(parameter, memory_format=torch.contiguous_format)
            state["square"] = torch.zeros_like(parameter, memory_format=torch.contiguous_format)
            state["count"] = torch.zeros(parameter.shape, dtype=torch.int16, device=parameter.device)
        return state

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """As torch's, which turns the integer counts into floats."""
        super().load_state_dict(state_dict)
        for state in self.state.values():
            state["count"] = state["count"].to(torch.int16)

    def _update(self, parameter: torch.nn.Parameter, group: dict[str, Any]) -> None:
        if not parameter.is_contiguous():
            raise ValueError(
                f"Adam updates contiguous parameters, got strides {parameter.stride()}; make it contiguous."
            )
        state = self.prepare(parameter)
        assert parameter.grad is not None
        kernel = select(
            "adam",
            package=kernels.__name__,
            device=parameter.device,
            dtype=parameter.dtype,
            backend=group["backend"],
        )
        kernel.step(
            parameter.view(-1),
            parameter.grad.reshape(-1).contiguous(),
            *(state[name].view(-1) for name in ("mean", "square", "count")),
            rate=group["rate"],
            beta1=group["betas"][0],
            beta2=group["betas"][1],
            epsilon=group["epsilon"],
            weight_decay=group["weight_decay"],
            sparse=group["sparse"],
        )
