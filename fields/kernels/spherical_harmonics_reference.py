"""Real spherical harmonics in plain torch, on any device and dtype; differentiable by autograd to any order."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

# Factors that make each polynomial's square integrate to 1 over the unit sphere, named by band and order |m|.
B0 = math.sqrt(1 / (4 * math.pi))
B1 = math.sqrt(3 / (4 * math.pi))
B2M0, B2M1, B2M2 = (math.sqrt(k / math.pi) for k in (5 / 16, 15 / 4, 15 / 16))
B3M0, B3M1, B3M2, B3M3 = (math.sqrt(k / math.pi) for k in (7 / 16, 21 / 32, 105 / 16, 35 / 32))


def supports(device: str, dtype: torch.dtype) -> str | None:
    """Runs wherever torch does."""
    del device, dtype


def evaluate(directions: Float[Tensor, "*batch 3"], degree: int) -> Float[Tensor, "*batch harmonics"]:
    """See `fields.spherical_harmonics`."""
    x, y, z = directions.unbind(dim=-1)
    values = [B0 + 0.0 * x]  # part of the graph, though it is constant
    if degree > 1:
        values += [-B1 * y, B1 * z, -B1 * x]
    if degree > 2:
        values += _band_2(x, y, z)
    if degree > 3:
        values += _band_3(x, y, z)
    # In memory [harmonic, direction]: every value is written for all directions at once, and networks read it so.
    return torch.stack(values).movedim(0, -1)


def forward(directions: Float[Tensor, "samples 3"], degree: int) -> Float[Tensor, "samples harmonics"]:
    """Without gradients."""
    with torch.no_grad():
        return evaluate(directions, degree)


def backward(
    directions: Float[Tensor, "samples 3"], gradient: Float[Tensor, "samples harmonics"], degree: int
) -> Float[Tensor, "samples 3"]:
    """Gradient of `sum(gradient * forward(directions))` by the directions."""
    with torch.enable_grad():
        directions = directions.detach().requires_grad_()
        (found,) = torch.autograd.grad(evaluate(directions, degree), directions, gradient)
    return found


def _band_2(x: Tensor, y: Tensor, z: Tensor) -> list[Tensor]:
    return [
        B2M1 * x * y,
        -B2M1 * y * z,
        B2M0 * (3 * z * z - 1),
        -B2M1 * x * z,
        B2M2 * (x * x - y * y),
    ]


def _band_3(x: Tensor, y: Tensor, z: Tensor) -> list[Tensor]:
    xx, yy, zz = x * x, y * y, z * z
    return [
        -B3M3 * y * (3 * xx - yy),
        2 * B3M2 * x * y * z,
        -B3M1 * y * (5 * zz - 1),
        B3M0 * z * (5 * zz - 3),
        -B3M1 * x * (5 * zz - 1),
        B3M2 * z * (xx - yy),
        -B3M3 * x * (xx - 3 * yy),
    ]
