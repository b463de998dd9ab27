"""The command line: which commands there are, and one clear sentence where something is wrong."""

import ctypes
import importlib
import os
import sys
from collections.abc import Callable, Sequence

_COMMANDS = {
    "demo": "train on a built-in scene: the whole program in about two minutes",
    "nerf": "train a NeRF on a folder of posed photos",
    "image": "fit a picture as a field",
    "video": "fit a clip as a field, and draw it at any time between its frames",
    "surface": "reconstruct the surface of a point cloud as a mesh",
    "eval": "score a run again and write its report",
    "render": "render a video of a NeRF, or a picture or a clip at any resolution",
    "resume": "go on with a run that was stopped, or train it longer",
    "bench": "time the backends that run here, side by side",
    "data check": "say what a folder holds and what is wrong with it, before any training",
    "data pose": "find the poses of plain photos or of a video",
}

_USAGE = """neufield: neural fields from photos, on a plain CPU or a GPU.

usage: neufield COMMAND [OPTIONS]        neufield COMMAND --help tells a command's options

{commands}

Start with `neufield demo`, then `neufield nerf PHOTOS_FOLDER`. Runs are folders in runs/; open their report.html.
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit code: 0, 2 for bad input (told in one sentence), 130 after Ctrl-C."""
    # OpenMP's threads spin for some microseconds after every kernel, which saves waking them for the next one, and
    # then sleep. By default they spin far longer, and on a machine that has anything else to do training takes eight
    # times as long. Read when torch loads the library, so set before.
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    _keep_freed_memory()
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    name, rest = _split(arguments)
    if name is None:
        return _without_command(arguments)
    command: Callable[[list[str]], str] = getattr(importlib.import_module(".commands", __package__), _function(name))
    try:
        print(command(rest), flush=True)
    except SystemExit as stop:  # tyro has told what is wrong with the options, or has printed the help
        return stop.code if isinstance(stop.code, int) else 2
    except KeyboardInterrupt:
        print("neufield: interrupted.", file=sys.stderr)
        return 130
    except (ValueError, OSError, FloatingPointError) as error:
        if os.environ.get("NEUFIELD_TRACEBACK"):
            raise
        print(f"neufield: {error}", file=sys.stderr)
        return 2
    return 0


_MMAP_THRESHOLD, _TRIM_THRESHOLD = -3, -1  # names in glibc's malloc.h
_MOST_KEPT = 1 << 30


def _keep_freed_memory() -> None:
    """Asks glibc not to give large arrays back: pages that the system hands out anew cost more than computing them."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, _MOST_KEPT)
        mallopt(_TRIM_THRESHOLD, _MOST_KEPT)


def _without_command(arguments: list[str]) -> int:
    first = arguments[0] if arguments else ""
    if first == "--version":
        from importlib.metadata import version

        print(f"neufield {version('neufield')}")
        return 0
    if first in ("", "-h", "--help"):
        print(_USAGE.format(commands="\n".join(f"  {key:<12}{text}" for key, text in _COMMANDS.items())))
        return 0 if first else 2
    longer = [f"neufield {name}" for name in _COMMANDS if name.startswith(f"{first} ")]
    remedy = " or ".join(longer) if longer else "neufield --help"
    print(f"neufield: there is no command {first!r}. Try: {remedy}", file=sys.stderr)
    return 2


def _split(arguments: list[str]) -> tuple[str | None, list[str]]:
    """The command that the first one or two words name, and what follows."""
    for words in (2, 1):
        name = " ".join(arguments[:words])
        if name in _COMMANDS and len(arguments) >= words:
            return name, arguments[words:]
    return None, arguments


def _function(name: str) -> str:
    return name.replace(" ", "_") + "_command"


if __name__ == "__main__":
    sys.exit(main())
