"""What differs from photo to photo though the scene is the same: exposure, white balance, light."""

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn


class Appearance(nn.Module):
    """An exposure per photo and channel, and a code per photo that the colour network sees.

        seen = color(x, d, code_i) exp(e_i - mean_j e_j)

    The mean photo, whose exposure is 1 and whose code is the mean code, is what new views are rendered as. After
    Martin-Brualla et al. 2021 ("NeRF in the Wild"), section 4.1, and Müller et al. 2022.

    Args:
        photos: How many.
        code_features: Length of a code; 0: exposures alone.
    """

    def __init__(self, photos: int, *, code_features: int = 0) -> None:
        super().__init__()
        self.exposures = nn.Parameter(torch.zeros(photos, 3))
        self.codes = nn.Parameter(torch.zeros(photos, code_features)) if code_features else None

    def gains(self, photos: Int[Tensor, " rays"]) -> Float[Tensor, "rays 3"]:
        """What colours are multiplied by in these photos."""
        return (self.exposures - self.exposures.mean(dim=0)).exp().index_select(0, photos)

    def codes_of(self, photos: Int[Tensor, " rays"]) -> Float[Tensor, "rays features"] | None:
        """These photos' codes; None without codes."""
        return None if self.codes is None else self.codes.index_select(0, photos)

    def mean_code(self) -> Float[Tensor, "1 features"] | None:
        """The code of a view that is no photo."""
        return None if self.codes is None else self.codes.mean(dim=0, keepdim=True)

    def prior(self) -> Tensor:
        """Mean over the photos of the squares of exposures and codes."""
        squares = self.exposures.square().sum(dim=1).mean()
        return squares if self.codes is None else squares + self.codes.square().sum(dim=1).mean()
