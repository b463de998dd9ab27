"""Earth mover distance between batches of point clouds: by entropic transport (Sinkhorn), or exactly through POT."""

from typing import Any, Literal, NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.autograd.function import once_differentiable

from ..fields.kernels.dispatch import select
from . import kernels
from .kernels import transport_reference


class Transport(NamedTuple):
    """How one cloud is carried to another, for each pair of a batch; zeros where a point takes no part.

    Attributes:
        cost: What the plan P costs, sum_ij P_ij c_ij; carries the gradient at a fixed plan.
        regularized: The objective sum_ij P_ij c_ij + ε KL(P | a b), at its optimum sum_i a_i f_i + sum_j b_j g_j; the
            same gradient, which is its exact one (envelope theorem). At `method="exact"` the cost itself.
        x_potential, y_potential: The dual potentials f and g, units of cost.
        assignment: Partner in y of each point of x, -1 where it takes no part: a permutation where as many points of x
            take part as of y, else the partner that gets the largest share.
        barycenters: Where each point of x is carried in the mean, sum_j P_ij y_j / sum_j P_ij.
    """

    cost: Float[Tensor, " batch"]
    regularized: Float[Tensor, " batch"]
    x_potential: Float[Tensor, "batch n"]
    y_potential: Float[Tensor, "batch m"]
    assignment: Int64[Tensor, "batch n"]
    barycenters: Float[Tensor, "batch n 3"]


def earth_mover_distance(
    x: Float[Tensor, "batch n 3"],
    y: Float[Tensor, "y_batch m 3"],
    *,
    x_mask: Bool[Tensor, "_ _"] | None = None,
    y_mask: Bool[Tensor, "_ _"] | None = None,
    cost: Literal["squared", "euclidean"] = "squared",
    method: Literal["sinkhorn", "exact"] = "sinkhorn",
    epsilon: float = 1e-4,
    first_epsilon: float = 1.0,
    scaling: float = 0.7,
    iterations: int = 1000,
    tolerance: float = 1e-2,
    backend: str = "auto",
) -> Transport:
    """Carries each cloud x to its cloud y at the least cost; all points of a cloud weigh the same.

        min_P sum_ij P_ij c_ij + ε KL(P | a b),    sum_j P_ij = a_i = 1/n,    sum_i P_ij = b_j = 1/m

    by log-domain Sinkhorn iterations, ε shrinking from the size of the clouds. At the default ε the cost of random
    clouds is within 1 % of the exact one. The permutation is found by an auction that starts from the potentials, its
    cost less than ε from the optimum (numba), or by scipy's `linear_sum_assignment` (reference).

    Args:
        x, y: Points; any unit.
        x_mask, y_mask: Which points take part; all if None. Clouds may have unequal numbers.
        cost: |x - y|^2, or |x - y| (which has a kink where points meet: its slope there is zero).
        method: "exact" solves without ε through POT, pair by pair, O(n^3); for tests and final scores.
        epsilon: Last ε as a share of the squared diagonal (of the diagonal for "euclidean") of the box around both.
        first_epsilon: Where ε starts, in the same unit; less is enough where the clouds lie upon each other already.
        scaling: Factor from one ε to the next, in (0, 1).
        iterations: At the last ε, at most.
        tolerance: Iterations end when the rows of the plan are off by this share of their weight in the mean.
        backend: Which kernel runs, see `fields.kernels.dispatch`.

    Returns:
        Cost, potentials and assignment per pair; no pairs give empty tensors.

    Raises:
        ValueError: Shapes do not match, a number is out of range, a point that takes part is not finite, or a cloud
            has none.

    Not differentiable twice. Cuturi 2013; ε-scaling as in Schmitzer 2019, section 3.2; over-relaxation as in Thibault
    et al. 2021; the auction of Bertsekas 1988.
    """
    if len(x) != len(y):
        raise ValueError(f"Every cloud of x needs one of y; found {len(x)} and {len(y)} clouds.")
    if not (epsilon > 0 and first_epsilon > 0 and 0 < scaling < 1 and iterations >= 0 and tolerance >= 0):
        raise ValueError(
            "Sinkhorn takes epsilon > 0, first_epsilon > 0, 0 < scaling < 1, iterations >= 0 and tolerance >= 0; got "
            f"{epsilon}, {first_epsilon}, {scaling}, {iterations} and {tolerance}."
        )
    masks = [_mask(points, mask, name) for points, mask, name in ((x, x_mask, "x"), (y, y_mask, "y"))]
    x, y = (torch.where(mask[..., None], points, 0.0) for points, mask in zip((x, y), masks))
    squared = cost == "squared"
    size = _size(x, y, *masks, squared=squared)
    options = {"squared": squared, "scaling": scaling, "iterations": iterations, "tolerance": tolerance}
    found = _Transport.apply(x, y, *masks, size * epsilon, size * first_epsilon, method, backend, options)
    paid, regularized, f, g, barycenters, assignment = found  # pyright: ignore[reportGeneralTypeIssues]
    return Transport(paid, regularized, f, g, assignment, barycenters)


