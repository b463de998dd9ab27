"""Earth mover distance: held to POT's exact one, to closed forms and to finite differences."""

from typing import Literal

import numpy as np
import pytest
import torch

from neufield.render.transport import earth_mover_distance

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")
ot = pytest.importorskip("ot", reason="needs POT for the exact distance")

BACKENDS = ["reference", "numba"]


def clouds(batch: int, n: int, m: int, *, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(batch, n, 3, generator=generator), torch.rand(batch, m, 3, generator=generator)


def exact(x: torch.Tensor, y: torch.Tensor, power: int = 2) -> float:
    price = torch.cdist(x.double(), y.double()).pow(power).numpy()
    return float(ot.emd2(np.full(len(x), 1 / len(x)), np.full(len(y), 1 / len(y)), price))


def test_sinkhorn_is_within_one_percent_of_the_exact_distance_on_200_pairs():
    x, y = clouds(200, 40, 40)
    found = earth_mover_distance(x, y)
    truth = torch.tensor([exact(a, b) for a, b in zip(x, y)])
    assert ((found.cost - truth) / truth).abs().max() < 0.01
    carried = torch.gather(y, 1, found.assignment[..., None].expand(-1, -1, 3))
    assert (((carried - x).square().sum(2).mean(1) - truth) / truth).abs().max() < 0.02


@pytest.mark.parametrize("cost", ["squared", "euclidean"])
@pytest.mark.parametrize("sizes", [(40, 40), (30, 50), (1, 7), (7, 1), (1, 1)])
@pytest.mark.parametrize("backend", BACKENDS)
def test_unequal_sizes_agree_with_the_exact_method(
    sizes: tuple[int, int], cost: Literal["squared", "euclidean"], backend: str
):
    x, y = clouds(3, *sizes)
    found = earth_mover_distance(x, y, cost=cost, backend=backend)
    truth = earth_mover_distance(x, y, cost=cost, method="exact")
    torch.testing.assert_close(found.cost, truth.cost, rtol=0.01, atol=1e-6)
    for a, b, cost_found in zip(x, y, truth.cost):
        assert cost_found.item() == pytest.approx(exact(a, b, 2 if cost == "squared" else 1), rel=1e-5)


@pytest.mark.parametrize("backend", [*BACKENDS, "exact"])
def test_the_assignment_is_a_permutation_on_equal_sizes(backend: str):
    x, y = clouds(20, 31, 31, seed=3)
    y[4] = x[4].flip(0)
    x_mask, y_mask = torch.ones(20, 31, dtype=torch.bool), torch.ones(20, 31, dtype=torch.bool)
    x_mask[3, :5], y_mask[3, 20:25] = False, False
    options = {"method": "exact"} if backend == "exact" else {"backend": backend}
    found = earth_mover_distance(x, y, x_mask=x_mask, y_mask=y_mask, **options)
    for pair in range(20):
        partners = found.assignment[pair][x_mask[pair]]
        assert sorted(partners.tolist()) == y_mask[pair].nonzero().flatten().tolist()
        assert (found.assignment[pair][~x_mask[pair]] == -1).all()
    assert found.assignment[4].tolist() == list(range(30, -1, -1))


def test_coincident_points_still_get_a_permutation():
    x = torch.zeros(1, 12, 3)
    found = earth_mover_distance(x, x)
    assert found.cost.item() == 0.0
    assert sorted(found.assignment[0].tolist()) == list(range(12))


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_mask_is_the_same_as_leaving_the_points_out(backend: str):
    x, y = clouds(2, 20, 26)
    x_mask, y_mask = torch.rand(2, 20) < 0.7, torch.rand(2, 26) < 0.6
    spoiled = torch.where(x_mask[..., None], x, torch.nan)
    found = earth_mover_distance(spoiled, y, x_mask=x_mask, y_mask=y_mask, backend=backend)
    for pair in range(2):
        alone = earth_mover_distance(x[pair : pair + 1, x_mask[pair]], y[pair : pair + 1, y_mask[pair]])
        torch.testing.assert_close(found.cost[pair], alone.cost[0], rtol=2e-3, atol=1e-6)
        kept = found.barycenters[pair, x_mask[pair]]
        torch.testing.assert_close(kept, alone.barycenters[0], rtol=0, atol=2e-2)


def test_backends_agree_in_values_and_gradients():
    x, y = clouds(4, 33, 21)
    slopes = []
    for backend in BACKENDS:
        points = [x.clone().requires_grad_(), y.clone().requires_grad_()]
        found = earth_mover_distance(*points, epsilon=3e-3, tolerance=1e-5, backend=backend)
        (found.cost * torch.arange(1, 5)).sum().backward()
        slopes.append([found.cost.detach(), found.x_potential, *(p.grad for p in points)])
    for one, other in zip(*slopes):
        torch.testing.assert_close(one, other, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("cost", ["squared", "euclidean"])
def test_gradcheck_of_the_regularised_objective(cost: Literal["squared", "euclidean"]):
    generator = torch.Generator().manual_seed(1)
    x = torch.rand(2, 5, 3, generator=generator, dtype=torch.float64).requires_grad_()
    y = torch.rand(2, 7, 3, generator=generator, dtype=torch.float64).requires_grad_()
    mask = torch.ones(2, 7, dtype=torch.bool)
    mask[1, 3:5] = False

    def objective(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        # ε is a share of the box's size, which moves with the points: two far corners hold it.
        return earth_mover_distance(x, y, y_mask=mask, cost=cost, epsilon=0.02, tolerance=1e-10).regularized

    with torch.no_grad():
        x[:, 0], x[:, 1] = 0.0, 1.0

    def inner(rest: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return objective(torch.cat([x[:, :2].detach(), rest], 1), y)

    assert torch.autograd.gradcheck(inner, (x[:, 2:].detach().requires_grad_(), y), atol=1e-6)


def test_the_exact_gradient_points_along_the_matches():
    x, y = clouds(1, 9, 9)
    x.requires_grad_()
    found = earth_mover_distance(x, y, method="exact")
    found.cost.sum().backward()
    torch.testing.assert_close(x.grad, 2 / 9 * (x.detach() - y[:, found.assignment[0]]))


def test_a_shift_costs_its_square():
    x, _ = clouds(2, 50, 1)
    shift = torch.tensor([0.01, 0.02, -0.01])
    found = earth_mover_distance(x, x + shift, epsilon=1e-5)
    torch.testing.assert_close(found.cost, shift.square().sum().expand(2), rtol=0.02, atol=0.0)
    assert (found.assignment == torch.arange(50)).all()


def test_no_pairs_give_empty_tensors():
    found = earth_mover_distance(torch.zeros(0, 4, 3), torch.zeros(0, 5, 3))
    assert found.cost.shape == (0,)
    assert found.assignment.shape == (0, 4)


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"x": torch.zeros(2, 4, 3)}, "2 and 1 clouds"),
        ({"x_mask": torch.zeros(1, 4, dtype=torch.bool)}, "Cloud 0 of x has no points"),
        ({"y_mask": torch.ones(1, 9, dtype=torch.bool)}, r"y_mask is \(1, 9\); y needs \(1, 4\)"),
        ({"y": torch.full((1, 4, 3), torch.nan)}, "Point 0 of cloud 0 of y is not finite"),
        ({"epsilon": 0.0}, "epsilon > 0"),
    ],
)
def test_bad_input_is_named(change: dict, text: str):
    with pytest.raises(ValueError, match=text):
        earth_mover_distance(**({"x": torch.zeros(1, 4, 3), "y": torch.zeros(1, 4, 3)} | change))
