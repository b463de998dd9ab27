"""Real spherical harmonics of directions, up to band 3: what a colour needs to know of the view."""

from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from . import kernels
from .features import check_features
from .kernels import spherical_harmonics_reference
from .kernels.dispatch import select

Degree = Literal[1, 2, 3, 4]


class SphericalHarmonics(nn.Module):
    """Encodes unit directions by their real spherical harmonics; see `spherical_harmonics`.

    Args:
        degree: Number of bands, 1 to 4: 1, 4, 9 or 16 values.
        backend: Which kernel runs, see `kernels.dispatch`.

    Raises:
        ValueError: There is no such degree.
    """

    def __init__(self, degree: Degree = 4, *, backend: str = "auto") -> None:
        super().__init__()
        _check_degree(degree)
        self.in_features = 3
        self.out_features = degree * degree
        self.degree: Degree = degree
        self.backend = backend

    def forward(self, x: Float[Tensor, "*batch in"]) -> Float[Tensor, "*batch out"]:
        """Encodes unit directions (..., 3)."""
        check_features(x, 3, self)
        return spherical_harmonics(x, degree=self.degree, backend=self.backend)

    def extra_repr(self) -> str:
        """What `print(module)` shows."""
        return f"degree={self.degree}"


def spherical_harmonics(
    directions: Float[Tensor, "*batch 3"], *, degree: Degree = 4, backend: str = "auto"
) -> Float[Tensor, "*batch harmonics"]:
    """Evaluates the real spherical harmonics of bands 0 to degree - 1 as polynomials in x, y, z.

        1/2 sqrt(1/pi);    sqrt(3/(4 pi)) (-y, z, -x);    sqrt(15/(4 pi)) (xy, -yz, ..., -xz, ...);    ...

    Ordered by band l, then by m = -l..l, with the Condon-Shortley sign: the order and signs of tiny-cuda-nn
    and instant-ngp.

    Args:
        directions: Unit vectors in [-1, 1], not mapped to [0, 1]. Others are not normalised: the polynomials are just
            evaluated.
        degree: Number of bands, 1 to 4.
        backend: Which kernel runs, see `kernels.dispatch`.

    Returns:
        degree^2 values per direction, orthonormal over the unit sphere.

    Raises:
        ValueError: There is no such degree.
    """
    _check_degree(degree)
    values: Tensor = _Evaluate.apply(directions.reshape(-1, 3), degree, backend)  # pyright: ignore
    return values if directions.ndim == 2 else values.reshape(*directions.shape[:-1], degree * degree)


class _Evaluate(torch.autograd.Function):
    """Owns autograd for every backend; second derivatives go through the reference."""

    @staticmethod
    def forward(ctx: Any, directions: Tensor, degree: Degree, backend: str) -> Tensor:
        ctx.save_for_backward(directions)
        ctx.degree = degree
        ctx.kernel = select(
            "spherical_harmonics",
            package=kernels.__name__,
            device=directions.device,
            dtype=directions.dtype,
            backend=backend,
        )
        return ctx.kernel.forward(directions, degree)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        (directions,) = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph: the gradient itself must be differentiable
            values = spherical_harmonics_reference.evaluate(directions, ctx.degree)
            (found,) = torch.autograd.grad(values, directions, gradients[0], create_graph=True)
        else:
            found = ctx.kernel.backward(directions, gradients[0], ctx.degree)
        return found, None, None


def _check_degree(degree: int) -> None:
    if degree not in (1, 2, 3, 4):
        raise ValueError(f"Spherical harmonics are there for degree 1, 2, 3 or 4, found {degree}.")
