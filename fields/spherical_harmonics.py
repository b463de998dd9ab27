"""Real spherical harmonics of directions, up to band 3: what a colour needs to know of the view."""

import math
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn

from .features import check_features

Degree = Literal[1, 2, 3, 4]

# Factors that make each polynomial's square integrate to 1 over the unit sphere, named by band and order |m|.
_B0 = math.sqrt(1 / (4 * math.pi))
_B1 = math.sqrt(3 / (4 * math.pi))
_B2M0, _B2M1, _B2M2 = (math.sqrt(k / math.pi) for k in (5 / 16, 15 / 4, 15 / 16))
_B3M0, _B3M1, _B3M2, _B3M3 = (math.sqrt(k / math.pi) for k in (7 / 16, 21 / 32, 105 / 16, 35 / 32))


class SphericalHarmonics(nn.Module):
    """Encodes unit directions by their real spherical harmonics; see `spherical_harmonics`.

    Args:
        degree: Number of bands, 1 to 4: 1, 4, 9 or 16 values.

    Raises:
        ValueError: There is no such degree.
    """

    def __init__(self, degree: Degree = 4) -> None:
        super().__init__()
        _check_degree(degree)
        self.in_features = 3
        self.out_features = degree * degree
        self.degree: Degree = degree

    def forward(self, x: Float[Tensor, "*batch in"]) -> Float[Tensor, "*batch out"]:
        """Encodes unit directions (..., 3)."""
        check_features(x, 3, self)
        return spherical_harmonics(x, degree=self.degree)

    def extra_repr(self) -> str:
        """What `print(module)` shows."""
        return f"degree={self.degree}"


def spherical_harmonics(
    directions: Float[Tensor, "*batch 3"], *, degree: Degree = 4
) -> Float[Tensor, "*batch harmonics"]:
    """Evaluates the real spherical harmonics of bands 0 to degree - 1 as polynomials in x, y, z.

        1/2 sqrt(1/pi);    sqrt(3/(4 pi)) (-y, z, -x);    sqrt(15/(4 pi)) (xy, -yz, ..., -xz, ...);    ...

    Ordered by band l, then by m = -l..l, with the Condon-Shortley sign: the order and signs of tiny-cuda-nn
    and instant-ngp.

    Args:
        directions: Unit vectors in [-1, 1], not mapped to [0, 1]. Others are not normalised: the polynomials are just
            evaluated.
        degree: Number of bands, 1 to 4.

    Returns:
        degree^2 values per direction, orthonormal over the unit sphere.

    Raises:
        ValueError: There is no such degree.
    """
    _check_degree(degree)
    x, y, z = directions.unbind(dim=-1)
    values = [torch.full_like(x, _B0)]
    if degree > 1:
        values += [-_B1 * y, _B1 * z, -_B1 * x]
    if degree > 2:
        values += _band_2(x, y, z)
    if degree > 3:
        values += _band_3(x, y, z)
    # In memory [harmonic, direction]: every value is written for all directions at once, and networks read it so.
    return torch.stack(values).movedim(0, -1)


def _band_2(x: Tensor, y: Tensor, z: Tensor) -> list[Tensor]:
    return [
        _B2M1 * x * y,
        -_B2M1 * y * z,
        _B2M0 * (3 * z * z - 1),
        -_B2M1 * x * z,
        _B2M2 * (x * x - y * y),
    ]


def _band_3(x: Tensor, y: Tensor, z: Tensor) -> list[Tensor]:
    xx, yy, zz = x * x, y * y, z * z
    return [
        -_B3M3 * y * (3 * xx - yy),
        2 * _B3M2 * x * y * z,
        -_B3M1 * y * (5 * zz - 1),
        _B3M0 * z * (5 * zz - 3),
        -_B3M1 * x * (5 * zz - 1),
        _B3M2 * z * (xx - yy),
        -_B3M3 * x * (xx - 3 * yy),
    ]


def _check_degree(degree: int) -> None:
    if degree not in (1, 2, 3, 4):
        raise ValueError(f"Spherical harmonics are there for degree 1, 2, 3 or 4, found {degree}.")
