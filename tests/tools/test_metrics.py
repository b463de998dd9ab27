import json
import math

import pytest
import torch

from neufield.tools.metrics import HIGHEST_PSNR, exposed_psnr, psnr, score, ssim


def picture(seed: int = 0, height: int = 24, width: int = 31) -> torch.Tensor:
    return torch.rand(height, width, 3, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("error", [0.5, 0.1, 1e-3])
def test_psnr_of_a_constant_error_has_a_closed_form(error: float):
    target = torch.full((12, 15, 3), 0.25)
    assert psnr(target + error, target) == pytest.approx(-20 * math.log10(error), rel=1e-4)


def test_psnr_is_of_the_mean_error_not_the_mean_of_psnrs():
    target = torch.zeros(12, 12, 3)
    predicted = target.clone()
    predicted[:6] = 0.2
    assert psnr(predicted, target) == pytest.approx(-10 * math.log10(0.5 * 0.2**2), abs=1e-4)


def test_identical_pictures_score_the_highest_and_stay_valid_json():
    scores = score(picture(), picture())
    assert scores["psnr"] == HIGHEST_PSNR
    assert scores["ssim"] == pytest.approx(1.0, abs=1e-6)
    assert json.loads(json.dumps(scores, allow_nan=False)) == scores


def test_rounding_to_8_bits_stays_far_below_the_cut():
    target = picture(height=100, width=100)
    assert 58 < psnr((target * 255).round() / 255, target) < 60


def test_scores_fall_as_noise_grows():
    target = 0.25 + 0.5 * picture()
    noise = torch.randn(target.shape, generator=torch.Generator().manual_seed(1))
    scores = [score(target + amount * noise, target) for amount in (0.01, 0.05, 0.2)]
    for name in ("psnr", "ssim"):
        values = [one[name] for one in scores]
        assert values == sorted(values, reverse=True)


def test_ssim_agrees_with_its_definition_on_flat_pictures():
    # No variance anywhere: only the luminance term (2ab + c1) / (a² + b² + c1) is left.
    a, b, c1 = 0.3, 0.6, 0.01**2
    found = ssim(torch.full((20, 20, 3), a), torch.full((20, 20, 3), b))
    assert found == pytest.approx((2 * a * b + c1) / (a * a + b * b + c1), rel=1e-3)


def test_scores_do_not_change_when_both_pictures_are_mirrored():
    first, second = picture(1), picture(2)
    mirrored = score(first.flip(1), second.flip(1))
    assert mirrored == pytest.approx(score(first, second), rel=1e-5)


def test_pictures_of_different_sizes_are_refused():
    with pytest.raises(ValueError, match=r"one size, found 31 x 24 pixels against 30 x 24 pixels"):
        psnr(picture(), picture(width=30))


def test_pictures_smaller_than_the_window_are_refused():
    with pytest.raises(ValueError, match=r"at least 11 x 11 pixels, found 40 x 10 pixels"):
        ssim(picture(height=10, width=40), picture(height=10, width=40))


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_values_that_are_not_finite_are_refused(bad: float):
    broken = picture()
    broken[3, 4, 1] = bad
    with pytest.raises(ValueError, match="the predicted picture has NaN or infinite values"):
        score(broken, picture())


def hole(height: int = 24, width: int = 31) -> torch.Tensor:
    kept = torch.ones(height, width, dtype=torch.bool)
    kept[5:15, 8:20] = False
    return kept


def test_pixels_that_do_not_count_change_no_score():
    target, predicted, kept = picture(1), 0.9 * picture(1) + 0.1 * picture(2), hole()
    spoilt = torch.where(kept[..., None], predicted, picture(3))
    assert score(spoilt, target, kept) == score(predicted, target, kept)
    assert score(spoilt, target)["psnr"] < score(predicted, target)["psnr"]


def test_psnr_is_that_of_the_pixels_that_count():
    target = torch.zeros(12, 12, 3)
    predicted, kept = torch.full((12, 12, 3), 0.1), torch.ones(12, 12, dtype=torch.bool)
    predicted[:3], kept[:3] = 0.9, False
    assert psnr(predicted, target, kept) == pytest.approx(20.0)


def test_a_mask_that_leaves_everything_changes_nothing():
    everything = torch.ones(24, 31, dtype=torch.bool)
    found = score(picture(1), picture(2), everything)
    assert found == pytest.approx(score(picture(1), picture(2)), rel=1e-5)


def test_ssim_finds_errors_beside_the_ignored_ones():
    target, kept = picture(1), hole()
    predicted = target.clone()
    predicted[~kept] = 0.5
    assert ssim(predicted, target, kept) == pytest.approx(1.0, abs=1e-6)
    predicted[18:] = 0.5
    assert ssim(predicted, target, kept) < 0.95


def test_ssim_where_only_the_border_counts():
    kept = torch.zeros(24, 31, dtype=torch.bool)
    kept[0, 0] = True
    assert ssim(picture(1), picture(1), kept) == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("kept", [torch.zeros(24, 31, dtype=torch.bool), torch.ones(24, 30, dtype=torch.bool)])
def test_masks_that_leave_nothing_or_do_not_fit_are_refused(kept: torch.Tensor):
    with pytest.raises(ValueError, match="need a mask of their size that leaves at least one pixel"):
        psnr(picture(), picture(), kept)


@pytest.mark.parametrize("size", [(11, 11), (40, 13), (300, 1000), (273, 1000), (1000, 300)])
def test_similarity_by_strips_is_that_of_the_whole_picture(size: tuple[int, int]):
    from torchmetrics.functional.image import structural_similarity_index_measure

    generator = torch.Generator().manual_seed(0)
    one = torch.rand(*size, 3, generator=generator)
    other = (one + 0.1 * torch.rand(*size, 3, generator=generator)).clamp(0.0, 1.0)
    first, second = (image.permute(2, 0, 1)[None] for image in (one, other))
    whole = structural_similarity_index_measure(first, second, kernel_size=11, sigma=1.5, data_range=1.0)
    assert ssim(one, other) == pytest.approx(float(whole), abs=1e-6)


def test_fitted_exposure_takes_gains_from_the_left_half_alone():
    generator = torch.Generator().manual_seed(0)
    target = 0.1 + 0.3 * torch.rand(12, 20, 3, generator=generator)
    darker = target * torch.tensor([0.5, 0.8, 1.6])
    assert exposed_psnr(darker, target) == HIGHEST_PSNR
    assert psnr(darker, target) < 20.0
    darker[:, 10:] *= 0.5
    halved = exposed_psnr(darker, target)
    assert halved == pytest.approx(psnr(0.5 * target[:, 10:], target[:, 10:]), abs=1e-3)
    left_only = torch.zeros(12, 20, dtype=torch.bool)
    left_only[:, :3] = True
    assert exposed_psnr(darker, target, left_only) is None
