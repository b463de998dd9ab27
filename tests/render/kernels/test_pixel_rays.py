"""The CPU's rays are the reference's for every lens, and gradients reach poses and lenses."""

import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from neufield.fields.kernels.dispatch import use_backend
from neufield.render.cameras import Cameras

SIZE = (64, 48)
LENSES = {
    "PINHOLE": [50.0, 51.0, 32.5, 23.0],
    "SIMPLE_RADIAL": [50.0, 32.0, 24.0, -0.2],
    "RADIAL": [40.0, 33.0, 23.6, -0.3, 0.15],
    "OPENCV": [45.0, 45.5, 31.8, 24.2, -0.2, 0.08, 0.01, -0.008],
    "OPENCV_FISHEYE": [18.0, 18.2, 32.1, 23.9, -0.02, 0.002, -1e-4, 1e-6],
}


def make_cameras(name: str, count: int = 2) -> Cameras:
    generator = torch.Generator().manual_seed(len(name))
    rotation = torch.linalg.qr(torch.randn(count, 3, 3, generator=generator)).Q
    pose = torch.cat([rotation, torch.randn(count, 3, 1, generator=generator)], dim=2)
    return Cameras.from_colmap(name, LENSES[name], world_from_camera=pose, size=SIZE)  # type: ignore[arg-type]


def join(*batches: Cameras) -> Cameras:
    return Cameras(*(torch.cat([getattr(b, name) for b in batches]) for name in Cameras.__dataclass_fields__))


def whole_image(cameras: Cameras) -> tuple[Tensor, Tensor]:
    ticks = torch.linspace(0.0, 1.0, 11)
    pixels = torch.cartesian_prod(ticks * SIZE[0], ticks * SIZE[1])
    return pixels.repeat(len(cameras), 1), torch.arange(len(cameras)).repeat_interleave(len(pixels))


PERSPECTIVE = join(*(make_cameras(name) for name in list(LENSES)[:4]))
BATCHES = {name: make_cameras(name) for name in LENSES} | {
    "perspective lenses mixed": PERSPECTIVE,
    "all mixed": join(PERSPECTIVE, make_cameras("OPENCV_FISHEYE")),
    "an image": make_cameras("OPENCV", count=1),
}


@pytest.mark.parametrize("name", BATCHES)
def test_numba_s_rays_are_the_reference_s(name: str) -> None:
    cameras = BATCHES[name]
    pixels, indices = whole_image(cameras)
    found = cameras.rays(pixels, indices, backend="numba")
    truth = cameras.rays(pixels, indices, backend="reference")
    assert torch.equal(found[0], truth[0])
    torch.testing.assert_close(found[1], truth[1], rtol=0.0, atol=6e-7)
    exact = cameras.to("cpu", torch.float64).rays(pixels.double(), indices)
    torch.testing.assert_close(found[1].double(), exact[1], rtol=0.0, atol=1e-6)


@pytest.mark.parametrize("count", [0, 1, 17])
def test_odd_numbers_of_pixels_and_strided_input(count: int) -> None:
    cameras = BATCHES["perspective lenses mixed"]
    pixels, indices = (every[: 3 * count : 3] for every in whole_image(cameras))
    found, truth = (cameras.rays(pixels, indices, backend=backend) for backend in ("numba", "reference"))
    torch.testing.assert_close(found[1], truth[1], rtol=0.0, atol=6e-7)
    assert found[0].shape == found[1].shape == (count, 3)


def test_a_pixel_that_is_no_number_sees_along_no_direction() -> None:
    cameras = BATCHES["OPENCV"]
    pixels = torch.tensor([[math.nan, 1.0], [math.inf, 1.0], [10.0, 10.0]])
    directions = cameras.rays(pixels, torch.zeros(3, dtype=torch.long), backend="numba")[1]
    assert not directions[0].isfinite().any()
    assert directions[2].isfinite().all()


@pytest.mark.parametrize("learned", ["world_from_camera", "focal", "center", "distortion"])
def test_gradients_reach_the_cameras_with_every_backend(learned: str) -> None:
    cameras = BATCHES["OPENCV"]
    pixels, indices = whole_image(cameras)
    slopes = []
    for backend in ("numba", "reference"):
        parameter = getattr(cameras, learned).clone().requires_grad_()
        with use_backend(backend):
            origins, directions = replace(cameras, **{learned: parameter}).rays(pixels, indices)
        (directions[:, 0] + origins[:, 1]).sum().backward()
        assert parameter.grad is not None
        assert parameter.grad.abs().max() > 0.0
        slopes.append(parameter.grad)
    assert torch.equal(*slopes)


@pytest.mark.parametrize("index", [-1, 8, 10**6])
def test_a_camera_that_is_not_there_is_refused(index: int) -> None:
    cameras = BATCHES["perspective lenses mixed"]
    with pytest.raises(IndexError, match=f"camera {index} of 8"):
        cameras.rays(torch.ones(2, 2), torch.tensor([0, index]), backend="numba")
