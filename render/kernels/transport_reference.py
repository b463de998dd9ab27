"""Entropic transport in plain torch: any device, any dtype; log-domain Sinkhorn with ε-scaling over whole batches."""

import torch
from torch import Tensor

PER_LEVEL = 4  # iterations at every ε on the way down
RELAXATION = 1.8  # of the iterations at the last ε: a plain one is many times slower at a small ε


def supports(device: str, dtype: torch.dtype) -> str | None:
    """Runs everywhere."""
    del device, dtype
    return None


def solve(
    x: Tensor,
    y: Tensor,
    x_mask: Tensor,
    y_mask: Tensor,
    epsilon: Tensor,
    first_epsilon: Tensor,
    *,
    squared: bool,
    scaling: float,
    iterations: int,
    tolerance: float,
) -> tuple[Tensor, ...]:
    """Solves every pair of clouds with equal weights on the points that take part.

        f_i <- (1 - w) f_i - w ε log sum_j b_j exp((g_j - c_ij) / ε),    w = 1 on the way down, then `RELAXATION`

    and the same for g. Iterations end when the plan's rows are off by less than `tolerance` in the mean. The plan is
    P_ij = a_i b_j exp((f_i + g_j - c_ij) / ε).

    Args:
        x, y: (batch, n, 3) and (batch, m, 3).
        x_mask, y_mask: Which points take part, (batch, n) and (batch, m).
        epsilon, first_epsilon: Where ε ends and starts, (batch,), units of cost.
        squared: Whether the cost is the squared distance or the distance.
        scaling: Factor from one ε to the next, in (0, 1).
        iterations: At the last ε, at most.
        tolerance: In units of a row's weight.

    Returns:
        sum P c and sum a f + sum b g (batch,), f and g, the barycentres sum_j P_ij y_j / sum_j P_ij (batch, n, 3), and
        the slopes of sum P c by x and y at a fixed plan. Zeros where a point takes no part.
    """
    a, b = weights(x_mask, x.dtype), weights(y_mask, x.dtype)
    price = prices(x, y, squared=squared)
    f, g = torch.zeros_like(a), torch.zeros_like(b)

    def update(now: Tensor, relaxation: float) -> Tensor:
        nonlocal f, g
        e = now[:, None]
        found = -e * torch.logsumexp((g[:, None] - price) / e[..., None] + b.log()[:, None], 2)
        off = (a * ((f - found) / e).exp().sub(1).abs()).sum(1)
        f = torch.where(x_mask, f + relaxation * (found - f), 0.0)
        found = -e * torch.logsumexp((f[:, :, None] - price) / e[..., None] + a.log()[:, :, None], 1)
        g = torch.where(y_mask, g + relaxation * (found - g), 0.0)
        return off

    now = torch.maximum(first_epsilon, epsilon)
    while bool((now > epsilon).any()):
        for _ in range(PER_LEVEL):
            update(now, 1.0)
        now = torch.maximum(now * scaling, epsilon)
    for k in range(iterations):
        if bool((update(epsilon, RELAXATION if k > 1 else 1.0) < tolerance).all()):
            break
    update(epsilon, 1.0)
    e = epsilon[:, None, None]
    plan = a[:, :, None] * b[:, None] * ((f[:, :, None] + g[:, None] - price) / e).exp()
    return from_plan(x, y, plan, price, f, g, a, b, squared=squared)


def from_plan(
    x: Tensor,
    y: Tensor,
    plan: Tensor,
    price: Tensor,
    f: Tensor,
    g: Tensor,
    a: Tensor,
    b: Tensor,
    *,
    squared: bool,
) -> tuple[Tensor, ...]:
    """What `solve` returns, of a plan (batch, n, m) and its prices."""
    steep = 2.0 * plan if squared else plan / price.clamp(min=1e-30)
    x_slope = steep.sum(2)[..., None] * x - steep @ y
    y_slope = steep.sum(1)[..., None] * y - steep.mT @ x
    barycenters = plan @ y / plan.sum(2, keepdim=True).clamp(min=1e-30)
    regularized = (a * f).sum(1) + (b * g).sum(1)
    return (plan * price).sum((1, 2)), regularized, f, g, barycenters, x_slope, y_slope


def assign(
    x: Tensor, y: Tensor, x_mask: Tensor, y_mask: Tensor, y_potential: Tensor, epsilon: Tensor, *, squared: bool
) -> Tensor:
    """Partners of all points of x (batch, n), -1 where a point takes no part.

    On equal numbers the permutation of the least cost. On unequal ones the argmax of the plan's rows.
    """
    from scipy.optimize import linear_sum_assignment

    del epsilon
    price = prices(x, y, squared=squared) - y_potential[:, None]
    partner = price.masked_fill(~y_mask[:, None], torch.inf).argmin(2)
    for pair in (x_mask.sum(1) == y_mask.sum(1)).nonzero().flatten().tolist():
        rows, columns = x_mask[pair].nonzero().flatten(), y_mask[pair].nonzero().flatten()
        _, found = linear_sum_assignment(price[pair][rows][:, columns].detach().cpu().double().numpy())
        partner[pair, rows] = columns[torch.from_numpy(found).to(columns.device)]
    return torch.where(x_mask, partner, -1)


def weights(mask: Tensor, dtype: torch.dtype) -> Tensor:
    """The same weight for all points that take part, zero for the others; they sum to one."""
    return mask.to(dtype) / mask.sum(1, keepdim=True).clamp(min=1)


def prices(x: Tensor, y: Tensor, *, squared: bool) -> Tensor:
    """Costs between all points of each pair (batch, n, m)."""
    far = (x[:, :, None] - y[:, None]).square().sum(3)
    return far if squared else far.sqrt()
