"""Derivatives by autograd against closed forms and finite differences in float64."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

from neufield.fields import (
    MLP,
    CoordinateField,
    Finer,
    FourierFeatures,
    FrequencyEncoding,
    Identity,
    ReLUNetwork,
    Siren,
    Wire,
    divergence,
    gradient,
    jacobian,
    laplacian,
    slope_along,
)
from neufield.fields.hash_grid import HashGrid

ALL = [gradient, jacobian, divergence, laplacian]


def points(count: int = 20, dimensions: int = 3) -> Tensor:
    """Points in [-1, 1]."""
    generator = torch.Generator().manual_seed(count)
    return torch.rand(count, dimensions, dtype=torch.float64, generator=generator) * 2 - 1


def polynomial(x: Tensor) -> Tensor:
    """x^2 y + z and x y z."""
    a, b, c = x.unbind(dim=1)
    return torch.stack([a * a * b + c, a * b * c], dim=1)


def smooth_fields(out_features: int) -> dict[str, nn.Module]:
    """A SIREN and two frequency fields over three dimensions, in float64, and the fields of other networks."""
    head = Siren(3, out_features, width=24, hidden_layers=1, omega_0=4.0, hidden_omega_0=4.0)
    frequency, fourier = (
        FrequencyEncoding(3, octaves=3, include_input=True),
        FourierFeatures(3, frequencies=8, sigma=0.5),
    )
    fields = {
        "siren": CoordinateField(Identity(3), head),
        "frequency": CoordinateField(frequency, nn.Linear(frequency.out_features, out_features)),
        "fourier": CoordinateField(fourier, nn.Linear(16, out_features)),
        "finer": Finer(3, out_features, width=24, hidden_layers=1, omega_0=3.0, hidden_omega_0=3.0, first_bias=1.0),
        "wire": Wire(3, out_features, width=12, hidden_layers=1, omega=3.0, s=1.0),
        "frequency, siren": CoordinateField(frequency, Siren(21, out_features, width=24, omega_0=1.0)),
    }
    return {name: field.double() for name, field in fields.items()}


def angular_fields(out_features: int) -> dict[str, nn.Module]:
    """Fields that are smooth between kinks, along which nothing is differentiable; in float64."""
    frequency, grid = FrequencyEncoding(3, octaves=3), HashGrid(3, levels=4, coarsest=4, growth=1.5)
    nn.init.uniform_(grid.table, -1.0, 1.0)
    fields = {
        "relu": ReLUNetwork(3, out_features, width=24),
        "frequency, relu": CoordinateField(frequency, ReLUNetwork(frequency.out_features, out_features, width=24)),
        "hash grid, mlp": CoordinateField(grid, MLP(grid.out_features, out_features, width=16)),
    }
    return {name: field.double() for name, field in fields.items()}


SMOOTH, ANGULAR = list(smooth_fields(1)), list(angular_fields(1))


def central_jacobian(field: Callable[[Tensor], Tensor], x: Tensor, step: float = 1e-5) -> Tensor:
    """Central differences, error about step^2."""
    steps = step * torch.eye(x.shape[1], dtype=x.dtype)
    return torch.stack([(field(x + e) - field(x - e)) / (2 * step) for e in steps], dim=-1).detach()


def test_closed_forms_of_a_polynomial():
    x = points()
    a, b, c = x.unbind(dim=1)
    one, zero = torch.ones_like(a), torch.zeros_like(a)
    expected = torch.stack(
        [torch.stack([2 * a * b, a * a, one], dim=1), torch.stack([b * c, a * c, a * b], dim=1)], dim=1
    )
    torch.testing.assert_close(jacobian(polynomial, x), expected)
    torch.testing.assert_close(gradient(lambda p: polynomial(p)[:, :1], x), expected[:, 0])
    torch.testing.assert_close(laplacian(polynomial, x), torch.stack([2 * b, zero], dim=1))


def test_divergence_and_laplacian_of_closed_forms():
    x = points()
    torch.testing.assert_close(divergence(lambda p: p, x), torch.full((20,), 3.0, dtype=torch.float64))
    curl = torch.tensor([[0.0, -1, 0], [1, 0, 0], [0, 0, 0]], dtype=torch.float64)
    torch.testing.assert_close(divergence(lambda p: p @ curl.T, x), torch.zeros(20, dtype=torch.float64))
    harmonic = laplacian(lambda p: 1 / p.norm(dim=1, keepdim=True), x + 2.0)
    torch.testing.assert_close(harmonic, torch.zeros(20, 1, dtype=torch.float64), rtol=0, atol=1e-12)
    gaussian = laplacian(lambda p: torch.exp(-p.square().sum(dim=1, keepdim=True)), x)
    squared = x.square().sum(dim=1, keepdim=True)
    torch.testing.assert_close(gaussian, (4 * squared - 6) * torch.exp(-squared))


@pytest.mark.parametrize("name", [*SMOOTH, *ANGULAR])
def test_first_derivatives_agree_with_finite_differences(name: str):
    field, x = {**smooth_fields(3), **angular_fields(3)}[name], points()
    if name.startswith("hash grid"):
        x = (x + 1) / 2 * 0.9 + 0.05
    expected = central_jacobian(field, x)
    torch.testing.assert_close(jacobian(field, x), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(divergence(field, x), torch.einsum("nii->n", expected), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(gradient(lambda p: field(p)[:, 1:2], x), expected[:, 1], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", SMOOTH)
def test_second_derivatives_agree_with_finite_differences(name: str):
    field, x = smooth_fields(2)[name], points()
    second = central_jacobian(lambda p: jacobian(field, p).flatten(start_dim=1), x).reshape(20, 2, 3, 3)
    expected = torch.einsum("ncii->nc", second)
    assert expected.abs().max() > 0.1
    torch.testing.assert_close(laplacian(field, x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ANGULAR)
def test_second_derivatives_between_kinks_agree_with_finite_differences(name: str):
    field, x = angular_fields(2)[name], (points() + 1) / 2 * 0.9 + 0.05
    second = central_jacobian(lambda p: jacobian(field, p).flatten(start_dim=1), x, 1e-6).reshape(20, 2, 3, 3)
    torch.testing.assert_close(laplacian(field, x), torch.einsum("ncii->nc", second), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", [*SMOOTH, *ANGULAR])
def test_all_second_derivatives_agree_with_finite_differences(name: str):
    field, x = {**smooth_fields(2), **angular_fields(2)}[name], (points() + 1) / 2 * 0.9 + 0.05
    step = 1e-5 if name in SMOOTH else 1e-6
    expected = central_jacobian(lambda p: jacobian(field, p).flatten(start_dim=1), x, step)
    found = jacobian(lambda p: jacobian(field, p, create_graph=True).flatten(start_dim=1), x)
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", [*SMOOTH, *ANGULAR])
def test_a_field_s_own_way_gives_what_autograd_does(name: str):
    field, x = {**smooth_fields(3), **angular_fields(3)}[name], (points() + 1) / 2
    for operator in (jacobian, divergence, laplacian):
        torch.testing.assert_close(operator(field, x), operator(lambda p: field(p), x))
    torch.testing.assert_close(gradient(lambda p: field(p)[:, :1], x), jacobian(field, x)[:, 0])
    along = points(20, 3)
    torch.testing.assert_close(slope_along(field, x, along), torch.einsum("ncd,nd->nc", jacobian(field, x), along))


@pytest.mark.parametrize("name", ["siren", "finer"])
def test_a_kernel_s_derivatives_and_their_gradients_are_autograd_s(name: str):
    found: list[list[Tensor]] = []
    for hidden in (False, True):
        field = smooth_fields(3)[name].float()
        x = points().float().requires_grad_()
        total = torch.zeros(())
        for operator in (jacobian, divergence, laplacian):
            result = operator((lambda p, f=field: f(p)) if hidden else field, x, create_graph=True)
            total = total + result.square().mean()
        found.append([*torch.autograd.grad(total, [x, *field.parameters()])])
    for own, autograd in zip(*found):
        assert (own - autograd).norm() <= 1e-4 * autograd.norm()


def test_laplacian_is_the_divergence_of_the_gradient():
    field, x = smooth_fields(1)["siren"], points()
    composed = divergence(lambda p: gradient(field, p, create_graph=True), x)
    torch.testing.assert_close(laplacian(field, x)[:, 0], composed)


@pytest.mark.parametrize("operator", ALL)
def test_results_are_detached_unless_a_graph_is_asked_for(operator: Callable[..., Tensor]):
    field, x = smooth_fields(3 if operator is divergence else 1)["siren"], points()
    assert not operator(field, x).requires_grad
    result = operator(field, x, create_graph=True)
    result.square().sum().backward()
    assert all(p.grad is not None for p in field.network.parameters())
    assert torch.equal(result.detach(), operator(field, x))


@pytest.mark.parametrize("operator", ALL)
def test_gradients_with_respect_to_parameters_pass_gradcheck(operator: Callable[..., Tensor]):
    x = points(3, 2)
    weight = torch.rand(2 if operator is divergence else 1, 2, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda w: operator(lambda p: torch.sin(p @ w.T), x, create_graph=True), weight)


def test_what_the_coordinates_were_computed_from_stays_attached_with_a_graph():
    shift = torch.zeros(3, dtype=torch.float64, requires_grad=True)
    result = gradient(lambda p: (p**3).sum(dim=1, keepdim=True), points() + shift, create_graph=True)
    result.sum().backward()
    torch.testing.assert_close(shift.grad, 6 * points().sum(dim=0))


@pytest.mark.parametrize("operator", ALL)
def test_works_without_gradients_around_and_leaves_the_input_alone(operator: Callable[..., Tensor]):
    x = points()
    with torch.no_grad():
        result = operator(lambda p: torch.sin(p) if operator is divergence else torch.sin(p[:, :1]), x)
    assert result.abs().max() > 0
    assert not x.requires_grad
    assert x.grad is None


FLAT = {
    "constant": lambda p: torch.full((len(p), 3), 2.0, dtype=p.dtype),
    "parameter": lambda p: nn.Parameter(torch.ones(3, dtype=p.dtype)).expand(len(p), 3),
    "affine": nn.Linear(3, 3, dtype=torch.float64),
    "relu": nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 3)).double(),
    "rounding": lambda p: torch.round(4 * p),
    "one coordinate": lambda p: p[:, :1].expand(-1, 3),
}


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("name", FLAT)
def test_fields_without_curvature_give_zeros(name: str, create_graph: bool):
    field, x = FLAT[name], points(5)
    assert torch.equal(laplacian(field, x, create_graph=create_graph), torch.zeros_like(x))
    slopes = jacobian(field, x, create_graph=create_graph)
    assert slopes.shape == (5, 3, 3)
    torch.testing.assert_close(divergence(field, x), torch.einsum("nii->n", slopes.detach()))


def test_a_hash_grid_has_slopes_and_below_a_sine_also_curvature():
    grid = HashGrid(3, levels=2, log2_table_size=10, coarsest=4, growth=1.5)
    torch.nn.init.uniform_(grid.table, -1.0, 1.0)
    linear = CoordinateField(grid, nn.Linear(grid.out_features, 2)).double()
    curved = CoordinateField(grid, Siren(grid.out_features, 2, width=8, omega_0=3.0)).double()
    x = (points() + 1) / 2 * 0.9 + 0.05
    torch.testing.assert_close(jacobian(linear, x), central_jacobian(linear, x, 1e-7), rtol=1e-5, atol=1e-5)
    assert torch.equal(laplacian(linear, x), torch.zeros(20, 2, dtype=torch.float64))
    assert laplacian(curved, x).abs().max() > 0.1


@pytest.mark.parametrize("count", [0, 1])
def test_shapes_with_few_points_and_no_values(count: int):
    x = points(count)
    assert gradient(lambda p: p[:, :1], x).shape == (count, 3)
    assert jacobian(polynomial, x).shape == (count, 2, 3)
    assert divergence(lambda p: p, x).shape == (count,)
    assert laplacian(polynomial, x).shape == (count, 2)
    assert jacobian(lambda p: p[:, :0], x).shape == (count, 0, 3)
    assert laplacian(lambda p: p[:, :0], x).shape == (count, 0)


def test_float32_stays_float32():
    assert laplacian(Siren(3, 1, width=8), points().float()).dtype == torch.float32


def test_values_of_the_wrong_shape_are_refused():
    x = points(4)
    for operator in ALL:
        with pytest.raises(ValueError, match=r"must give values \(4, c\) at coordinates \(4, 3\), found \(4,\)"):
            operator(lambda p: p[:, 0], x)
    with pytest.raises(ValueError, match=r"gradient wants a field of 1 value per point, found 2\. Use jacobian"):
        gradient(polynomial, x)
    with pytest.raises(ValueError, match=r"as many values as coordinates, \(4, 3\), found \(4, 2\)\. Use jacobian"):
        divergence(polynomial, x)