class _Transport(torch.autograd.Function):
    """Owns autograd for every backend: the gradient at a fixed plan."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, y: Tensor, *rest: Any) -> tuple[Tensor, ...]:
        x_mask, y_mask, epsilon, first_epsilon, method, backend, options = rest
        if method == "exact":
            *solved, assignment = _exact(x, y, x_mask, y_mask, squared=options["squared"])
        else:
            kernel = select("transport", package=kernels.__name__, device=x.device, dtype=x.dtype, backend=backend)
            solved = kernel.solve(x, y, x_mask, y_mask, epsilon, first_epsilon, **options)
            assignment = kernel.assign(x, y, x_mask, y_mask, solved[3], epsilon, squared=options["squared"])
        cost, regularized, f, g, barycenters, x_slope, y_slope = solved
        ctx.save_for_backward(x_slope, y_slope)
        ctx.mark_non_differentiable(f, g, barycenters, assignment)
        return cost, regularized, f, g, barycenters, assignment

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:  # pyright: ignore[reportIncompatibleMethodOverride]
        weight = (gradients[0] + gradients[1])[:, None, None]
        x_slope, y_slope = ctx.saved_tensors
        return weight * x_slope, weight * y_slope, *[None] * 7


def _mask(points: Tensor, mask: Tensor | None, name: str) -> Tensor:
    """Which points take part, checked."""
    mask = torch.ones(points.shape[:2], dtype=torch.bool, device=points.device) if mask is None else mask
    if mask.shape != points.shape[:2]:
        raise ValueError(f"{name}_mask is {tuple(mask.shape)}; {name} needs {tuple(points.shape[:2])}.")
    bad = mask & ~points.isfinite().all(2)
    if bool(bad.any()):
        pair, point = bad.nonzero()[0].tolist()
        raise ValueError(f"Point {point} of cloud {pair} of {name} is not finite; leave it out by {name}_mask.")
    empty = ~mask.any(1)
    if bool(empty.any()):
        raise ValueError(f"Cloud {int(empty.nonzero()[0])} of {name} has no points; nothing can be carried there.")
    return mask


def _size(x: Tensor, y: Tensor, x_mask: Tensor, y_mask: Tensor, *, squared: bool) -> Tensor:
    """Squared diagonal of the box around each pair, or the diagonal; 1 where all points coincide."""
    points, mask = torch.cat([x, y], 1).detach(), torch.cat([x_mask, y_mask], 1)[..., None]
    if not len(points):
        return points.new_ones(0)
    low = points.masked_fill(~mask, torch.inf).amin(1)
    size = (points.masked_fill(~mask, -torch.inf).amax(1) - low).square().sum(1)
    size = size if squared else size.sqrt()
    return torch.where(size > 0, size, 1.0)


def _exact(x: Tensor, y: Tensor, x_mask: Tensor, y_mask: Tensor, *, squared: bool) -> tuple[Tensor, ...]:
    """As `transport_reference.solve`, without ε, and the assignment behind it."""
    import numpy as np
    import ot

    price = transport_reference.prices(x, y, squared=squared)
    plan, f, g = torch.zeros_like(price), torch.zeros_like(price[:, :, 0]), torch.zeros_like(price[:, 0])
    for pair in range(len(x)):
        rows, columns = (mask[pair].nonzero().flatten() for mask in (x_mask, y_mask))
        dense = price[pair][rows][:, columns].cpu().double().numpy()
        shares = [np.full(size, 1 / size) for size in dense.shape]
        found, log = ot.emd(*shares, dense, numItermax=10_000_000, log=True)  # pyright: ignore[reportCallIssue]
        if log["warning"] is not None:
            raise ValueError(f"The exact distance of pair {pair} was not found: {log['warning']}")
        plan[pair, rows[:, None], columns] = torch.from_numpy(found).to(plan)
        f[pair, rows], g[pair, columns] = (torch.from_numpy(log[name]).to(plan) for name in "uv")
    a, b = (transport_reference.weights(mask, x.dtype) for mask in (x_mask, y_mask))
    cost, _, *rest = transport_reference.from_plan(x, y, plan, price, f, g, a, b, squared=squared)
    return cost, cost.clone(), *rest, torch.where(x_mask, plan.argmax(2), -1)
