"""Point clouds as users have them: what is refused, what is left out, and what is said of it."""

from pathlib import Path

import numpy as np
import pytest
import torch

from neufield.datasets import FormatError, MissingFileError, PointCloud, PointCloudError, load_point_cloud
from neufield.datasets.point_clouds import FEWEST_POINTS

RANDOM = np.random.default_rng(1)
BALL = RANDOM.normal(size=(200, 3))
BALL /= np.linalg.norm(BALL, axis=1, keepdims=True)


def load(folder: Path, points: np.ndarray, **beside: np.ndarray) -> PointCloud:
    np.savez(folder / "a.npz", points=points, **beside)
    return load_point_cloud(folder / "a.npz")


def test_a_good_cloud_is_kept_as_it_is(tmp_path: Path) -> None:
    colors = RANDOM.integers(0, 256, (200, 3)).astype(np.uint8)
    far_away = 1e7 + BALL  # national grids: single precision would be a metre
    cloud = load(tmp_path, far_away, normals=3.0 * BALL, colors=colors)
    assert cloud.notes == ()
    assert cloud.points.numpy().tolist() == far_away.tolist()
    assert cloud.normals is not None
    assert cloud.colors is not None
    np.testing.assert_allclose(cloud.normals.numpy(), BALL, atol=1e-6)
    np.testing.assert_allclose(cloud.colors.numpy(), colors / 255.0, atol=1e-6)
    cloud.points[0] = 0.0  # memory of its own


def test_what_is_not_finite_is_left_out_and_counted(tmp_path: Path) -> None:
    points = BALL.copy()
    points[3, 1], points[7] = np.nan, np.inf
    cloud = load(tmp_path, points, normals=BALL)
    kept = np.delete(BALL, [3, 7], axis=0)
    assert cloud.points.numpy().tolist() == kept.tolist()
    assert cloud.normals is not None
    np.testing.assert_allclose(cloud.normals.numpy(), kept, atol=1e-6)
    assert cloud.notes == ("2 points are NaN or infinite, and left out",)
    points[7] = 1e200
    assert load(tmp_path, points).notes == cloud.notes
    with pytest.raises(PointCloudError, match=r"a\.npz: all its 200 points are NaN or infinite"):
        load(tmp_path, np.full_like(BALL, np.nan))


def test_duplicates_are_left_out_and_counted(tmp_path: Path) -> None:
    points = np.concatenate([BALL, BALL[[5, 5, 0]], [[0.0, 1.0, 2.0], [-0.0, 1.0, 2.0]]])
    cloud = load(tmp_path, points, normals=np.arange(1.0, 616.0).reshape(205, 3))
    assert cloud.points.numpy().tolist() == points[[*range(200), 203]].tolist()  # the first of each stays
    assert cloud.normals is not None
    np.testing.assert_allclose(
        cloud.normals[200].numpy(), np.array([610, 611, 612]) / np.sqrt(611**2 * 3 + 2), rtol=1e-6
    )
    assert cloud.notes == ("4 points are at the place of an earlier one, and left out",)


def test_many_points_that_are_alike_in_two_coordinates_are_distinct(tmp_path: Path) -> None:
    grid = np.stack(np.meshgrid(*[np.arange(20.0)] * 3), axis=-1).reshape(-1, 3)
    cloud = load(tmp_path, np.concatenate([grid, grid[::-1]]))
    assert cloud.points.numpy().tolist() == grid.tolist()


@pytest.mark.parametrize(
    ("points", "message"),
    [
        (np.empty((0, 3)), "expected at least 10 points, found none"),
        (BALL[:1], "expected at least 10 distinct points, found 1"),
        (BALL[: FEWEST_POINTS - 1], "expected at least 10 distinct points, found 9"),
        (np.repeat(BALL[:3], 50, axis=0), "expected at least 10 distinct points, found 3"),
        (np.repeat(BALL[:1], 50, axis=0), "all its 50 points lie at one place"),
        (np.linspace(0.0, 1.0, 50)[:, None] * [1.0, 2.0, -3.0] + 100.0, "all its 50 points lie on a line"),
        (np.linspace(0.0, 1e-9, 50)[:, None] * [0.0, 0.0, 1.0], "all its 50 points lie on a line"),
    ],
)
def test_what_has_no_surface_is_refused(tmp_path: Path, points: np.ndarray, message: str) -> None:
    with pytest.raises(PointCloudError, match=rf"a\.npz: {message}"):
        load(tmp_path, points)


