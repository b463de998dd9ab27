"""Frames are read exactly at their pixels, smoothly between, and smaller copies show the same."""

import torch

from neufield.render import KeyFrames


def ramp(height: int, width: int) -> torch.Tensor:
    """Two frames whose values rise by 4 from column to column and by 2 from row to row."""
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    first = (4 * columns + 2 * rows)[..., None].expand(height, width, 3)
    return torch.stack([first, first + 10]).to(torch.uint8)


def test_values_are_those_of_pixels_and_linear_between():
    frames = KeyFrames(ramp(12, 16), levels=1)
    places = torch.tensor([[0.5, 0.5], [3.5, 2.5], [4.0, 2.75]]) / 16.0
    found = frames.blurred(0, torch.tensor([0, 1, 0]), places)[:, 0] * 255.0
    torch.testing.assert_close(found, torch.tensor([0.0, 12.0 + 4.0 + 10.0, 14.0 + 4.5]))


def test_smaller_copies_agree_inside():
    frames = KeyFrames(ramp(24, 32), levels=3)
    assert len(frames) == 3
    places = torch.rand(50, 2, generator=torch.Generator().manual_seed(0)) * 0.3 + 0.2
    first = torch.zeros(50, dtype=torch.long)
    fine = frames.blurred(0, first, places)
    for level in (1, 2):
        torch.testing.assert_close(frames.blurred(level, first, places), fine, atol=1.1 / 255.0, rtol=0.0)


def test_cubic_values_are_exact_at_pixels_and_on_parabolas():
    """Cubic convolution reproduces polynomials of the second degree."""
    columns = torch.arange(16)
    parabola = (columns - 7).square()[None, None, :, None].expand(1, 8, 16, 3).to(torch.uint8)
    frames = KeyFrames(parabola)
    at = torch.tensor([3.5, 4.0, 7.9, 10.25])
    places = torch.stack([at, torch.full((4,), 4.3)], dim=1) / 16.0
    found = frames(torch.zeros(4, dtype=torch.long), places)[:, 0] * 255.0
    torch.testing.assert_close(found, (at - 0.5 - 7.0).square(), atol=1e-4, rtol=1e-5)
    beside = frames(torch.zeros(1, dtype=torch.long), torch.tensor([[-0.5, 0.2]]))[:, 0] * 255.0
    torch.testing.assert_close(beside, torch.tensor([49.0]))


def test_the_derivative_is_the_slope_and_zero_beside_the_frame():
    frames = KeyFrames(ramp(12, 16), levels=1)
    places = torch.tensor([[0.4, 0.4], [1.5, 0.4]], requires_grad=True)
    frames.blurred(0, torch.tensor([0, 0]), places)[:, 1].sum().backward()
    assert places.grad is not None
    slopes = places.grad * 255.0 / 16.0
    torch.testing.assert_close(slopes, torch.tensor([[4.0, 2.0], [0.0, 2.0]]))


def test_there_are_no_copies_of_less_than_four_pixels():
    assert len(KeyFrames(ramp(9, 40), levels=8)) == 2
    assert len(KeyFrames(ramp(1, 1), levels=3)) == 1
    one = KeyFrames(ramp(1, 1), levels=1).blurred(0, torch.tensor([1]), torch.tensor([[0.3, 0.7]]))
    torch.testing.assert_close(one, torch.full((1, 3), 10.0 / 255.0))
