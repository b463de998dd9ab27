import pytest
import torch

from neufield.tools.errors import RunError
from neufield.tools.nerf.comparison import compare
from neufield.tools.nerf.evaluation import ScoredView


def view(
    name: str, render: torch.Tensor, target: torch.Tensor, *, psnr: float = 20.0, kept: torch.Tensor | None = None
) -> ScoredView:
    return ScoredView(name, {"psnr": psnr}, target, render, kept)


@pytest.fixture
def targets() -> list[torch.Tensor]:
    return list(torch.rand(3, 40, 64, 3, generator=torch.Generator().manual_seed(0)))


@pytest.mark.parametrize("place", [(0, 0), (20, 34), (30, 54)])
@pytest.mark.parametrize("worse", ["this", "other"])
def test_the_crop_is_where_one_was_spoilt(targets: list[torch.Tensor], place: tuple[int, int], worse: str):
    """A patch of one view is made wrong in one of the runs; the crop covers most of it, in that view."""
    top, left = place
    spoilt = targets[1].clone()
    spoilt[top : top + 10, left : left + 10] = (spoilt[top : top + 10, left : left + 10] + 0.5) % 1.0
    good = [view(name, target + 0.01, target) for name, target in zip("abc", targets, strict=True)]
    bad = [good[0], view("b", spoilt, targets[1]), good[2]]
    here, there = (bad, good) if worse == "this" else (good, bad)
    found = compare(("this", "other"), here, there)
    assert found.view == "b"
    found_top, found_left, side = found.crop
    assert side == 10
    assert abs(found_top - top) <= 2
    assert abs(found_left - left) <= 2
    assert (found.crop_psnr[0] < found.crop_psnr[1] - 10) == (worse == "this")
    window = (slice(found_top, found_top + side), slice(found_left, found_left + side))
    for picture, whole in zip(found.pictures, (targets[1], here[1].render, there[1].render), strict=True):
        assert torch.equal(picture, whole[window])


def test_means_are_over_the_common_views(targets: list[torch.Tensor]):
    here = [view(n, t, t, psnr=p) for n, t, p in zip("abc", targets, (30.0, 20.0, 10.0), strict=True)]
    there = [view("b", targets[1], targets[1], psnr=26.0), view("z", targets[2], targets[2])]
    assert compare(("x", "y"), here, there).psnr == (20.0, 26.0)


def test_runs_on_other_photos_are_refused(targets: list[torch.Tensor]):
    """Other names, other sizes, and the same names with other pixels: every Blender scene has an r_0.png."""
    here = [view("a", targets[0], targets[0])]
    for there in (
        [],
        [view("b", *targets[:1] * 2)],
        [view("a", *[targets[0][:20]] * 2)],
        [view("a", *targets[1:2] * 2)],
    ):
        with pytest.raises(
            RunError, match="The runs x and y have no held-out view in common; compare runs on the same"
        ):
            compare(("x", "y"), here, there)


def test_the_crop_is_not_where_a_mask_ignores_what_differs(targets: list[torch.Tensor]):
    """A large difference under the mask, a small one beside it: the small one is shown, and alone counts."""
    kept = torch.ones(40, 64, dtype=torch.bool)
    kept[:10, :10] = False
    render = targets[0] + 0.01
    spoilt = render.clone()
    spoilt[:10, :10] += 0.9
    spoilt[25:35, 40:50] += 0.2
    here, there = ([view("a", picture, targets[0], kept=kept)] for picture in (spoilt, render))
    top, left, _ = compare(("x", "y"), here, there).crop
    assert abs(top - 25) <= 2
    assert abs(left - 40) <= 2
    other_mask = [view("a", render, targets[0], kept=~kept)]
    for other in (other_mask, [view("a", render, targets[0])]):
        with pytest.raises(RunError, match="with the same masks"):
            compare(("x", "y"), here, other)


def test_two_runs_that_differ_under_masks_alone(targets: list[torch.Tensor]):
    kept = torch.ones(40, 64, dtype=torch.bool)
    kept[:20] = False
    here = [view("a", targets[0], targets[0], kept=kept)]
    assert compare(("x", "y"), here, here).crop_psnr == (100.0, 100.0)
