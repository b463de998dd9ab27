"""What moves evenly is carried exactly; without a motion, neighbouring pictures are blended."""

import pytest
import torch
from torch import Tensor, nn

from neufield.fields import MotionField, SpaceTimeGrid

TIMES = torch.tensor([0.0, 2.0, 3.0])


class Uniform(nn.Module):
    """One motion everywhere."""

    def __init__(self, *motion: float) -> None:
        super().__init__()
        self.motion = nn.Parameter(torch.tensor(motion))

    def forward(self, x: Tensor) -> Tensor:
        return self.motion.expand(len(x), 2)


def waves(keys: Tensor, places: Tensor) -> Tensor:
    """A picture that moves by (0.1, 0.05) per unit of time, at the key times."""
    return wanted(torch.cat([places, TIMES[keys][:, None]], dim=1))


def points(count: int, *, low: float = 0.35, high: float = 0.65) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    places = low + (high - low) * torch.rand(count, 2, generator=generator)
    return torch.cat([places, 3.0 * torch.rand(count, 1, generator=generator)], dim=1)


def wanted(x: Tensor) -> Tensor:
    u, v = x[:, 0] - 0.1 * x[:, 2], x[:, 1] - 0.05 * x[:, 2]
    return torch.stack([torch.sin(7.0 * u + v), torch.cos(5.0 * v)], dim=1)


def test_an_even_motion_is_followed_exactly():
    field = MotionField(waves, Uniform(0.2, 0.1), times=TIMES, extent=(1.0, 1.0), reach=0.5)
    x = points(50)
    torch.testing.assert_close(field(x), wanted(x))


def test_without_a_motion_pictures_are_blended():
    field = MotionField(waves, Uniform(0.0, 0.0), times=TIMES, extent=(1.0, 1.0), reach=1.0)
    x = points(50)
    x[:, 2] = 0.5
    first, last = (wanted(torch.cat([x[:, :2], torch.full((50, 1), time)], dim=1)) for time in (0.0, 2.0))
    torch.testing.assert_close(field(x), torch.lerp(first, last, 0.25))


def test_key_times_show_their_own_pictures():
    field = MotionField(waves, Uniform(3.0, -2.0), times=TIMES, extent=(1.0, 1.0), reach=1.0)
    for time in (0.0, 2.0, 3.0):
        x = points(20)
        x[:, 2] = time
        torch.testing.assert_close(field(x), wanted(x))


def test_what_comes_from_beside_the_picture_does_not_count():
    field = MotionField(waves, Uniform(0.1, 0.05), times=TIMES, extent=(1.0, 1.0), reach=1.0)
    x = torch.tensor([[0.02, 0.5, 1.0]])  # at time 0 it was at -0.08
    assert field.carried(x).weights[0].item() < 2e-3
    torch.testing.assert_close(field(x), wanted(x), atol=2e-3, rtol=0.0)


def test_times_beside_the_key_times_are_those_at_the_end():
    field = MotionField(waves, Uniform(0.1, 0.05), times=TIMES, extent=(1.0, 1.0), reach=1.0)
    early, first = torch.tensor([[0.5, 0.5, -1.0]]), torch.tensor([[0.5, 0.5, 0.0]])
    assert torch.equal(field(early), field(first))


def test_gradients_reach_the_motion():
    motion = Uniform(0.1, 0.0)
    field = MotionField(waves, motion, times=TIMES, extent=(1.0, 1.0), reach=1.0)
    field(points(20)).sum().backward()
    assert motion.motion.grad is not None
    assert bool((motion.motion.grad != 0.0).all())


@pytest.mark.parametrize("times", [[0.0], [0.0, 0.0], [1.0, 0.0]])
def test_key_times_ascend(times: list[float]):
    with pytest.raises(ValueError, match="two ascending key times or more"):
        MotionField(waves, Uniform(0.0, 0.0), times=torch.tensor(times), extent=(1.0, 1.0), reach=1.0)


def test_a_grid_is_as_fine_along_time_as_asked_for():
    """Along an axis with four vertices a feature has at most five straight pieces; along one with 32, many more."""
    grid = SpaceTimeGrid(duration=10.0, space=32.0, time=4.0, levels=1, features=1, log2_table_size=16, coarsest=32)
    line = torch.linspace(0.0, 1.0, 2001)
    for axis, most in ((0, 34), (2, 6)):
        x = torch.full((2001, 3), 0.3)
        x[:, axis] = line * (10.0 if axis == 2 else 1.0)
        slopes = grid(x)[:, 0].double().diff() * 2000
        kinks = (slopes.diff().abs() > 1e-2 * slopes.abs().max()).nonzero()[:, 0]
        pieces = 1 + int((kinks.diff() > 3).sum()) + int(len(kinks) > 0)
        assert most // 2 < pieces <= most
