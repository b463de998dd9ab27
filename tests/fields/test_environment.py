"""The environment: a colour by direction, and nothing else."""

import pytest
import torch
from torch import Tensor

from neufield.fields import Adam, Environment, use_backend


def make(*, scale: float = 1e4, seed: int = 0) -> Environment:
    """A small one with features large enough to matter."""
    environment = Environment(levels=4, log2_table_size=9, finest=32.0, seed=seed)
    with torch.no_grad():
        environment.grid.table.mul_(scale)
    return environment


def directions_of(count: int = 40) -> Tensor:
    generator = torch.Generator().manual_seed(count)
    return torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=1)


def sky(directions: Tensor) -> Tensor:
    """Blue above and brown below, with waves all around."""
    x, y, z = directions.unbind(1)
    around, up = torch.atan2(y, x), torch.sigmoid(20.0 * z)
    above = torch.stack([0.4 + 0.2 * z, 0.6 + 0.1 * torch.sin(4.0 * around), 0.9 - 0.2 * z], dim=1)
    below = torch.stack([0.5 + 0.1 * torch.cos(3.0 * around), 0.35 - 0.1 * z, 0.2 + 0.0 * z], dim=1)
    return up[:, None] * above + (1.0 - up[:, None]) * below


@pytest.mark.parametrize("count", [0, 1, 40])
def test_colours_lie_in_the_unit_range(count: int):
    color = make()(directions_of(count))
    assert color.shape == (count, 3)
    assert ((color > 0) & (color < 1)).all()


def test_axes_of_the_batch_are_kept():
    directions = directions_of(12)
    assert torch.equal(make()(directions.view(3, 4, 3)), make()(directions).view(3, 4, 3))


def test_it_is_grey_at_the_start():
    torch.testing.assert_close(make(scale=1.0)(directions_of()), torch.full((40, 3), 0.5), rtol=0.0, atol=1e-3)


def test_gradients_reach_every_parameter_and_direction():
    environment, directions = make(), directions_of().requires_grad_()
    environment(directions).square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in environment.parameters())
    assert directions.grad is not None
    assert directions.grad.any(dim=1).all()


def test_backends_agree(assert_agree):
    environment, directions = make(), directions_of(300)

    def run(backend: str) -> list[Tensor]:
        environment.zero_grad()
        with use_backend(backend):
            color = environment(directions)
            color.square().sum().backward()
        gradients = (parameter.grad for parameter in environment.parameters())
        return [color, *(gradient.clone() for gradient in gradients if gradient is not None)]

    found, truth = run("numba"), run("reference")
    assert len(found) == 3
    for one, other in zip(found, truth):
        assert_agree(one, other)


def test_a_sky_is_learned():
    environment = Environment()
    optimizer = Adam(environment.parameters(), rate=1e-2, sparse=True)
    generator = torch.Generator().manual_seed(0)
    for _ in range(200):
        directions = torch.nn.functional.normalize(torch.randn(1024, 3, generator=generator), dim=1)
        (environment(directions) - sky(directions)).square().mean().backward()
        optimizer.step()
        optimizer.zero_grad()
    unseen = directions_of(2000)
    assert (environment(unseen) - sky(unseen)).square().mean().sqrt() < 0.02


def test_directions_with_another_number_of_coordinates_are_refused():
    with pytest.raises(ValueError, match=r"Environment takes tensors of shape \(..., 3\), found \(5, 2\)"):
        make()(torch.zeros(5, 2))


def test_the_state_makes_the_same_environment_again():
    one, other, directions = make(seed=1), make(seed=2), directions_of()
    assert not torch.equal(one(directions), other(directions))
    other.load_state_dict(one.state_dict())
    assert torch.equal(one(directions), other(directions))
