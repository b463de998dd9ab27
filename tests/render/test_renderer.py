"""Volume rendering of scenes whose pictures are known."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from neufield.fields import HashGrid, RadianceField
from neufield.render import Marcher, OccupancyGrid, Rays, Renderer, Stepping, Thinning
from neufield.render.cameras import Cameras

on_cpu_backends = pytest.mark.parametrize("backend", ["reference", "numba"])
CENTER, EVERYTHING = torch.tensor([0.5, 0.5, 0.5]), Thinning(0.0, 0.0)
BLACK, WHITE = torch.zeros(1, 3), torch.ones(1, 3)


def ball(positions: Tensor, sigma: float = 6.0, radius: float = 0.4) -> Tensor:
    return sigma * ((positions - CENTER).norm(dim=1) < radius)


def blobs(positions: Tensor) -> Tensor:
    """Three smooth clouds off the axes."""
    centers = torch.tensor([[0.3, 0.4, 0.6], [0.7, 0.5, 0.4], [0.5, 0.65, 0.35]])
    return 30.0 * torch.exp(-60.0 * (positions[:, None] - centers).square().sum(dim=2)).sum(dim=1)


def paint(positions: Tensor) -> Tensor:
    return torch.sigmoid(6.0 * (positions - CENTER))


def make_renderer(
    density=blobs, *, step: float = 2e-3, thinning: Thinning = EVERYTHING, backend: str = "auto"
) -> Renderer:
    return Renderer(
        density,
        lambda positions, directions: (density(positions), paint(positions)),
        OccupancyGrid(extent=1, smallest_step=step, resolution=8),
        Stepping(step),
        thinning=thinning,
        backend=backend,
    )


def make_rays(count: int = 40) -> Rays:
    generator = torch.Generator().manual_seed(count)
    origins = torch.nn.functional.normalize(torch.randn(count, 3, generator=generator), dim=1) * 1.5 + CENTER
    targets = torch.rand(count, 3, generator=generator) * 0.6 + 0.2
    return Rays(origins, torch.nn.functional.normalize(targets - origins, dim=1))


def make_camera(width: int = 9, height: int = 7) -> Cameras:
    pose = torch.tensor([[[1.0, 0.0, 0.0, 0.5], [0.0, 1.0, 0.0, 0.5], [0.0, 0.0, 1.0, -1.0]]])
    return Cameras.from_colmap(
        "PINHOLE", [9.0, 9.0, width / 2, height / 2], world_from_camera=pose, size=(width, height)
    )


@on_cpu_backends
def test_a_ball_lets_through_what_its_chord_says(backend: str):
    """Along rays that pass the centre at known distances."""
    sigma, radius, step = 6.0, 0.4, 2e-3
    offsets = torch.tensor([0.0, 0.1, 0.25, 0.35, 0.39, 0.45])
    direction = torch.nn.functional.normalize(torch.tensor([1.0, 2.0, -0.5]), dim=0)
    across = torch.nn.functional.normalize(torch.linalg.cross(direction, torch.tensor([0.3, 0.1, 1.0])), dim=0)
    rays = Rays(CENTER + offsets[:, None] * across - 2.0 * direction, direction.expand(6, 3))
    seen = make_renderer(ball, step=step, backend=backend).render(rays, BLACK)
    half = (radius**2 - offsets.square()).clamp(min=0.0).sqrt()
    torch.testing.assert_close(1.0 - seen.opacity, torch.exp(-2.0 * sigma * half), rtol=0.0, atol=sigma * step)
    assert seen.depth[5].item() == 0.0
    thickness = 2.0 * sigma * half[:5]
    mean = (1.0 - (1.0 + thickness) * torch.exp(-thickness)) / (1.0 - torch.exp(-thickness)) / sigma
    torch.testing.assert_close(seen.depth[:5], 2.0 - half[:5] + mean, rtol=0.0, atol=2.0 * step)


@on_cpu_backends
def test_without_thinning_it_is_the_dense_quadrature(backend: str):
    rays, step = make_rays(), 5e-3
    seen = make_renderer(step=step, backend=backend).render(rays, WHITE)
    renderer = make_renderer(step=step)
    samples = Marcher(rays, renderer.occupancy, renderer.stepping).advance(torch.arange(len(rays)), 1000)
    for ray in range(len(rays)):
        part = slice(int(samples.ray_starts[ray]), int(samples.ray_starts[ray + 1]))
        positions = samples.positions[part].double()
        thickness = blobs(positions) * (samples.t_ends - samples.t_starts)[part].double()
        weights = torch.exp(thickness - thickness.cumsum(0)) * (1.0 - torch.exp(-thickness))
        color = (weights[:, None] * paint(positions)).sum(dim=0) + 1.0 - weights.sum()
        torch.testing.assert_close(seen.color[ray].double(), color, rtol=1e-4, atol=1e-5)


@on_cpu_backends
def test_thinning_changes_the_picture_by_less_than_what_it_drops(backend: str):
    rays = make_rays()
    whole, thinned = (
        make_renderer(thinning=thinning, backend=backend).render(rays, WHITE) for thinning in (EVERYTHING, Thinning())
    )
    assert thinned.samples < 0.8 * whole.samples
    assert (thinned.color - whole.color).abs().max().item() < 0.02


@pytest.mark.parametrize("quarter", [True, False])
def test_a_rotated_scene_looks_as_the_scene_from_rotated_rays(quarter: bool):
    """By a quarter turn to rounding; by any other to the quadrature's precision, for samples fall elsewhere."""
    angle = math.pi / 2 if quarter else 0.7
    cosine, sine = math.cos(angle), math.sin(angle)
    turn = torch.tensor([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])

    def back(positions: Tensor) -> Tensor:
        return (positions - CENTER) @ turn + CENTER

    rays, renderer = make_rays(), make_renderer()
    moved = Rays((rays.origins - CENTER) @ turn.T + CENTER, rays.directions @ turn.T)
    turned = Renderer(
        lambda x: blobs(back(x)),
        lambda x, d: (blobs(back(x)), paint(back(x))),
        renderer.occupancy,
        renderer.stepping,
        thinning=EVERYTHING,
    )
    still, found = renderer.render(rays, BLACK), turned.render(moved, BLACK)
    tolerance = 1e-4 if quarter else 2e-3
    torch.testing.assert_close(found.color, still.color, rtol=0.0, atol=tolerance)
    torch.testing.assert_close(found.opacity, still.opacity, rtol=0.0, atol=tolerance)


