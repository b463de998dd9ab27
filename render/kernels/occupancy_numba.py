"""Upkeep of the occupancy grid on the CPU."""

import numpy as np
import torch
from numba import get_num_threads, prange
from torch import Tensor

from ...fields.kernels.numba_runtime import CHUNKS, exact_parallel
from ...fields.kernels.numba_runtime import supports as supports
from .march_numba import locate


def observe(values: Tensor, cells: Tensor, density: Tensor, decay: float) -> None:
    """Takes note, in place, of densities seen in cells: see the reference."""
    parts = 1 << (get_num_threads().bit_length() - 1)  # a power of two; the result is the same for any
    _observe(values.numpy(), cells.numpy(), density.detach().contiguous().numpy(), np.float32(decay), parts)


def cells_of(positions: Tensor, resolution: int, cascades: int) -> Tensor:
    """The cell of every position, -1 outside; see the reference."""
    cells = np.empty(len(positions), np.int64)
    _cells_of(positions.detach().contiguous().numpy(), resolution, cascades, cells)
    return torch.from_numpy(cells)


def pack(values: Tensor, threshold: float) -> Tensor:
    """One bit a cell, lowest bit first: whether its value exceeds the threshold."""
    bits = np.empty(len(values) // 8, np.uint8)
    _pack(values.numpy(), np.float32(threshold), bits)
    return torch.from_numpy(bits)


def spread(bits: Tensor, strong: Tensor, resolution: int) -> None:
    """Sets the bits of all cells that share a face with a strong one of the same grid; see the reference."""
    _spread(bits.numpy(), strong.numpy(), resolution)


@exact_parallel
def _cells_of(positions, resolution, cascades, cells):
    for chunk in prange(CHUNKS):
        for n in range(len(cells) * chunk // CHUNKS, len(cells) * (chunk + 1) // CHUNKS):
            cascade, i, j, k = locate(positions[n, 0], positions[n, 1], positions[n, 2], resolution, cascades)
            cells[n] = ((cascade * resolution + i) * resolution + j) * resolution + k if cascade >= 0 else -1


@exact_parallel
def _observe(values, cells, density, decay, parts):
    # A part looks after the cells whose bits above the sixth are its number: no two write to one cell.
    # The sign bit marks a cell that has decayed in this call: values are never negative outside it.
    for part in prange(parts):
        for cell in cells:
            mine = cell >= 0 and (cell >> 6) & (parts - 1) == part
            if mine and values[cell] >= np.float32(0.0) and not np.signbit(values[cell]):
                values[cell] = -(values[cell] * decay)
        for i, cell in enumerate(cells):
            if cell >= 0 and (cell >> 6) & (parts - 1) == part and density[i] > abs(values[cell]):
                values[cell] = -density[i]
        for cell in cells:
            if cell >= 0 and (cell >> 6) & (parts - 1) == part:
                values[cell] = abs(values[cell])


@exact_parallel
def _pack(values, threshold, bits):
    for chunk in prange(CHUNKS):
        for byte in range(len(bits) * chunk // CHUNKS, len(bits) * (chunk + 1) // CHUNKS):
            packed = np.uint8(0)
            for bit in range(8):
                if values[8 * byte + bit] > threshold:
                    packed |= np.uint8(1 << bit)
            bits[byte] = packed


@exact_parallel
def _spread(bits, strong, resolution):
    row = resolution >> 3  # bytes per line of cells along z
    for slab in prange(len(bits) // (row * resolution)):
        i = slab % resolution
        for j in range(resolution):
            for k in range(row):
                n = (slab * resolution + j) * row + k
                own = np.int32(strong[n])
                near = (own << 1) | (own >> 1)
                if k > 0:
                    near |= strong[n - 1] >> 7
                if k < row - 1:
                    near |= (strong[n + 1] & 1) << 7
                if j > 0:
                    near |= strong[n - row]
                if j < resolution - 1:
                    near |= strong[n + row]
                if i > 0:
                    near |= strong[n - row * resolution]
                if i < resolution - 1:
                    near |= strong[n + row * resolution]
                bits[n] |= np.uint8(near & 255)
