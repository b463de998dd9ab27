"""What is fitted: encodings of coordinates, networks, the fields made of them, and their derivatives."""

from .adam import Adam as Adam
from .appearance import Appearance as Appearance
from .composition import Concatenation as Concatenation
from .composition import Identity as Identity
from .coordinate_field import CoordinateField as CoordinateField
from .derivatives import divergence as divergence
from .derivatives import gradient as gradient
from .derivatives import jacobian as jacobian
from .derivatives import laplacian as laplacian
from .derivatives import slope_along as slope_along
from .environment import Environment as Environment
from .finer import Finer as Finer
from .frequency import FourierFeatures as FourierFeatures
from .frequency import FrequencyEncoding as FrequencyEncoding
from .hash_grid import HashGrid as HashGrid
from .kernels.dispatch import BackendError as BackendError
from .kernels.dispatch import use_backend as use_backend
from .likelihoods import Likelihood as Likelihood
from .mlp import MLP as MLP
from .radiance_field import Radiance as Radiance
from .radiance_field import RadianceField as RadianceField
from .relu_network import ReLUNetwork as ReLUNetwork
from .siren import Siren as Siren
from .spherical_harmonics import SphericalHarmonics as SphericalHarmonics
from .spherical_harmonics import spherical_harmonics as spherical_harmonics
from .wire import Wire as Wire
