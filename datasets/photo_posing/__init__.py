"""From plain photos, or a video, to posed photos: structure from motion, and what it takes before and after."""

from .pose_report import PoseReport as PoseReport
from .posing import PoseSettings as PoseSettings
from .posing import default_output as default_output
from .posing import pose_photos as pose_photos
