"""Packed volume rendering against closed forms."""

import math
from inspect import unwrap

import pytest
import torch
from torch import Tensor

from neufield.fields import use_backend
from neufield.render import Composite, composite

on_cpu_backends = pytest.mark.parametrize("backend", ["reference", "numba"])


def evenly(density: Tensor, color: Tensor | None = None, *, length: float = 1.0, backend: str = "auto") -> Composite:
    """One ray whose samples share a length evenly; white unless said otherwise."""
    borders = torch.linspace(0.0, length, len(density) + 1).to(density.dtype)
    color = torch.ones(len(density), 3, dtype=density.dtype) if color is None else color
    return composite(density, color, borders[:-1], borders[1:], torch.tensor([0, len(density)]), backend=backend)


@on_cpu_backends
@pytest.mark.parametrize("samples", [1, 7, 300])
@pytest.mark.parametrize("density", [0.0, 0.3, 4.0])
def test_constant_density_stops_one_minus_its_exponential(backend: str, samples: int, density: float):
    seen = evenly(torch.full((samples,), density), length=1.7, backend=backend)
    expected = 1.0 - math.exp(-density * 1.7)
    assert seen.opacity.item() == pytest.approx(expected, rel=1e-5)
    assert seen.color[0].tolist() == pytest.approx([expected] * 3, rel=1e-5)
    assert seen.weights.sum().item() == pytest.approx(expected, rel=1e-5)


@on_cpu_backends
def test_depth_of_a_constant_density_is_the_exponential_s_mean(backend: str):
    density, length = 3.0, 20.0
    seen = evenly(torch.full((20000,), density), length=length, backend=backend)
    assert (seen.depth / seen.opacity).item() == pytest.approx(1.0 / density, rel=1e-3)


@on_cpu_backends
def test_distortion_is_the_mean_distance_of_what_stops_the_light(backend: str):
    """Of two half-transparent thin samples, the sum over pairs; and it does not depend on where the ray begins."""
    length = 2.0**-10
    color = torch.ones(2, 3)
    for start in (0.0, 7.0, 1000.0):
        density = torch.tensor([math.log(2.0) / length, 1e9], requires_grad=True)
        t = torch.tensor([start, start + 0.5])
        seen = composite(density, color, t, t + length, torch.tensor([0, 2]), backend=backend)
        # Two halves at a distance of 1/2, and each one's own extent.
        assert seen.distortion.item() == pytest.approx(2 * 0.5 * 0.5 * 0.5 + 2 * 0.25 * length / 3.0, rel=1e-5)
        (slope,) = torch.autograd.grad(seen.distortion.sum(), density)
        # w (1 - w) is flat at a half; what is left is none of distances.
        assert slope.abs().max().item() < 1e-6


@on_cpu_backends
def test_distortion_of_evenly_spread_weights_is_a_third_of_their_span(backend: str):
    """The mean distance of two points drawn uniformly; the samples' own lengths make it exact for any number."""
    count = 5
    through = 1.0 - torch.arange(count) / count
    passed = 1.0 - 1.0 / (count * through)
    seen = evenly(-torch.log(passed.clamp(min=1e-12)) * count / 2.0, length=2.0, backend=backend)
    assert seen.distortion.item() == pytest.approx(2.0 / 3.0, rel=1e-4)


@on_cpu_backends
def test_an_opaque_first_sample_hides_the_rest(backend: str):
    color = torch.rand(6, 3, generator=torch.Generator().manual_seed(0))
    density = torch.tensor([1e6, 1.0, 5.0, 1e6, 0.0, 2.0])
    seen = evenly(density, color, length=6.0, backend=backend)
    torch.testing.assert_close(seen.color[0], color[0])
    assert seen.opacity.item() == pytest.approx(1.0)
    assert seen.depth.item() == pytest.approx(0.5)
    assert not seen.weights[1:].any()


@on_cpu_backends
@pytest.mark.parametrize("counts", [[], [0], [0, 0], [0, 2, 0]])
def test_rays_without_samples_give_zeros(backend: str, counts: list[int]):
    starts, total = torch.tensor([0, *counts]).cumsum(0), sum(counts)
    t = torch.arange(float(total))
    density, color = torch.ones(total, requires_grad=True), torch.ones(total, 3, requires_grad=True)
    seen = composite(density, color, t, t + 1.0, starts, backend=backend)
    assert (seen.color.shape, seen.opacity.shape, seen.depth.shape) == (
        (len(counts), 3),
        (len(counts),),
        (len(counts),),
    )
    empty = starts.diff() == 0
    assert not seen.color[empty].any()
    assert not seen.opacity[empty].any()
    assert not seen.depth[empty].any()
    (seen.color.sum() + seen.opacity.sum() + seen.depth.sum()).backward()
    assert density.grad is not None
    assert density.grad.shape == (total,)