def test_directions_are_those_of_the_rays():
    """A field that shows the direction it is seen along."""
    renderer = make_renderer()
    rays = make_rays()
    wall = torch.Tensor.new_full
    shown = Renderer(
        lambda x: wall(x, (len(x),), 1e4),
        lambda x, d: (wall(x, (len(x),), 1e4), d),
        renderer.occupancy,
        renderer.stepping,
    )
    torch.testing.assert_close(shown.render(rays, BLACK).color, rays.directions, rtol=1e-4, atol=1e-4)


def test_the_background_shows_where_nothing_is():
    rays = make_rays(5)
    background = torch.rand(5, 3, generator=torch.Generator().manual_seed(0))
    renderer = make_renderer(lambda x: torch.zeros(len(x)))
    seen = renderer.render(rays, background)
    assert torch.equal(seen.color, background)
    assert not seen.opacity.any()
    assert not seen.depth.any()
    one = renderer.render(rays, background[:1])
    assert torch.equal(one.color, background[:1].expand(5, 3))


def waves(directions: Tensor) -> Tensor:
    return 0.5 + 0.5 * torch.sin(5.0 * directions)


def test_an_environment_lies_behind_everything():
    """It is seen by what light the field lets through, and nothing of the background is."""
    rays = make_rays()
    plain = make_renderer(step=1e-2)
    seen, dark = replace(plain, environment=waves).render(rays, WHITE), plain.render(rays, BLACK)
    assert 0.1 < dark.opacity.mean() < 0.9
    behind = (1.0 - dark.opacity)[:, None] * waves(rays.directions)
    torch.testing.assert_close(seen.color, dark.color + behind, rtol=0.0, atol=1e-6)
    assert torch.equal(seen.opacity, dark.opacity)
    assert torch.equal(seen.depth, dark.depth)
    nothing = replace(make_renderer(lambda x: torch.zeros(len(x))), environment=waves)
    assert torch.equal(nothing.render(rays, WHITE).color, waves(rays.directions))


