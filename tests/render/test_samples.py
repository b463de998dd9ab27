"""The curve along which samples grow."""

import pytest
import torch

from neufield.render import Rays, Stepping

CURVES = {
    "even": Stepping(0.01),
    "growing": Stepping(0.01, 1 / 256),
    "growing to a limit": Stepping(0.01, 1 / 32, 0.05),
    "a limit at once": Stepping(0.01, 0.5, 0.01),
}
on_curves = pytest.mark.parametrize("stepping", CURVES.values(), ids=list(CURVES))


@on_curves
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 2e-5), (torch.float64, 1e-12)])
def test_place_and_distance_cancel(stepping: Stepping, dtype: torch.dtype, tolerance: float):
    t = torch.linspace(0.0, 20.0, 400, dtype=dtype)
    torch.testing.assert_close(stepping.distance(stepping.place(t)), t, rtol=tolerance, atol=tolerance)
    s = torch.linspace(0.0, 900.0, 400, dtype=dtype)
    torch.testing.assert_close(stepping.place(stepping.distance(s)), s, rtol=tolerance, atol=tolerance)


@on_curves
def test_the_curve_s_slope_is_the_length_of_a_sample(stepping: Stepping):
    s = torch.linspace(0.5, 900.0, 400, dtype=torch.float64, requires_grad=True)
    t = stepping.distance(s)
    (slope,) = torch.autograd.grad(t.sum(), s)
    length = (stepping.cone_angle * t).clamp(stepping.smallest, stepping.largest)
    torch.testing.assert_close(slope, length.detach())


@on_curves
def test_samples_follow_one_another_without_gaps_and_never_shrink(stepping: Stepping):
    ends = stepping.distance(torch.arange(900, dtype=torch.float64))
    lengths = ends.diff()
    assert (lengths.diff() > -1e-9).all()
    assert lengths.min().item() > 0.99 * stepping.smallest
    assert lengths.max().item() < stepping.largest + 1e-9


def test_any_shape():
    stepping = CURVES["growing"]
    for shape in ((), (0,), (2, 3)):
        assert stepping.distance(torch.ones(shape)).shape == shape
        assert stepping.place(torch.ones(shape)).shape == shape


@pytest.mark.parametrize("arguments", [(0.0,), (-1.0,), (float("nan"),), (0.1, 0.0, 0.05), (0.1, -0.1), (0.1, 1.0)])
def test_impossible_steppings_are_refused(arguments: tuple[float, ...]):
    with pytest.raises(ValueError, match=r"0 < smallest <= largest and a cone angle in \[0, 1\); got smallest="):
        Stepping(*arguments)


def test_a_batch_of_rays_has_a_length():
    assert len(Rays(torch.zeros(4, 3), torch.ones(4, 3))) == 4
