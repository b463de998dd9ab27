"""Video files from a stream of frames: mp4 (H.264) or gif, by the ending of the name."""

import itertools
import subprocess
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile

import numpy as np
from jaxtyping import UInt8

from ..datasets import OutputError
from ..datasets.whole_output import whole_file


def write_video(path: Path, frames: Iterable[UInt8[np.ndarray, "height width 3"]], *, fps: float | int = 30) -> int:
    """Writes frames as they come; never holds more than one or two, and the file appears complete or not at all.

    Args:
        path: Ends with `.mp4` (libx264, yuv420p, BT.709: plays everywhere) or `.gif` (endless loop).
        frames: Of one size. H.264 halves the colour resolution and needs even sizes: an odd side is made even by
            repeating its last row or column.
        fps: Frames per second, > 0. A gif counts time in hundredths of a second.

    Returns:
        How many frames were written.

    Raises:
        ValueError: The ending is another one, there are no frames, a frame differs in size, fps is not positive, or the
            file cannot be written.
    """
    ending = path.suffix.lower()
    if ending not in (".mp4", ".gif"):
        raise ValueError(f"a video's name must end with .mp4 or .gif, found {path.name!r}")
    if not fps > 0:
        raise ValueError(f"fps must be above 0, found {fps}")
    with whole_file(path) as aside:
        checked = _Checked(frames, path)
        (_write_mp4 if ending == ".mp4" else _write_gif)(aside, checked, fps)
        return checked.count


class _Checked:
    """Passes frames on, counts them and refuses one of another size or kind."""

    def __init__(self, frames: Iterable[np.ndarray], path: Path):
        self.count = 0
        self._frames = iter(frames)
        self.name = path.name
        first = next(self._frames, None)
        if first is None:
            raise ValueError(f"{self.name}: there are no frames to write")
        self.first: np.ndarray = first

    def __iter__(self) -> Iterator[np.ndarray]:
        wanted = (*self.first.shape[:2], 3)
        for frame in itertools.chain([self.first], self._frames):
            if frame.shape != wanted or frame.dtype != np.uint8:
                raise ValueError(
                    f"{self.name}: frame {self.count} must be uint8 of shape {wanted}, "
                    f"found {frame.dtype} of shape {frame.shape}"
                )
            self.count += 1
            yield np.ascontiguousarray(frame)


def _write_mp4(aside: Path, frames: _Checked, fps: float | int) -> None:
    import imageio_ffmpeg

    height, width = frames.first.shape[:2]
    odd = ((0, height % 2), (0, width % 2), (0, 0))
    command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-f", "rawvideo", "-pix_fmt", "rgb24"]
    command += ["-s", f"{width + width % 2}x{height + height % 2}", "-r", str(fps), "-i", "-"]
    # Said outright: of a file that does not name its colours, players guess them by its size.
    command += ["-vf", "scale=out_color_matrix=bt709:out_range=tv", "-color_range", "tv", "-colorspace", "bt709"]
    command += ["-color_primaries", "bt709", "-color_trc", "bt709"]
    command += ["-c:v", "libx264", "-pix_fmt", "yuv420p", "-crf", "18", "-movflags", "+faststart"]
    command += [str(aside.absolute())]
    with TemporaryFile() as said:
        # A session of its own: Ctrl-C stops whoever draws the frames, and ffmpeg ends with its input.
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stderr=said, start_new_session=True)
        with suppress(BrokenPipeError), process:  # it may end early, and says why
            assert process.stdin is not None
            for frame in frames:
                process.stdin.write(np.pad(frame, odd, mode="edge").data)
        if process.returncode:
            said.seek(0)
            lines = said.read().decode(errors="replace").splitlines() or [f"exit code {process.returncode}"]
            raise OutputError(f"{frames.name}: ffmpeg ended early ({lines[0]}); see to disk space and memory")


def _write_gif(aside: Path, frames: _Checked, fps: float | int) -> None:
    from PIL import Image

    # One palette for all frames, taken from the first: a palette a frame would flicker.
    palette = Image.fromarray(frames.first).quantize(256, method=Image.Quantize.MEDIANCUT)
    pictures = (Image.fromarray(frame).quantize(palette=palette) for frame in frames)
    next(pictures).save(
        aside, save_all=True, append_images=pictures, duration=max(round(100 / fps), 1) * 10, loop=0, optimize=False
    )
