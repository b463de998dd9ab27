import pytest
import torch

from neufield.tools.compression.jpeg_comparison import best_jpeg


@pytest.mark.parametrize("shape", [(1, 65_501, 1), (65_501, 1, 3), (8, 8, 4)])
def test_pictures_that_no_jpeg_holds_have_none(shape: tuple[int, int, int]):
    assert best_jpeg(torch.zeros(shape), 1 << 20) is None


def test_the_best_that_is_small_enough():
    picture = torch.rand(16, 16, 3, generator=torch.Generator().manual_seed(0))
    assert best_jpeg(picture, 10) is None
    small, large = best_jpeg(picture, 700), best_jpeg(picture, 2000)
    assert small is not None
    assert large is not None
    assert small.bits_per_pixel <= 700 * 8 / 256
    assert small.psnr < large.psnr
