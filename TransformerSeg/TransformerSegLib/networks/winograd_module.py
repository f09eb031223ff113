"""3×3×3 convolutions with half of the multiplications. Imports torch: only modules of networks import it.

Along depth, Winograd's F(m, 3): Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks",
https://arxiv.org/abs/1509.09308, equation 6 in one dimension. m + 2 products make m outputs, which take 3m without it:
6 instead of 12, or 8 instead of 18. Within planes each product is an ordinary 3×3 convolution, for which processors
have their best code.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import nn
from torch.nn.functional import conv2d, conv3d

from TransformerSegLib.networks.planes_module import KERNEL, Planes, as_images, as_planes, tile_for, tiles_of

POINTS = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5)
"""Where polynomials are compared; as many of the first as are needed, and infinity."""

GROUP_BYTES = 8 * 1024**2
"""What the products of tiles that are made together may take, so that they stay in the cache."""

FEW_VOXELS = 128
"""So many are convolved sooner than larger kernels are read."""

MAXIMUM_KERNEL_BYTES = 24 * 1024**2
"""Of kernels that are transformed: larger ones serve few voxels."""

PlaneWork = Callable[[int, int], None]
"""Something done to the planes from … up to …"""


def winograd_matrices(tile: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Aᵀ (tile, P), G (P, 3) and Bᵀ (P, P) of F(tile, 3), with P = tile + 2 products: of data d (P,) and a kernel
    g (3,) the outputs are Aᵀ[(G g) ⊙ (Bᵀ d)].

    By Cook and Toom, as Barabasz and others give it: "Error Analysis and Improving the Accuracy of Winograd
    Convolution for Deep Neural Networks", https://arxiv.org/abs/1803.10986, section 2.
    """
    products = tile + KERNEL - 1
    points = np.array(POINTS[: products - 1])
    infinity = np.zeros(products)
    infinity[-1] = 1.0
    others = [np.delete(points, number) for number in range(len(points))]
    output = np.column_stack([np.vander(points, tile, increasing=True).T, infinity[-tile:]])
    kernel = np.vander(points, KERNEL, increasing=True) / [
        [np.prod(point - rest)] for point, rest in zip(points, others, strict=True)
    ]
    # Coefficients of the product of (x - p) over all points p but one, and over all of them.
    data = [[*np.poly(rest)[::-1], 0.0] for rest in others] + [np.poly(points)[::-1]]
    return output, np.vstack([kernel, infinity[-KERNEL:]]), np.array(data)


def _nothing(start: int, stop: int) -> None:
    pass


class PlaneConvolution(nn.Module):
    """A 3×3×3 convolution with stride 1, padded with one zero, over planes.

    Args:
        kernel: (outputs, inputs, 3, 3, 3).
    """

    def __init__(self, kernel: torch.Tensor) -> None:
        super().__init__()
        self.outputs = len(kernel)
        self._kernel = kernel
        self.of_tile = nn.ModuleDict()

    def forward(
        self, source: Planes, made: Planes, prepare: PlaneWork = _nothing, finish: PlaneWork = _nothing
    ) -> None:
        """Convolve ``source`` into ``made``, which may be ``source.pushed()``.

        Args:
            source: its margins are cleared.
            made: of the same depth, height and width.
            prepare: completes planes of ``source``; called for each of them once, before it is read.
            finish: told of each plane of ``made`` once, after it was written. Both are called from an even number on
                up to another, or to the end.
        """
        tile = tile_for(source.depth)
        _, height, width, inputs = source.buffer.shape
        transformed_bytes = self._kernel.numel() * (tile + KERNEL - 1) // KERNEL * self._kernel.element_size()
        if source.depth * height * width < FEW_VOXELS or transformed_bytes > MAXIMUM_KERNEL_BYTES:
            self._convolve_at_once(source, made, prepare, finish)
            return
        convolution = self._of_tile(tile)
        group_bytes = (tile + KERNEL - 1) * height * width * (inputs + self.outputs) * source.buffer.element_size()
        together = max(1, GROUP_BYTES // group_bytes)
        tiles, prepared = tiles_of(source.depth, tile), 0
        for first in range(0, tiles, together):
            last = min(first + together, tiles)
            seen = min(last * tile + 2, source.depth)  # one more than is read, to go on from an even number
            prepare(prepared, seen)
            prepared = seen
            convolution(source[first * tile - 1 : last * tile + 1], made[first * tile : last * tile])
            finish(first * tile, min(last * tile, source.depth))

    def _convolve_at_once(self, source: Planes, made: Planes, prepare: PlaneWork, finish: PlaneWork) -> None:
        prepare(0, source.depth)
        made[0 : made.depth] = conv3d(source.volume, self._kernel, padding=1)[0].permute(1, 2, 3, 0)
        finish(0, made.depth)

    def _of_tile(self, tile: int) -> _TileConvolution:
        """Made when a depth first asks for it: its kernels are larger than the kernel."""
        name = str(tile)
        if name not in self.of_tile:
            self.of_tile[name] = _TileConvolution(self._kernel, tile)
        return self.of_tile[name]


class _TileConvolution(nn.Module):
    """Args:
    kernel: (outputs, inputs, 3, 3, 3).
    tile: planes that are made at a time.
    """

    def __init__(self, kernel: torch.Tensor, tile: int) -> None:
        super().__init__()
        self._tile = tile
        output, of_kernel, data = (torch.from_numpy(matrix) for matrix in winograd_matrices(tile))
        kernels = torch.einsum("pd,oidhw->poihw", of_kernel, kernel.cpu().double()).to(kernel)
        # Each for itself in the order of memory that a convolution with the features last wants.
        self.register_buffer("_kernels", kernels.permute(0, 1, 3, 4, 2).contiguous(), persistent=False)
        self.register_buffer("_forth", data.to(kernel), persistent=False)
        self.register_buffer("_back", output.to(kernel), persistent=False)

    def forward(self, seen: torch.Tensor, made: torch.Tensor) -> None:
        """(tile · T + 2, H, W, inputs) → (tile · T, H, W, outputs), both contiguous; T tiles."""
        tile, (products, outputs, *_) = self._tile, self._kernels.shape
        count, (height, width, inputs) = len(made) // tile, seen.shape[1:]
        plane = height * width * inputs
        windows = seen.as_strided((count, products, plane), (tile * plane, plane, 1))
        forth = seen.new_empty(products, count, height, width, inputs)
        torch.bmm(self._forth.expand(count, -1, -1), windows, out=forth.view(products, count, -1).transpose(0, 1))
        back = seen.new_empty(products, count, height, width, outputs)
        for product, some, kernel in zip(back, forth, self._kernels, strict=True):
            product.copy_(as_planes(conv2d(as_images(some), kernel.permute(0, 3, 1, 2), padding=1)))
        parts = back.view(products, count, -1).transpose(0, 1)
        torch.bmm(self._back.expand(count, -1, -1), parts, out=made.view(count, tile, -1))
