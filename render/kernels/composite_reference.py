"""Packed volume rendering in plain torch: the truth that other backends are held to."""

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor


def supports(device: str, dtype: torch.dtype) -> str | None:
    """Runs wherever torch does."""
    del device, dtype


def weigh(
    density: Float[Tensor, " samples"],
    t_starts: Float[Tensor, " samples"],
    t_ends: Float[Tensor, " samples"],
    ray_starts: Int[Tensor, " rays_plus_1"],
) -> tuple[Float[Tensor, " samples"], Float[Tensor, " samples"], Int[Tensor, " samples"]]:
    """Weight and transmittance-before of every sample, and its ray; differentiable in density."""
    rays = len(ray_starts) - 1
    owner = torch.repeat_interleave(torch.arange(rays, device=density.device), ray_starts.diff())
    thickness = density * (t_ends - t_starts)
    # Sums within a ray, in float64: the sum over all rays before it would swamp float32.
    running = thickness.double().cumsum(0)
    before = running - thickness.double()
    base = torch.cat([before, before.new_zeros(1)])[ray_starts[:-1].clamp(max=len(density))]
    transmittance = torch.exp(-(before - base[owner])).to(density.dtype)
    return transmittance * -torch.expm1(-thickness), transmittance, owner


def render(
    density: Tensor, color: Float[Tensor, "samples channels"], t_starts: Tensor, t_ends: Tensor, ray_starts: Tensor
) -> tuple[
    Float[Tensor, "rays channels"],
    Float[Tensor, " rays"],
    Float[Tensor, " rays"],
    Float[Tensor, " rays"],
    Float[Tensor, " samples"],
]:
    """Colour, opacity, depth and distortion per ray, and weight per sample; differentiable by autograd to any order."""
    weights, _, owner = weigh(density, t_starts, t_ends, ray_starts)
    rays = len(ray_starts) - 1
    middle = 0.5 * (t_starts + t_ends)
    channels = torch.cat([color, torch.ones_like(color[:, :1]), middle[:, None].to(color.dtype)], dim=1)
    weighted = weights[:, None] * channels
    total = weighted.new_zeros(rays, channels.shape[1]).index_add(0, owner, weighted)
    spread = _distortion(weights, middle, t_ends - t_starts, ray_starts, owner)
    return total[:, :-2], total[:, -2], total[:, -1], spread.to(total.dtype), weights


def _distortion(weights: Tensor, middle: Tensor, length: Tensor, ray_starts: Tensor, owner: Tensor) -> Tensor:
    """Sum over pairs of w_i w_j |middle_i - middle_j|, plus a third of the sum of w_i² length_i, per ray."""
    weights, first = weights.double(), ray_starts[:-1].clamp(max=len(weights))
    middle = (middle - torch.cat([middle, middle.new_zeros(1)])[first][owner]).double()
    moments = torch.stack([weights, weights * middle], dim=1)
    before = moments.cumsum(0) - moments
    base = torch.cat([before, before.new_zeros(1, 2)])[first]
    mass, moment = (before - base[owner]).unbind(dim=1)
    terms = 2.0 * weights * (middle * mass - moment) + weights.square() * length / 3.0
    return terms.new_zeros(len(ray_starts) - 1).index_add(0, owner, terms)


def forward(
    density: Tensor, color: Tensor, t_starts: Tensor, t_ends: Tensor, ray_starts: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """See `render`; without gradients."""
    with torch.no_grad():
        return render(density, color, t_starts, t_ends, ray_starts)


def backward(
    density: Tensor,
    color: Tensor,
    t_starts: Tensor,
    t_ends: Tensor,
    ray_starts: Tensor,
    for_color: Tensor,
    for_opacity: Tensor,
    for_depth: Tensor,
    for_distortion: Tensor,
) -> tuple[Tensor, Tensor]:
    """Gradients with respect to density and colour, from those of the four outputs."""
    with torch.enable_grad():
        density, color = density.detach().requires_grad_(), color.detach().requires_grad_()
        outputs = render(density, color, t_starts, t_ends, ray_starts)[:4]
        found = torch.autograd.grad(outputs, (density, color), (for_color, for_opacity, for_depth, for_distortion))
    return found[0], found[1]


def thin(
    density: Tensor,
    t_starts: Tensor,
    t_ends: Tensor,
    ray_starts: Tensor,
    transmittance: Float[Tensor, " rays"],
    *,
    least_weight: float,
    least_transmittance: float,
) -> Bool[Tensor, " samples"]:
    """Which samples can be seen; and carries the rays' transmittance through all samples, in place.

    A sample is kept if its weight exceeds `least_weight` and the light that reaches it `least_transmittance`.
    """
    weights, before, owner = weigh(density, t_starts, t_ends, ray_starts)
    arriving = transmittance[owner]
    keep = (weights * arriving > least_weight) & (before * arriving > least_transmittance)
    thickness = torch.zeros_like(transmittance).index_add(0, owner, density * (t_ends - t_starts))
    transmittance.mul_(torch.exp(-thickness))
    return keep