def test_an_environment_is_in_every_part_of_an_image():
    renderer, camera = replace(make_renderer(step=1e-2), environment=waves), make_camera()
    whole, chunked = (renderer.render_image(camera, 0, WHITE[0], chunk=size)["color"] for size in (1 << 15, 10))
    assert torch.equal(whole, chunked)
    corner = waves(camera.rays(torch.tensor([[0.5, 0.5]]), torch.tensor([0]))[1])
    torch.testing.assert_close(whole[0, 0], corner[0], rtol=0.0, atol=0.02)


@on_cpu_backends
def test_no_rays_give_an_empty_rendering(backend: str):
    seen = make_renderer(backend=backend).render(Rays(torch.zeros(0, 3), torch.zeros(0, 3)), BLACK)
    assert seen.color.shape == (0, 3)
    assert (seen.samples, seen.evaluated) == (0, 0)


@pytest.mark.parametrize("chunk", [1, 10, 63])
def test_an_image_in_chunks_is_the_image_in_one(chunk: int):
    renderer, camera = make_renderer(step=1e-2), make_camera()
    whole, chunked = (renderer.render_image(camera, 0, WHITE[0], chunk=size) for size in (1 << 15, chunk))
    assert whole["color"].shape == (7, 9, 3)
    for name, picture in whole.items():
        assert torch.equal(picture, chunked[name]), name


def test_an_image_s_pixels_are_its_rays():
    """Row by row from the top-left corner, through pixel centres."""
    renderer, camera = make_renderer(step=1e-2), make_camera()
    picture = renderer.render_image(camera, 0, WHITE[0])
    rays = Rays(*camera.rays(torch.tensor([[8.5, 2.5]]), torch.tensor([0])))
    seen = renderer.render(rays, WHITE)
    torch.testing.assert_close(picture["color"][2, 8], seen.color[0])
    torch.testing.assert_close(picture["depth"][2, 8], seen.depth[0])
    assert picture["opacity"].min() < 0.1 < 0.5 < picture["opacity"].max()


@on_cpu_backends
def test_gradients_reach_every_parameter(backend: str):
    field = RadianceField(HashGrid(3, levels=2, growth=2.0, coarsest=4, log2_table_size=9), width=16, density_scale=5.0)
    renderer = Renderer(
        field.density,
        field,
        OccupancyGrid(extent=1, smallest_step=0.02, resolution=8),
        Stepping(0.02),
        thinning=Thinning(0.0, 0.0),
        backend=backend,
    )
    seen = renderer.render(make_rays(), WHITE)
    seen.color.square().sum().backward()
    for name, parameter in field.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name
        assert parameter.grad.isfinite().all(), name


def test_on_density_hears_of_all_that_was_evaluated():
    told: list[int] = []
    seen = make_renderer(thinning=Thinning()).render(
        make_rays(), BLACK, on_density=lambda positions, density: told.append(len(density))
    )
    assert sum(told) == seen.evaluated > seen.samples > 0


def test_features_of_the_density_pass_change_nothing_but_the_cost():
    hash_grid = HashGrid(3, levels=4, features=2, log2_table_size=10, coarsest=4, finest=32.0)
    field = RadianceField(hash_grid, density_scale=9.0)
    grid, stepping = OccupancyGrid(extent=1, smallest_step=0.02, resolution=8), Stepping(0.02)
    pictures, gradients = [], []
    for density in (field.density, field.probe):
        seen = Renderer(density=density, radiance=field, occupancy=grid, stepping=stepping).render(
            make_rays(), torch.ones(1, 3)
        )
        pictures.append(seen.color.detach())
        gradients.append(torch.autograd.grad(seen.color.square().sum(), list(field.parameters())))
    assert torch.equal(*pictures)
    assert all(torch.equal(a, b) for a, b in zip(*gradients))


def test_samples_that_all_weigh_nothing_leave_the_background():
    hash_grid = HashGrid(3, levels=2, features=2, log2_table_size=8, coarsest=4, finest=8.0)
    field = RadianceField(hash_grid, density_scale=1e-6)
    grid = OccupancyGrid(extent=1, smallest_step=0.1, resolution=8)
    renderer = Renderer(density=field.probe, radiance=field, occupancy=grid, stepping=Stepping(0.1))
    seen = renderer.render(make_rays(), torch.full((1, 3), 0.25))
    assert seen.evaluated > 0
    assert seen.samples == 0
    assert (seen.color == 0.25).all()
