import numpy as np
import pytest
import torch

from neufield.tools.pictures import depth_image, error_image, heat_colors, side_by_side, striped, to_uint8


def lightness(color: torch.Tensor) -> torch.Tensor:
    linear = torch.where(color <= 0.04045, color / 12.92, ((color + 0.055) / 1.055) ** 2.4)
    luminance = linear @ torch.tensor([0.2126, 0.7152, 0.0722])
    return luminance ** (1 / 3)


def test_to_uint8_rounds_and_cuts_off():
    values = torch.tensor([-1.0, 0.0, 0.499 / 255, 0.501 / 255, 1.0, 2.0, float("nan")]).reshape(1, 7, 1)
    assert to_uint8(values).ravel().tolist() == [0, 0, 0, 1, 255, 255, 0]


def test_to_uint8_undoes_division_by_255():
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 256, 1)
    np.testing.assert_array_equal(to_uint8(torch.from_numpy(pixels) / 255), pixels)


def test_heat_rises_in_lightness_evenly_and_without_jumps():
    colors = heat_colors(torch.linspace(0, 1, 257))
    steps = lightness(colors).diff()
    assert (steps > 0).all()
    assert steps.max() < 3 * steps.mean()
    assert ((colors >= 0) & (colors <= 1)).all()


def test_heat_takes_its_end_colors_outside_the_range():
    inside = heat_colors(torch.tensor([0.0, 1.0]))
    assert torch.equal(heat_colors(torch.tensor([-3.0, 7.0])), inside)


def test_errors_are_compared_on_one_scale():
    target = torch.full((4, 5, 3), 0.5)
    none, some, much = (error_image(target + error, target) for error in (0.0, 0.1, 0.3))
    assert torch.equal(none, heat_colors(torch.zeros(4, 5)))
    assert torch.equal(much, heat_colors(torch.ones(4, 5)))
    assert torch.allclose(some, heat_colors(torch.full((4, 5), 0.4)), atol=1e-5)
    assert torch.allclose(error_image(target - 0.1, target), some, atol=1e-5)


def test_error_of_different_sizes_is_refused():
    with pytest.raises(ValueError, match="need one size"):
        error_image(torch.zeros(4, 5, 3), torch.zeros(5, 4, 3))


def test_near_is_bright_and_emptiness_white():
    depth = torch.linspace(2, 4, 50).expand(10, 50)
    opacity = torch.ones(10, 50)
    opacity[:, 45:] = 0
    picture = depth_image(depth, opacity)
    light = lightness(picture[0, :45])
    assert (light.diff() <= 1e-6).all()
    assert light[0] > 2 * light[-1]
    assert torch.equal(picture[:, 45:], torch.ones(10, 5, 3))


def test_depth_of_nothing_is_white_and_of_a_plane_finite():
    assert torch.equal(depth_image(torch.zeros(3, 4), torch.zeros(3, 4)), torch.ones(3, 4, 3))
    assert depth_image(torch.ones(3, 4), torch.ones(3, 4)).isfinite().all()


def test_depth_colors_do_not_depend_on_the_unit_of_length():
    depth = torch.rand(8, 9, generator=torch.Generator().manual_seed(0)) + 1
    opacity = torch.ones(8, 9)
    assert torch.allclose(depth_image(depth, opacity), depth_image(1000 * depth, opacity), atol=1e-4)


def test_side_by_side_keeps_every_picture_whole():
    a, b, c = torch.zeros(6, 4, 3), torch.full((6, 5, 3), 0.5), torch.full((6, 3, 3), 0.75)
    strip = side_by_side(a, b, c, gap=2)
    assert strip.shape == (6, 4 + 2 + 5 + 2 + 3, 3)
    assert torch.equal(strip[:, :4], a)
    assert torch.equal(strip[:, 6:11], b)
    assert torch.equal(strip[:, 13:], c)
    assert (strip[:, 4:6] == 1).all()
    assert torch.equal(side_by_side(a, gap=2), a)


def test_side_by_side_refuses_different_heights():
    with pytest.raises(ValueError, match=r"need one height, found \[6, 7\]"):
        side_by_side(torch.zeros(6, 4, 3), torch.zeros(7, 4, 3))


def test_stripes_lie_where_a_mask_ignores_and_nowhere_else():
    image = torch.rand(40, 30, 3, generator=torch.Generator().manual_seed(0))
    kept = torch.ones(40, 30, dtype=torch.bool)
    kept[10:20, 5:25] = False
    found = striped(image, kept)
    assert torch.equal(found[kept], image[kept])
    assert not torch.isclose(found[~kept], image[~kept]).all(dim=1).any()
    assert striped(image, None) is image
