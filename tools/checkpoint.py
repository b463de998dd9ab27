"""Checkpoints: a safetensors file with facts as JSON in its header; written aside, flushed, renamed. No pickle."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..datasets.whole_output import whole_file
from .errors import RunError
from .run_folder import RunFolder

VERSION = 1


@dataclass(frozen=True)
class Checkpoint:
    """Tensors by name, and the plain facts beside them (step, seconds, ray count, ...)."""

    tensors: dict[str, Tensor]
    facts: dict[str, Any]


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Writes a checkpoint so that `path` always holds a whole one, whenever the machine stops.

    Raises:
        OutputError, RunError: Nothing can be written there, or the disk is full.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.tensors.items()}
    header = {"format": "neufield", "version": str(VERSION), "facts": json.dumps(checkpoint.facts)}
    with whole_file(path) as aside:
        mode = aside.stat().st_mode
        try:
            save_file(tensors, aside, metadata=header)
        except SafetensorError as error:
            raise RunError(f"The checkpoint {path} cannot be written ({error}); the one before it is kept.") from None
        aside.chmod(mode)  # safetensors lets nobody but the owner read its files


def require_checkpoint(path: Path) -> None:
    """Refuses a run without a checkpoint.

    Raises:
        RunError: Says how to train it again.
    """
    if not path.is_file():
        run = RunFolder(path.parents[1])
        raise RunError(
            f"There is no checkpoint {path}: the run was stopped before its first one. "
            f"Train it again: `neufield {run.task or 'nerf'} --config {run.config} --force`."
        )


def load_checkpoint(path: Path) -> Checkpoint:
    """Reads a checkpoint.

    Raises:
        RunError: There is none, it is damaged or cut short, or it was written by another version.
    """
    from safetensors import SafetensorError, safe_open

    require_checkpoint(path)
    try:
        with safe_open(path, framework="pt") as file:
            header = file.metadata() or {}
            if header.get("format") != "neufield":
                raise RunError(f"{path} is not a checkpoint of neufield.")
            if header.get("version") != str(VERSION):
                raise RunError(
                    f"{path} was written in version {header.get('version')} of the checkpoint format, this neufield "
                    f"reads version {VERSION}. Use the neufield that wrote it, or train again with --force."
                )
            facts = json.loads(header["facts"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, KeyError, json.JSONDecodeError, OSError) as error:
        raise RunError(
            f"The checkpoint {path} is damaged or cut short ({error}). Train the run again with --force."
        ) from None
    return Checkpoint(tensors, facts)


def load_into(targets: dict[str, Tensor], tensors: dict[str, Tensor], prefix: str, path: Path) -> None:
    """Copies the checkpoint's tensors `prefix`NAME into `targets`, in place.

    Raises:
        RunError: A tensor is missing or of another shape: the checkpoint belongs to other settings.
    """
    for name, target in targets.items():
        found = tensors.get(prefix + name)
        if found is None or found.shape != target.shape or found.dtype != target.dtype:
            what = "is missing" if found is None else f"is {found.dtype} {tuple(found.shape)}"
            raise RunError(
                f"The checkpoint {path} does not fit the run's config.yaml: {prefix}{name} {what}, expected "
                f"{target.dtype} {tuple(target.shape)}."
            )
        with torch.no_grad():
            target.copy_(found)


def load_averaged(path: Path, model: nn.Module) -> dict[str, Any]:
    """Copies a run's averaged weights into its model, the last step's where no average was kept; returns the facts.

    Raises:
        RunError: As `load_checkpoint` and `load_into`.
    """
    checkpoint = load_checkpoint(path)
    load_into(model.state_dict(), checkpoint.tensors, "model.", path)
    averaged = {name: tensor for name, tensor in model.named_parameters() if f"average.{name}" in checkpoint.tensors}
    load_into({name: tensor.data for name, tensor in averaged.items()}, checkpoint.tensors, "average.", path)
    return checkpoint.facts
