"""Packed volume rendering: samples along rays → colour, opacity and depth per ray."""

from typing import Any, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ..fields.kernels.dispatch import select
from . import kernels
from .kernels import composite_reference


class Composite(NamedTuple):
    """What a ray sees, before any background.

    Attributes:
        color: Sum of weight times colour (rays, channels).
        opacity: Sum of weights (rays,), in [0, 1].
        depth: Sum of weight times distance (rays,), scene units along the ray; divided by opacity it is the expected
            distance.
        distortion: How far the weights are spread along the ray (rays,), scene units; 0 where one point takes it all.
        weights: Of each sample (samples,); carries no gradient.
    """

    color: Float[Tensor, "rays channels"]
    opacity: Float[Tensor, " rays"]
    depth: Float[Tensor, " rays"]
    distortion: Float[Tensor, " rays"]
    weights: Float[Tensor, " samples"]


def composite(
    density: Float[Tensor, " samples"],
    color: Float[Tensor, "samples channels"],
    t_starts: Float[Tensor, " samples"],
    t_ends: Float[Tensor, " samples"],
    ray_starts: Int[Tensor, " rays_plus_1"],
    *,
    backend: str = "auto",
) -> Composite:
    """Composites the samples of every ray from front to back.

        w_i = T_i (1 - exp(-density_i (t_ends_i - t_starts_i)))
        T_i = exp(-sum_{j<i} density_j (t_ends_j - t_starts_j))
        distortion = sum_ij w_i w_j |m_i - m_j| + 1/3 sum_i w_i² (t_ends_i - t_starts_i),  m the middles of samples

    Args:
        density: Extinction per unit length, >= 0.
        color: Anything to be averaged along rays: RGB in [0, 1], normals, features.
        t_starts, t_ends: Where each sample begins and ends along its ray, scene units, increasing within a ray.
        ray_starts: Samples of ray r are `ray_starts[r]:ray_starts[r + 1]`.
        backend: Which kernel runs, see `fields.kernels.dispatch`.

    Returns:
        Colour, opacity, depth and distortion per ray and weight per sample; a ray without samples gives zeros.

    Raises:
        ValueError: The lengths of the samples' tensors differ.

    Not differentiable in `t_starts` and `t_ends`. Max 1995 eq. 10; Mildenhall et al. 2020 eq. 3; the distortion is that
    of Barron et al. 2022 ("Mip-NeRF 360") eq. 15, in scene units rather than in a share of the ray.
    """
    if not len(density) == len(color) == len(t_starts) == len(t_ends):
        raise ValueError(
            f"Every sample needs a density, a colour, a start and an end; found {len(density)}, {len(color)}, "
            f"{len(t_starts)} and {len(t_ends)} of them."
        )
    return Composite(*_Composite.apply(density, color, t_starts, t_ends, ray_starts, backend))  # pyright: ignore


class _Composite(torch.autograd.Function):
    """Owns autograd for every backend; a second derivative goes through the reference."""

    @staticmethod
    def forward(ctx: Any, density: Tensor, color: Tensor, *rest: Any) -> tuple[Tensor, ...]:
        t_starts, t_ends, ray_starts, backend = rest
        ctx.kernel = _kernel(density, color, backend)
        ctx.save_for_backward(density, color, t_starts, t_ends, ray_starts)
        outputs = ctx.kernel.forward(density, color, t_starts, t_ends, ray_starts)
        ctx.mark_non_differentiable(outputs[4])
        return outputs

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, ...]:
        saved = ctx.saved_tensors
        if torch.is_grad_enabled():  # create_graph: the gradient itself must be differentiable
            outputs = composite_reference.render(*saved)[:4]
            outputs, slopes = zip(*(pair for pair in zip(outputs, gradients) if pair[0].requires_grad))
            wanted = [tensor for tensor, asked in zip(saved[:2], ctx.needs_input_grad) if asked]
            found = iter(torch.autograd.grad(outputs, wanted, slopes, create_graph=True))
            return *(next(found) if asked else None for asked in ctx.needs_input_grad[:2]), None, None, None, None
        found = ctx.kernel.backward(*saved, *gradients[:4])
        return *found, None, None, None, None


def _kernel(density: Tensor, color: Tensor, backend: str) -> Any:
    dtype = torch.promote_types(density.dtype, color.dtype)
    return select("composite", package=kernels.__name__, device=density.device, dtype=dtype, backend=backend)
