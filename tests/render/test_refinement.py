"""Corrections of cameras: nothing at zero, gradients that agree with differences, and poses brought back."""

import pytest
import torch
from torch import Tensor

from neufield.render import CameraRefinement, Cameras, OccupancyGrid, Rays, Renderer, Stepping, Thinning
from neufield.render.refinement import rotation_matrices

LENSES = {
    "PINHOLE": [50.0, 51.0, 32.5, 23.0],
    "OPENCV": [45.0, 45.5, 31.8, 24.2, -0.2, 0.08, 0.01, -0.008],
}


def make_cameras(name: str, count: int = 3, dtype: torch.dtype = torch.float64) -> Cameras:
    generator = torch.Generator().manual_seed(3)
    rotation = torch.linalg.qr(torch.randn(count, 3, 3, generator=generator, dtype=torch.float64)).Q
    rotation = rotation * torch.linalg.det(rotation).sign()[:, None, None]
    position = torch.randn(count, 3, 1, generator=generator, dtype=torch.float64)
    pose = torch.cat([rotation, position], dim=2).to(dtype)
    return Cameras.from_colmap(name, LENSES[name], world_from_camera=pose, size=(64, 48))  # type: ignore[arg-type]


def pixels_of(cameras: Cameras) -> tuple[Tensor, Tensor]:
    ticks = torch.linspace(0.0, 1.0, 5, dtype=cameras.focal.dtype)
    pixels = torch.cartesian_prod(ticks * 64.0, ticks * 48.0)
    return pixels.repeat(len(cameras), 1), torch.arange(len(cameras)).repeat_interleave(len(pixels))


def disturb(refinement: CameraRefinement, size: float) -> None:
    generator = torch.Generator().manual_seed(4)
    with torch.no_grad():
        for parameter in refinement.parameters():
            parameter.copy_(size * torch.randn(parameter.shape, generator=generator))


@pytest.mark.parametrize("lens", [False, True])
@pytest.mark.parametrize("name", LENSES)
def test_no_correction_leaves_the_rays_as_they_are(name: str, lens: bool) -> None:
    cameras = make_cameras(name)
    refinement = CameraRefinement(cameras, lens=lens).double()
    found, given = refinement.rays(cameras, *pixels_of(cameras)), cameras.rays(*pixels_of(cameras))
    torch.testing.assert_close(found, given, rtol=0.0, atol=1e-12)
    assert refinement.prior() == 0.0


@pytest.mark.parametrize("lens", [False, True])
@pytest.mark.parametrize("name", LENSES)
def test_rays_are_those_of_the_corrected_cameras(name: str, lens: bool) -> None:
    cameras = make_cameras(name)
    refinement = CameraRefinement(cameras, lens=lens).double()
    disturb(refinement, 0.02)
    found = refinement.rays(cameras, *pixels_of(cameras))
    corrected = refinement.corrected(cameras)
    expected = Cameras(*(getattr(corrected, name) for name in Cameras.__dataclass_fields__)).rays(*pixels_of(cameras))
    torch.testing.assert_close(found, expected, rtol=0.0, atol=1e-9)


@pytest.mark.parametrize("name", LENSES)
def test_gradients_agree_with_differences(name: str) -> None:
    cameras = make_cameras(name)
    pixels, indices = (every[::4] for every in pixels_of(cameras))
    refinement = CameraRefinement(cameras, lens=True).double()
    disturb(refinement, 0.02)
    assert refinement.lenses is not None
    names = ("poses", "lenses")
    starts = [getattr(refinement, name).detach().clone().requires_grad_() for name in names]

    def rays(*values: Tensor) -> tuple[Tensor, Tensor]:
        for name, value in zip(names, values, strict=True):
            delattr(refinement, name)
            setattr(refinement, name, value)
        return refinement.rays(cameras, pixels, indices)

    assert torch.autograd.gradcheck(rays, tuple(starts), eps=1e-6, atol=1e-6)


def test_views_share_the_correction_of_their_lens() -> None:
    one, other = make_cameras("OPENCV", 2), make_cameras("PINHOLE", 3)
    both = Cameras(*(torch.cat([getattr(c, name) for c in (one, other)]) for name in Cameras.__dataclass_fields__))
    refinement = CameraRefinement(both, lens=True)
    assert refinement.lenses is not None
    assert refinement.lenses.shape == (2, 3)
    assert len(set(refinement.lens_of_camera[:2].tolist())) == len(set(refinement.lens_of_camera[2:].tolist())) == 1


def test_a_fisheye_lens_is_not_corrected() -> None:
    pose = torch.eye(4)[None, :3].repeat(2, 1, 1)
    params = [18.0, 18.2, 32.1, 23.9, -0.02, 0.002, -1e-4, 1e-6]
    cameras = Cameras.from_colmap("OPENCV_FISHEYE", params, world_from_camera=pose, size=(64, 48))
    with pytest.raises(ValueError, match="Camera 0 has a fisheye lens: its poses can be refined, its lens cannot"):
        CameraRefinement(cameras, lens=True)
    CameraRefinement(cameras)


