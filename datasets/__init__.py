"""Files to tensors in memory: posed photographs of any known format, and built-in scenes."""

from .data_report import DataReport as DataReport
from .data_report import inspect_folder as inspect_folder
from .errors import DataError as DataError
from .errors import FormatError as FormatError
from .errors import ImageFileError as ImageFileError
from .errors import ImageSizeError as ImageSizeError
from .errors import MissingFolderError as MissingFolderError
from .errors import NoPosesError as NoPosesError
from .errors import PoseError as PoseError
from .errors import TooFewImagesError as TooFewImagesError
from .errors import UnsafePathError as UnsafePathError
from .loading import load_posed_scene as load_posed_scene
from .posed_images import PixelBatch as PixelBatch
from .posed_images import PosedImages as PosedImages
from .posed_images import PosedScene as PosedScene
from .synthetic import BoundingSphere as BoundingSphere
from .synthetic import glossy_bounds as glossy_bounds
from .synthetic import synthetic_scene as synthetic_scene
from .synthetic import write_synthetic_folder as write_synthetic_folder
