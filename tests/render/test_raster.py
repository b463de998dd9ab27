"""Pixels of a plane: where they lie, and what they measure of fields whose means are known."""

import pytest
import torch

from neufield.render import Raster, measure


def test_pixels_lie_row_by_row_at_their_middles():
    places = Raster(4, 2).places(torch.arange(8))
    expected = [[(c + 0.5) / 4, (r + 0.5) / 2] for r in range(2) for c in range(4)]
    torch.testing.assert_close(places, torch.tensor(expected))


def test_a_part_of_a_larger_raster_has_its_places():
    whole, part = Raster(8, 6), Raster(2, 3, left=0.5, top=1 / 3, right=0.75, bottom=5 / 6)
    rows, columns = torch.meshgrid(torch.arange(2, 5), torch.arange(4, 6), indexing="ij")
    torch.testing.assert_close(part.places(torch.arange(6)), whole.places((rows * 8 + columns).flatten()))


def test_neighbours_of_a_vast_raster_are_told_apart_in_their_own_part():
    raster = Raster(1 << 20, 4, left=0.25, right=0.25 + 2.0**-4)
    places = raster.places(torch.arange(1000))
    assert places[:, 0].unique().numel() == 1000


def linear(places: torch.Tensor) -> torch.Tensor:
    return 3.0 * places[:, :1] - 2.0 * places[:, 1:] + 1.0


def test_points_and_areas_agree_on_linear_fields():
    raster, pixels = Raster(5, 7), torch.arange(35)
    points = measure(linear, raster, pixels)
    torch.testing.assert_close(points, linear(raster.places(pixels)))
    torch.testing.assert_close(measure(linear, raster, pixels, area=True), points)


def test_areas_average_what_is_finer_than_a_pixel():
    raster, pixels = Raster(3, 3), torch.arange(9)

    def waves(places: torch.Tensor) -> torch.Tensor:
        return torch.cos(2 * torch.pi * 3 * places[:, :1]) + 0.5

    assert measure(waves, raster, pixels).sub(-0.5).abs().max() < 1e-5
    torch.testing.assert_close(measure(waves, raster, pixels, area=True), torch.full((9, 1), 0.5))


def test_jittered_areas_are_right_on_average():
    raster, pixels = Raster(2, 2), torch.tensor([3]).expand(40_000)
    jitter = torch.rand(40_000, 4, 2, generator=torch.Generator().manual_seed(0))
    found = measure(lambda places: places[:, :1] ** 2, raster, pixels, area=True, jitter=jitter)
    assert found.mean().item() == pytest.approx((1 - 1 / 8) / 3 / 0.5, abs=1e-3)


def test_no_pixels_give_no_values():
    assert measure(linear, Raster(2, 2), torch.arange(0), area=True).shape == (0, 1)


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"width": 0, "height": 3}, "at least one pixel, found 0x3"),
        ({"width": 3, "height": 3, "left": 0.5, "right": 0.5}, "from left to right .* found 0.5 to 0.5"),
    ],
)
def test_empty_rasters_are_refused(arguments: dict[str, float], text: str):
    with pytest.raises(ValueError, match=text):
        Raster(**arguments)  # pyright: ignore
