"""Forward models: cameras, rays, occupancy, marching and volume rendering."""

from .camera_models import CameraModel as CameraModel
from .camera_paths import interpolated_path as interpolated_path
from .camera_paths import turntable as turntable
from .cameras import Cameras as Cameras
from .composite import Composite as Composite
from .composite import composite as composite
from .key_frames import KeyFrames as KeyFrames
from .marching import Marcher as Marcher
from .marching import Thinning as Thinning
from .marching import visible_samples as visible_samples
from .mesh_sampling import SurfacePoints as SurfacePoints
from .mesh_sampling import sample_surface as sample_surface
from .meshes import Mesh as Mesh
from .occupancy import OccupancyGrid as OccupancyGrid
from .raster import Raster as Raster
from .raster import measure as measure
from .refinement import CameraRefinement as CameraRefinement
from .renderer import Renderer as Renderer
from .renderer import Rendering as Rendering
from .samples import Rays as Rays
from .samples import Samples as Samples
from .samples import Stepping as Stepping
from .similarity import Similarity as Similarity
from .visibility import seen_blocks as seen_blocks
