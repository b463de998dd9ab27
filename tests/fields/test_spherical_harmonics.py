"""Spherical harmonics: the closed form, orthonormality, and what a rotation does to them."""

import math

import numpy as np
import pytest
import torch

from neufield.fields import SphericalHarmonics, spherical_harmonics

BANDS = [(0, 1), (1, 4), (4, 9), (9, 16)]


def sphere_quadrature(count: int = 8) -> tuple[torch.Tensor, torch.Tensor]:
    """Directions and weights that integrate polynomials up to degree 2 count - 1 over the unit sphere exactly."""
    z, weights = np.polynomial.legendre.leggauss(count)
    turns = 2 * math.pi * np.arange(2 * count) / (2 * count)
    z, phi = np.meshgrid(z, turns, indexing="ij")
    radius = np.sqrt(1 - z**2)
    directions = np.stack([radius * np.cos(phi), radius * np.sin(phi), z], axis=-1).reshape(-1, 3)
    return torch.from_numpy(directions), torch.from_numpy(np.repeat(weights * math.pi / count, 2 * count))


def random_rotation(seed: int) -> torch.Tensor:
    """A rotation matrix, drawn uniformly."""
    matrix = torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    rotation, _ = torch.linalg.qr(matrix)
    return rotation * torch.linalg.det(rotation)


def associated_legendre(band: int, order: int, z: np.ndarray) -> np.ndarray:
    """P_l^m with the Condon-Shortley sign, from Rodrigues' formula."""
    derivative = np.polynomial.Polynomial([-1, 0, 1]) ** band
    for _ in range(band + order):
        derivative = derivative.deriv()
    return (-1) ** order * (1 - z**2) ** (order / 2) * derivative(z) / (2**band * math.factorial(band))


def test_values_are_those_of_the_textbook_definition():
    directions, _ = sphere_quadrature()
    x, y, z = directions.numpy().T
    phi = np.arctan2(y, x)
    columns = []
    for band in range(4):
        for m in range(-band, band + 1):
            order = abs(m)
            ratio = math.factorial(band - order) / math.factorial(band + order)
            factor = math.sqrt((2 if m else 1) * (2 * band + 1) / (4 * math.pi) * ratio)
            wave = np.cos(order * phi) if m >= 0 else np.sin(order * phi)
            columns.append(factor * wave * associated_legendre(band, order, z))
    expected = torch.from_numpy(np.stack(columns, axis=-1))
    torch.testing.assert_close(spherical_harmonics(directions), expected, rtol=0, atol=1e-12)


def test_order_and_signs_are_those_of_the_field():
    """Figures as printed in tables of real spherical harmonics."""
    direction = torch.tensor([0.48, 0.6, 0.64], dtype=torch.float64)
    x, y, z = direction.tolist()
    expected = [
        0.28209479,
        -0.48860251 * y,
        0.48860251 * z,
        -0.48860251 * x,
        1.09254843 * x * y,
        -1.09254843 * y * z,
        0.94617470 * z * z - 0.31539157,
        -1.09254843 * x * z,
        0.54627422 * (x * x - y * y),
        0.59004359 * y * (-3 * x * x + y * y),
        2.89061144 * x * y * z,
        0.45704580 * y * (1 - 5 * z * z),
        0.37317633 * z * (5 * z * z - 3),
        0.45704580 * x * (1 - 5 * z * z),
        1.44530572 * z * (x * x - y * y),
        0.59004359 * x * (-x * x + 3 * y * y),
    ]
    values = spherical_harmonics(direction)
    torch.testing.assert_close(values, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-7)


def test_orthonormal_over_the_sphere():
    directions, weights = sphere_quadrature()
    values = spherical_harmonics(directions)
    gram = torch.einsum("ni,n,nj->ij", values, weights, values)
    torch.testing.assert_close(gram, torch.eye(16, dtype=torch.float64), rtol=0, atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_rotation_mixes_only_within_a_band(seed: int):
    directions, weights = sphere_quadrature()
    values, rotated = spherical_harmonics(directions), spherical_harmonics(directions @ random_rotation(seed).T)
    mixing = torch.einsum("ni,n,nj->ij", rotated, weights, values)
    for start, end in BANDS:
        block = mixing[start:end, start:end]
        torch.testing.assert_close(block @ block.T, torch.eye(end - start, dtype=torch.float64), rtol=0, atol=1e-12)
        mixing[start:end, start:end] = 0
    assert mixing.abs().max() < 1e-12


@pytest.mark.parametrize("degree", [1, 2, 3, 4])
@pytest.mark.parametrize("batch", [(), (0,), (5,), (2, 3)])
def test_lower_degrees_are_a_prefix_and_shapes_hold(degree: int, batch: tuple[int, ...]):
    directions = torch.nn.functional.normalize(torch.randn(*batch, 3), dim=-1)
    encoding = SphericalHarmonics(degree=degree)
    values = encoding(directions)
    assert values.shape == (*batch, degree**2)
    assert encoding.out_features == degree**2
    assert values.dtype == torch.float32
    assert torch.equal(values, spherical_harmonics(directions)[..., : degree**2])


def test_differentiable():
    directions = torch.nn.functional.normalize(torch.randn(4, 3, dtype=torch.float64), dim=-1).requires_grad_()
    assert torch.autograd.gradcheck(SphericalHarmonics(), directions)


def test_other_degrees_and_sizes_are_refused():
    with pytest.raises(ValueError, match=r"takes tensors of shape \(\.\.\., 3\), found \(5, 2\)"):
        SphericalHarmonics()(torch.rand(5, 2))


@pytest.mark.parametrize("degree", [1, 2, 3, 4])
@pytest.mark.parametrize("shape", [(3,), (0, 3), (37, 3), (4, 5, 3)])
def test_values_do_not_depend_on_the_backend(degree, shape: tuple[int, ...]):
    """Nor on the layout in memory."""
    directions = torch.randn(*shape, generator=torch.Generator().manual_seed(0))
    found = spherical_harmonics(directions, degree=degree)
    assert found.shape == (*shape[:-1], degree * degree)
    truth = spherical_harmonics(directions, degree=degree, backend="reference")
    torch.testing.assert_close(found, truth, rtol=1e-5, atol=1e-5)
    strided = directions.movedim(-1, 0).contiguous().movedim(0, -1)
    assert torch.equal(spherical_harmonics(strided, degree=degree), found)


@pytest.mark.parametrize("count", [0, 1, 17, 1000])
@pytest.mark.parametrize("degree", [1, 2, 3, 4])
def test_gradients_do_not_depend_on_the_backend(degree, count: int):
    generator = torch.Generator().manual_seed(count)
    start = torch.randn(count, 3, generator=generator)
    slopes = torch.randn(count, degree * degree, generator=generator)
    found = []
    for backend in ("numba", "reference"):
        directions = start.clone().requires_grad_()
        spherical_harmonics(directions, degree=degree, backend=backend).backward(slopes)
        found.append(directions.grad)
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-5)