@pytest.mark.parametrize("angle", [0.0, 1e-9, 0.009, 0.011, 1.0, 3.1])
def test_rotation_matrices_are_exponentials(angle: float) -> None:
    axis = torch.nn.functional.normalize(torch.tensor([[1.0, -2.0, 0.5]], dtype=torch.float64), dim=1)
    x, y, z = (angle * axis)[0].tolist()
    cross = torch.tensor([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]], dtype=torch.float64)
    found = rotation_matrices(angle * axis)[0]
    torch.testing.assert_close(found, torch.linalg.matrix_exp(cross), rtol=0.0, atol=1e-12)


def test_rotation_matrices_have_a_gradient_at_zero() -> None:
    zero = torch.zeros(2, 3, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(rotation_matrices, (zero,))


def ball(positions: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
    """A soft ball, coloured by place and by the direction it is seen from."""
    density = 30.0 * torch.sigmoid(20.0 * (0.3 - (positions - 0.5).norm(dim=1)))
    return density, torch.sigmoid(4.0 * (positions - 0.5) + directions)


@pytest.mark.parametrize("backend", ["reference", "numba"])
def test_rendering_has_the_gradient_of_moving_the_ray(backend: str) -> None:
    """Against differences over shifts that carry the samples along."""
    grid = OccupancyGrid(extent=1, smallest_step=0.02, resolution=8, backend=backend)
    renderer = Renderer(
        density=lambda x: ball(x, torch.zeros_like(x))[0],
        radiance=ball,
        occupancy=grid,
        stepping=Stepping(0.02),
        thinning=Thinning(0.0, 0.0),
        backend=backend,
    )
    directions = torch.nn.functional.normalize(torch.tensor([[0.1, 0.2, 1.0], [-0.2, 0.1, 1.0]]), dim=1)
    origins = torch.tensor([[0.4, 0.45, 0.05], [0.6, 0.4, 0.05]], requires_grad=True)
    seen = renderer.render(Rays(origins, directions), torch.zeros(1, 3)).color.sum()
    seen.backward()
    assert origins.grad is not None
    for axis in (0, 1):
        step = torch.zeros(3)
        step[axis] = 2e-3
        with torch.no_grad():
            ahead, behind = (
                renderer.render(Rays(origins + sign * step, directions), torch.zeros(1, 3)).color.sum(dim=1)
                for sign in (1.0, -1.0)
            )
        expected = (ahead - behind) / 4e-3
        torch.testing.assert_close(origins.grad[:, axis], expected, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("name", LENSES)
def test_steps_of_one_size_move_the_picture_by_one_size(name: str) -> None:
    """By about the step in radians along every direction of what is learned."""
    cameras = make_cameras(name, count=1)
    refinement = CameraRefinement(cameras).double()
    generator = torch.Generator().manual_seed(8)
    pixels = torch.rand(400, 2, generator=generator, dtype=torch.float64) * torch.tensor([64.0, 48.0])
    origins, directions = cameras.rays(pixels, torch.zeros(400, dtype=torch.long))
    axis = cameras.world_from_camera[0, :, 2]
    distance = (cameras.world_from_camera[0, :, 3] - 0.5).norm()
    depth = distance * (0.5 + torch.rand(400, 1, generator=generator, dtype=torch.float64))
    points = origins + directions * depth / (directions @ axis)[:, None]
    moves = []
    for k in range(6):
        with torch.no_grad():
            refinement.poses.zero_()
            refinement.poses[0, k] = 1e-4
        found, _ = refinement.corrected(cameras).project(points, torch.zeros(400, dtype=torch.long))
        moves.append(float(((found - pixels) / cameras.focal).square().sum(dim=1).mean().sqrt()) / 1e-4)
    assert max(moves) / min(moves) < 6.0
    assert 0.3 < sum(moves) / 6 < 2.0


def test_moving_is_the_inverse_of_motions() -> None:
    refinement = CameraRefinement(make_cameras("OPENCV")).double()
    rotation, translation = 0.1 * torch.randn(2, 3, 3, generator=torch.Generator().manual_seed(9), dtype=torch.float64)
    refinement.move(rotation, translation)
    torch.testing.assert_close(refinement.motions(), (rotation, translation))


def test_other_cameras_with_a_lens_that_was_learned_get_its_correction() -> None:
    cameras, others = make_cameras("OPENCV", 3), make_cameras("OPENCV", 2)
    stranger = make_cameras("PINHOLE", 1)
    mixed = Cameras(*(torch.cat([getattr(c, n) for c in (stranger, others)]) for n in Cameras.__dataclass_fields__))
    refinement = CameraRefinement(cameras, lens=True).double()
    disturb(refinement, 0.02)
    found, learned = refinement.with_learned_lenses(mixed), refinement.corrected(cameras)
    assert torch.equal(found.focal[0], stranger.focal[0])
    assert torch.equal(found.distortion[0], stranger.distortion[0])
    assert torch.equal(found.focal[1:], learned.focal[:2])
    assert torch.equal(found.distortion[1:], learned.distortion[:2])
    assert (found.focal[1:] != others.focal).all()
    assert torch.equal(CameraRefinement(cameras).with_learned_lenses(mixed).focal, mixed.focal)
