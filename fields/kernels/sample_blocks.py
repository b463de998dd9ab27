"""How samples get into blocks and out of them.

They lie [feature, sample] in memory, as encodings leave them, and [sample, feature] in a block, as products want them.
"""

import numpy as np
from torch import Tensor

from .numba_runtime import compiled
from .vector_dense import BLOCK, transpose


def columns(tensor: Tensor) -> np.ndarray:
    """The tensor (samples, features) as [feature, sample] in memory; no copy where it already lies so."""
    return np.ascontiguousarray(tensor.detach().float().numpy().T)


def flat(tensor: Tensor) -> np.ndarray:
    """A flat tensor of parameters as floats, one behind the other."""
    return np.ascontiguousarray(tensor.detach().float().numpy())


@compiled
def read_block(source, start, count, block, scratch):
    """Columns start..start + count of source (feature, sample) as the block (sample, feature), filled up with zeros."""
    features = block.shape[1]
    if count == BLOCK and source.shape[0] == features:
        transpose(source, start, source.shape[1], features, BLOCK, block, 0, features)
        return
    scratch[: features * BLOCK] = 0.0
    for feature in range(source.shape[0]):
        for s in range(count):
            scratch[feature * BLOCK + s] = source[feature, start + s]
    transpose(scratch, 0, BLOCK, features, BLOCK, block, 0, features)


@compiled
def write_block(block, target, start, count, scratch):
    """The opposite of `read_block`."""
    features = block.shape[1]
    if count == BLOCK and target.shape[0] == features:
        transpose(block, 0, features, BLOCK, features, target, start, target.shape[1])
        return
    transpose(block, 0, features, BLOCK, features, scratch, 0, BLOCK)
    for feature in range(target.shape[0]):
        for s in range(count):
            target[feature, start + s] = scratch[feature * BLOCK + s]
