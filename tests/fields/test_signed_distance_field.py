"""Signed distances: the sphere that they start as, and slopes that agree with the values."""

import pytest
import torch

from neufield.fields import CoordinateField, Identity, ReLUNetwork, Siren, gradient, laplacian
from neufield.fields.signed_distance_field import SignedDistanceField, grid_distance, siren_distance


def small_siren() -> SignedDistanceField:
    return siren_distance(width=16, hidden_layers=1, omega=5.0)


def small_grid(step: float = 1.0 / 64.0) -> SignedDistanceField:
    return grid_distance(levels=4, log2_table_size=12, coarsest=4, finest=16.0, width=16, hidden_layers=1, step=step)


def places(count: int = 50) -> torch.Tensor:
    return torch.rand(count, 3, generator=torch.Generator().manual_seed(1)) - 0.5


def test_a_grid_starts_as_a_sphere():
    x = places()
    distances = x.norm(dim=1) - 0.3
    with torch.no_grad():
        values, slopes = small_grid().values_and_slopes(x)
    assert torch.equal(values[distances.abs() > 0.01] > 0.0, distances[distances.abs() > 0.01] > 0.0)
    on_it = 0.3 * torch.nn.functional.normalize(x, dim=1)
    assert small_grid()(on_it).abs().max().item() < 2e-3
    outwards = torch.nn.functional.normalize(x, dim=1)
    assert (torch.nn.functional.normalize(slopes, dim=1) * outwards).sum(dim=1).min().item() > 0.95


@pytest.mark.parametrize("curved", [False, True])
def test_jets_are_those_of_autograd(curved: bool):
    field = small_siren().double()
    x, plain = places().double(), SignedDistanceField.forward
    own = laplacian(field, x) if curved else gradient(field, x)
    by_autograd = (laplacian if curved else gradient)(lambda x: plain(field, x), x)
    torch.testing.assert_close(own, by_autograd)


def test_a_siren_gives_its_own_slopes():
    field, x = small_siren(), places()
    values, slopes = field.values_and_slopes(x)
    torch.testing.assert_close(values, field(x)[:, 0])
    torch.testing.assert_close(slopes, gradient(lambda x: field(x), x), atol=1e-4, rtol=1e-4)


def test_slopes_of_a_grid_are_differences():
    field, x = small_grid(step=1e-3), places()
    with torch.no_grad():
        field.field.encoding.table.mul_(1e4)
        _, slopes = field.values_and_slopes(x)
        ends = [field(x + sign * 1e-3 * torch.eye(3)[axis])[:, 0] for axis in range(3) for sign in (-1.0, 1.0)]
    central = torch.stack([(ends[2 * axis + 1] - ends[2 * axis]) / 2e-3 for axis in range(3)], dim=1)
    assert slopes.std() > 0.3
    assert ((slopes - central).norm(dim=1).median() / central.norm(dim=1).median()).item() < 0.05


def test_the_parameters_get_gradients_from_both():
    for field in (small_siren(), small_grid()):
        values, slopes = field.values_and_slopes(places())
        for term in (values.sum(), slopes.square().sum()):
            found = torch.autograd.grad(term, list(field.parameters()), retain_graph=True)
            assert all(each.any() for each in found)


def test_no_points():
    for field in (small_siren(), small_grid()):
        values, slopes = field.values_and_slopes(torch.empty(0, 3))
        assert (values.shape, slopes.shape) == ((0,), (0, 3))


def test_what_is_refused():
    with pytest.raises(ValueError, match="3 coordinates and 1 value, found a field of 2 and 1"):
        SignedDistanceField(CoordinateField(Identity(2), Siren(2, 1, width=8, hidden_layers=1)))
    network = CoordinateField(Identity(3), ReLUNetwork(3, 1, width=8, hidden_layers=1))
    with pytest.raises(ValueError, match="must be positive"):
        SignedDistanceField(network, radius=0.0)