@on_cpu_backends
def test_splitting_samples_in_two_changes_neither_colour_nor_opacity(backend: str):
    generator = torch.Generator().manual_seed(0)
    density, color = torch.rand(9, generator=generator) * 5.0, torch.rand(9, 3, generator=generator)
    whole = evenly(density, color, backend=backend)
    split = evenly(density.repeat_interleave(2), color.repeat_interleave(2, dim=0), backend=backend)
    torch.testing.assert_close(split.color, whole.color)
    torch.testing.assert_close(split.opacity, whole.opacity)
    torch.testing.assert_close(split.weights.view(-1, 2).sum(dim=1), whole.weights)


@on_cpu_backends
def test_rays_do_not_see_one_another(backend: str):
    generator = torch.Generator().manual_seed(0)
    counts = [3, 0, 5, 1]
    density, color = torch.rand(9, generator=generator) * 5.0, torch.rand(9, 3, generator=generator)
    starts, t = torch.tensor([0, *counts]).cumsum(0), torch.arange(9.0) * 0.1
    together = composite(density, color, t, t + 0.1, starts, backend=backend)
    for ray, count in enumerate(counts):
        s = slice(int(starts[ray]), int(starts[ray]) + count)
        alone = composite(density[s], color[s], t[s], t[s] + 0.1, torch.tensor([0, count]), backend=backend)
        torch.testing.assert_close(together.color[ray], alone.color[0])
        torch.testing.assert_close(together.depth[ray], alone.depth[0])


@on_cpu_backends
def test_the_gradient_by_density_of_one_sample_is_the_light_that_comes_through(backend: str):
    density = torch.tensor([1.3], requires_grad=True)
    evenly(density, length=0.7, backend=backend).opacity.sum().backward()
    assert density.grad is not None
    assert density.grad.item() == pytest.approx(0.7 * math.exp(-1.3 * 0.7), rel=1e-5)


@on_cpu_backends
def test_weights_carry_no_gradient(backend: str):
    seen = evenly(torch.ones(3, requires_grad=True), backend=backend)
    assert seen.color.requires_grad
    assert not seen.weights.requires_grad


@pytest.mark.parametrize("by", ["density", "color", "both"])
def test_second_derivatives_are_the_reference_s(by: str, assert_agree):
    def twice(backend: str) -> list[Tensor]:
        generator = torch.Generator().manual_seed(0)
        density = (torch.rand(9, generator=generator) * 5.0).requires_grad_(by != "color")
        color = torch.rand(9, 3, generator=generator).requires_grad_(by != "density")
        seen = evenly(density, color, backend=backend)
        wanted = [tensor for tensor in (density, color) if tensor.requires_grad]
        loss = seen.color.square().sum() + seen.opacity.sin().sum() + seen.depth.square().sum()
        loss = loss + seen.distortion.square().sum()
        slopes = torch.autograd.grad(loss, wanted, create_graph=True)
        return list(torch.autograd.grad(sum(slope.square().sum() for slope in slopes), wanted))

    for found, truth in zip(twice("numba"), twice("reference")):
        assert_agree(found, truth)


@pytest.mark.parametrize(
    ("density_type", "color_type"), [(torch.float32, torch.float64), (torch.float64, torch.float32)]
)
def test_mixed_types_are_promoted(density_type: torch.dtype, color_type: torch.dtype):
    density, color = torch.ones(3, dtype=density_type), torch.ones(3, 3, dtype=color_type, requires_grad=True)
    seen = evenly(density.requires_grad_(), color)
    assert seen.color.dtype == torch.float64
    seen.color.sum().backward()
    assert color.grad is not None
    assert color.grad.dtype == color_type


def test_gradients_come_from_the_backend_that_ran_forward():
    density = torch.ones(3, requires_grad=True)
    with use_backend("reference"):
        seen = evenly(density)
    with use_backend("numba"):
        seen.opacity.sum().backward()
    assert density.grad is not None


def test_tensors_of_different_lengths_are_refused():
    t, starts = torch.arange(3.0), torch.tensor([0, 3])
    with pytest.raises(ValueError, match="a density, a colour, a start and an end; found 3, 2, 3 and 3 of them"):
        unwrap(composite)(torch.ones(3), torch.ones(2, 3), t, t, starts)  # without the check of annotations before it
