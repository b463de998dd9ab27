"""Every backend of compositing is held to the reference in float64, and the reference to differences."""

import importlib
from types import ModuleType

import pytest
import torch
from torch import Tensor

from neufield.render.kernels import composite_reference as reference

CPU_BACKENDS = ("reference", "numba")
COUNTS = {
    "no rays": [],
    "rays without samples": [0, 0, 0],
    "one sample": [1],
    "empty rays between others": [0, 3, 0, 0, 5, 1, 0],
    "many": [(7 * i) % 23 for i in range(301)],
}
on_counts = pytest.mark.parametrize("counts", COUNTS.values(), ids=list(COUNTS))
on_cpu_backends = pytest.mark.parametrize("backend", CPU_BACKENDS)


def load(backend: str) -> ModuleType:
    return importlib.import_module(f"neufield.render.kernels.composite_{backend}")


def problem(counts: list[int], channels: int = 3, dtype: torch.dtype = torch.float32) -> tuple[Tensor, ...]:
    """Density, colour, starts, ends, offsets; starts and ends with gaps between samples."""
    generator = torch.Generator().manual_seed(len(counts))
    starts = torch.tensor([0, *counts]).cumsum(0)
    total = int(starts[-1])
    lengths = torch.rand(total, generator=generator, dtype=dtype) * 0.1 + 0.01
    ends = (lengths + 0.02).cumsum(0)
    density = torch.rand(total, generator=generator, dtype=dtype) * 8.0
    color = torch.rand(total, channels, generator=generator, dtype=dtype) + 0.1
    return density, color, ends - lengths, ends, starts


def upstream(counts: list[int], channels: int = 3) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Gradients of colour, opacity, depth and distortion."""
    generator = torch.Generator().manual_seed(9)
    color = torch.randn(len(counts), channels, generator=generator)
    opacity, depth, distortion = torch.randn(3, len(counts), generator=generator)
    return color, opacity, depth, distortion


def double(tensors: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return tuple(tensor.double() if tensor.is_floating_point() else tensor for tensor in tensors)


@on_cpu_backends
@on_counts
@pytest.mark.parametrize("channels", [1, 3, 5])
def test_values_and_gradients_are_those_of_float64(backend: str, counts: list[int], channels: int, assert_agree):
    arguments, gradients = problem(counts, channels), upstream(counts, channels)
    for found, truth in zip(load(backend).forward(*arguments), reference.forward(*double(arguments))):
        assert_agree(found, truth)
    for found, truth in zip(
        load(backend).backward(*arguments, *gradients), reference.backward(*double(arguments), *double(gradients))
    ):
        assert_agree(found, truth)


@on_cpu_backends
def test_strides_do_not_matter(backend: str):
    density, color, t_starts, t_ends, ray_starts = problem(COUNTS["many"])
    spread = [tensor.repeat_interleave(2, dim=0)[::2] for tensor in (density, color, t_starts, t_ends)]
    gradients = upstream(COUNTS["many"])
    kernel = load(backend)
    for change in (spread, [density, color.T.contiguous().T, t_starts, t_ends]):
        for one, other in zip(
            kernel.forward(density, color, t_starts, t_ends, ray_starts), kernel.forward(*change, ray_starts)
        ):
            assert torch.equal(one, other)
        for one, other in zip(
            kernel.backward(density, color, t_starts, t_ends, ray_starts, *gradients),
            kernel.backward(*change, ray_starts, *gradients),
        ):
            assert torch.equal(one, other)


@on_cpu_backends
def test_gradients_behind_something_opaque_are_zero(backend: str):
    """And those of its own density too: more of it changes nothing."""
    density, color, t_starts, t_ends, ray_starts = problem([6])
    density[2] = 1e5
    for_density, for_color = load(backend).backward(density, color, t_starts, t_ends, ray_starts, *upstream([6]))
    assert for_density.isfinite().all()
    assert (for_density != 0).tolist() == [True, True, False, False, False, False]
    assert (for_color != 0).any(dim=1).tolist() == [True, True, True, False, False, False]


@on_counts
def test_the_reference_s_gradients_are_those_of_differences(counts: list[int]):
    density, color, *rest = problem(counts[:7], 2, torch.float64)
    if not len(density):
        return
    arguments = (density.requires_grad_(), color.requires_grad_())
    assert torch.autograd.gradcheck(lambda d, c: reference.render(d, c, *rest)[:4], arguments, fast_mode=True)
    assert torch.autograd.gradgradcheck(lambda d, c: reference.render(d, c, *rest)[:4], arguments, fast_mode=True)


@on_counts
@pytest.mark.parametrize(("least_weight", "least_transmittance"), [(0.0, 0.0), (0.02, 0.3), (1.0, 0.0)])
def test_thinning_keeps_what_the_reference_keeps(counts: list[int], least_weight: float, least_transmittance: float):
    density, _, *rest = problem(counts)
    arriving = torch.linspace(0.1, 1.0, max(len(counts), 1))[: len(counts)]
    found, truth = arriving.clone(), arriving.double()
    limits = {"least_weight": least_weight, "least_transmittance": least_transmittance}
    kept = load("numba").thin(density, *rest, found, **limits)
    assert torch.equal(kept, reference.thin(density.double(), *double(tuple(rest)), truth, **limits))
    torch.testing.assert_close(found.double(), truth, rtol=1e-5, atol=1e-9)


@on_cpu_backends
def test_thinning_carries_the_light_through_in_two_parts_as_in_one(backend: str):
    density, _, t_starts, t_ends, _ = problem([10])
    limits = {"least_weight": 0.01, "least_transmittance": 0.05}
    whole, parts = torch.ones(1), torch.ones(1)
    kept = load(backend).thin(density, t_starts, t_ends, torch.tensor([0, 10]), whole, **limits)
    halves = [
        load(backend).thin(density[s], t_starts[s], t_ends[s], torch.tensor([0, n]), parts, **limits)
        for s, n in ((slice(0, 4), 4), (slice(4, 10), 6))
    ]
    assert torch.equal(kept, torch.cat(halves))
    torch.testing.assert_close(whole, parts)


def test_offsets_that_do_not_fit_the_samples_are_refused():
    density, color, t_starts, t_ends, _ = problem([5])
    with pytest.raises(ValueError, match="ray_starts must end with the number of samples, 5; found 6"):
        load("numba").forward(density, color, t_starts, t_ends, torch.tensor([0, 6]))


def test_everything_repeats_on_any_number_of_threads(on_one_and_two_threads):
    counts, kernel = COUNTS["many"], load("numba")
    arguments, gradients = problem(counts), upstream(counts)
    alone, together = on_one_and_two_threads(
        lambda: (*kernel.forward(*arguments), *kernel.backward(*arguments, *gradients))
    )
    assert all(torch.equal(one, other) for one, other in zip(alone, together))
