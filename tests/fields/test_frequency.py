"""Frequency encoding and random Fourier features."""

import math

import pytest
import torch

from neufield.fields import FourierFeatures, FrequencyEncoding


def test_frequency_encoding_is_equation_4_coordinate_by_coordinate():
    x = torch.tensor([[0.3, -0.7]], dtype=torch.float64)
    expected = [
        wave(2**octave * math.pi * coordinate)
        for coordinate in (0.3, -0.7)
        for octave in range(3)
        for wave in (math.sin, math.cos)
    ]
    encoded = FrequencyEncoding(2, octaves=3)(x)
    torch.testing.assert_close(encoded, torch.tensor([expected], dtype=torch.float64), rtol=0, atol=1e-14)


@pytest.mark.parametrize("octaves", [0, 1, 10])
@pytest.mark.parametrize("include_input", [False, True])
@pytest.mark.parametrize("batch", [(), (0,), (5,), (2, 3)])
def test_frequency_encoding_gives_the_size_that_it_tells(octaves: int, include_input: bool, batch: tuple[int, ...]):
    encoding = FrequencyEncoding(3, octaves=octaves, include_input=include_input)
    x = torch.rand(*batch, 3)
    encoded = encoding(x)
    assert encoded.shape == (*batch, encoding.out_features)
    if include_input:
        assert torch.equal(encoded[..., :3], x)


def test_frequency_encoding_does_not_change_under_a_shift_by_two():
    x = torch.rand(50, 3, dtype=torch.float64)
    encoding = FrequencyEncoding(3, octaves=6)
    torch.testing.assert_close(encoding(x + 2.0), encoding(x), rtol=0, atol=1e-12)


def test_frequency_encoding_keeps_float32_accuracy_at_high_octaves():
    x = torch.rand(1000, 1) * 2 - 1
    encoding = FrequencyEncoding(1, octaves=16)
    naive = torch.sin(2.0**15 * torch.pi * x)
    exact = encoding(x.double())
    assert (naive.double() - exact[:, -2:-1]).abs().max() > 1e-4
    assert (encoding(x).double() - exact).abs().max() < 1e-6


def test_frequency_encoding_differentiates_through_the_reduction_to_one_period():
    x = torch.tensor([[1.7, -3.2]], dtype=torch.float64, requires_grad=True)
    encoding = FrequencyEncoding(2, octaves=4)
    assert torch.autograd.gradcheck(encoding, x)
    assert torch.autograd.gradgradcheck(encoding, x)


def test_fourier_features_are_cosines_and_sines_of_the_basis():
    features = FourierFeatures(2, frequencies=5, sigma=3.0, seed=1).double()
    x = torch.rand(7, 2, dtype=torch.float64)
    angles = 2 * math.pi * torch.einsum("kd,nd->nk", features.basis, x)
    torch.testing.assert_close(features(x), torch.cat([angles.cos(), angles.sin()], dim=1))


def test_fourier_features_make_a_stationary_kernel():
    """Inner products depend on the difference alone and tend to the Gaussian's characteristic function."""
    features = FourierFeatures(2, frequencies=40_000, sigma=0.4, seed=0).double()
    points = torch.rand(6, 2, dtype=torch.float64)
    kernel = features(points) @ features(points).T / 40_000
    squared = torch.cdist(points, points).square()
    torch.testing.assert_close(kernel, torch.exp(-2 * (math.pi * 0.4) ** 2 * squared), rtol=0, atol=0.03)
    shifted = points + torch.tensor([0.3, -0.2], dtype=torch.float64)
    torch.testing.assert_close(features(shifted) @ features(shifted).T / 40_000, kernel, rtol=0, atol=1e-9)


def test_fourier_features_repeat_with_the_seed_and_leave_the_global_generator_alone():
    state = torch.get_rng_state()
    a, b, c = (FourierFeatures(3, frequencies=8, seed=seed).basis for seed in (4, 4, 5))
    assert torch.equal(a, b)
    assert not torch.equal(a, c)
    assert torch.equal(state, torch.get_rng_state())


def test_fourier_basis_is_saved_and_not_trained():
    features = FourierFeatures(2, frequencies=4)
    assert list(features.state_dict()) == ["basis"]
    assert list(features.parameters()) == []


def test_width_zero_is_a_constant_encoding():
    features = FourierFeatures(2, frequencies=3, sigma=0.0)
    assert torch.equal(features(torch.rand(4, 2)), torch.tensor([[1.0, 1, 1, 0, 0, 0]]).expand(4, 6))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: FrequencyEncoding(0), "in_features must be >= 1 and octaves >= 0, found 0 and 10"),
        (lambda: FrequencyEncoding(3, octaves=-1), "found 3 and -1"),
        (lambda: FourierFeatures(3, frequencies=0), "found 3, 0 and 10.0"),
        (lambda: FourierFeatures(3, sigma=math.nan), "sigma finite and >= 0, found 3, 128 and nan"),
    ],
)
def test_sizes_out_of_range_are_refused(build, message: str):
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize("encoding", [FrequencyEncoding(3), FourierFeatures(3)])
def test_coordinates_of_another_size_are_refused(encoding: torch.nn.Module):
    with pytest.raises(ValueError, match=r"takes tensors of shape \(\.\.\., 3\), found \(5, 2\)"):
        encoding(torch.rand(5, 2))