@pytest.mark.parametrize("scale", [1e-12, 1.0, 1e9])
def test_ten_points_and_planes_are_enough(tmp_path: Path, scale: float) -> None:
    assert len(load(tmp_path, scale * BALL[:FEWEST_POINTS]).points) == FEWEST_POINTS
    turn = np.linalg.qr(RANDOM.normal(size=(3, 3)))[0]
    cloud = load(tmp_path, scale * (BALL * [1.0, 1.0, 0.0] @ turn + 5.0))
    assert len(cloud.points) == 200
    assert cloud.notes == ("its points lie in a plane",)


def test_isolated_points_stay_and_are_named(tmp_path: Path) -> None:
    far = np.concatenate([BALL, [[1e6, 0.0, 0.0]]])
    cloud = load(tmp_path, far)
    assert len(cloud.points) == 201
    (note,) = cloud.notes
    assert note.startswith("1 of 201 points lies far from all others, the farthest (1e+06, 0, 0) ")
    assert note.endswith(
        "times as far from the middle as nine in ten points: the surface shrinks to a dot beside it; remove it"
    )
    line = np.concatenate([np.linspace(0.0, 1.0, 50)[:, None] * [1.0, 0.0, 0.0], [[0.0, 1e6, 0.0]]])
    with pytest.raises(PointCloudError, match="lie on a line"):
        load(tmp_path, line)
    assert load(tmp_path, np.concatenate([BALL, 30.0 * BALL[:3]])).notes == ()


def test_normals_without_length(tmp_path: Path) -> None:
    normals = BALL.copy()
    normals[4], normals[9, 0] = 0.0, np.nan
    cloud = load(tmp_path, BALL, normals=normals)
    assert cloud.normals is not None
    distances = np.linalg.norm(BALL[4] - np.delete(BALL, [4, 9], axis=0), axis=1)
    np.testing.assert_allclose(cloud.normals[4].numpy(), np.delete(BALL, [4, 9], axis=0)[distances.argmin()], atol=1e-6)
    torch.testing.assert_close(cloud.normals.norm(dim=1), torch.ones(200))
    assert cloud.notes == ("2 of its 200 normals have no length, and are replaced by their nearest neighbours'",)
    cloud = load(tmp_path, BALL, normals=np.where(np.arange(200)[:, None] % 2, BALL, 0.0))
    assert cloud.normals is None
    assert cloud.notes == ("100 of its 200 normals have no length, and none is used",)


def test_a_mesh_gives_its_vertices(tmp_path: Path) -> None:
    (tmp_path / "a.obj").write_text("".join(f"v {x} {y} {z}\n" for x, y, z in BALL) + "f 1 2 3 4\n")
    cloud = load_point_cloud(tmp_path / "a.obj")
    assert cloud.points.numpy().tolist() == BALL.tolist()
    assert cloud.notes == ("it is a mesh: its 200 vertices are taken as the cloud, and its 2 triangles are not used",)


def test_files_that_are_no_clouds(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="found nothing"):
        load_point_cloud(tmp_path / "a.ply")
    (tmp_path / "a.ply").write_bytes(b"")
    with pytest.raises(FormatError, match="is empty"):
        load_point_cloud(tmp_path / "a.ply")
    header = "ply\nformat ascii 1.0\nelement vertex 0\n" + "".join(f"property float {axis}\n" for axis in "xyz")
    (tmp_path / "a.ply").write_text(header + "end_header\n")
    with pytest.raises(PointCloudError, match="expected at least 10 points, found none"):
        load_point_cloud(tmp_path / "a.ply")


@pytest.mark.parametrize(("name", "count"), [("gargoyle", 95_435), ("dc", 71_265), ("daratech", 61_460)])
def test_scans(real_data: Path, name: str, count: int) -> None:
    cloud = load_point_cloud(real_data / "clouds" / f"{name}.ply")
    assert cloud.points.shape == (count, 3)
    assert cloud.normals is not None
    assert cloud.notes == ()
    torch.testing.assert_close(cloud.normals.norm(dim=1), torch.ones(count))
