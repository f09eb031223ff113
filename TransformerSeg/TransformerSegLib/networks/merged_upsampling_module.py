"""A transposed convolution (kernel 2, stride 2) and the convolution behind it, as one. Imports torch: only modules of
networks import it.

Nothing non-linear lies between the two, so their composition is a transposed convolution again, with a kernel that
``merged_kernel`` computes from theirs: of a 3×3×3 convolution one of kernel 4, stride 2 and padding 1, with 8 taps for
an output where the two have 28. The zeros around the finer map stay zeros: a tap that would reach them has no coarse
voxel to come from.
"""

from __future__ import annotations

from itertools import product

import torch
from torch import nn
from torch.nn.functional import conv_transpose2d

from TransformerSegLib.networks.planes_module import Planes, as_images, as_planes, as_rows

FINER = 2
"""Planes that one coarse plane becomes."""


def merged_kernel(upsampling: torch.Tensor, convolution: torch.Tensor) -> torch.Tensor:
    """(inputs, between, 2, 2, 2) of the transposed convolution, (outputs, between, 3, 3, 3) of the other → (inputs,
    outputs, 4, 4, 4) of a transposed convolution with stride 2 and padding 1."""
    upsampling, convolution = upsampling.double(), convolution.double()
    merged = upsampling.new_zeros(len(upsampling), len(convolution), 4, 4, 4)
    for corner in product(range(2), repeat=3):
        first = upsampling[:, :, *corner]
        for tap in product(range(3), repeat=3):
            # The finer voxel at 2i + corner lies under tap t of the output at 2i + corner + 1 - t.
            place = [at + 2 - t for at, t in zip(corner, tap, strict=True)]
            merged[:, :, *place] += first @ convolution[:, :, *tap].T
    return merged.float()


def merged_pointwise_kernel(upsampling: torch.Tensor, convolution: torch.Tensor) -> torch.Tensor:
    """As ``merged_kernel``, of a convolution (outputs, between, 1, 1, 1) → (inputs, outputs, 2, 2, 2), stride 2."""
    matrix = convolution[:, :, 0, 0, 0].double()
    return torch.einsum("ibxyz,ob->ioxyz", upsampling.double(), matrix).float()


class MergedUpsampling(nn.Module):
    """Convolves coarse planes into planes twice as fine.

    Args:
        kernel: (inputs, outputs, 4, 4, 4), of ``merged_kernel``.
    """

    def __init__(self, kernel: torch.Tensor) -> None:
        super().__init__()
        # The output plane 2i sees the coarse planes i - 1 and i; the output plane 2i + 1 sees i and i + 1.
        for name, (earlier, later) in {"_even": (3, 1), "_odd": (2, 0)}.items():
            both = torch.cat([kernel[:, :, earlier], kernel[:, :, later]])
            self.register_buffer(name, both.contiguous(memory_format=torch.channels_last), persistent=False)

    def forward(self, coarse: Planes, start: int, stop: int, planes: torch.Tensor) -> None:
        """Added to ``planes`` (2N, 2H, 2W, outputs), which are those from ``start`` up to ``stop``, even numbers.

        Args:
            coarse: its margins are cleared.
        """
        first, last = start // FINER, stop // FINER
        pairs = torch.cat([coarse[first - 1 : last], coarse[first : last + 1]], dim=-1)
        for number, (some, kernel) in enumerate(((pairs[:-1], self._even), (pairs[1:], self._odd))):
            made = conv_transpose2d(as_images(some), kernel, stride=FINER, padding=1)
            planes[number::FINER] += as_planes(made)


class PlainUpsampling(nn.Module):
    """A transposed convolution of kernel 2 and stride 2, over planes: every coarse voxel becomes eight, each by a
    matrix of its own.

    Args:
        kernel: (inputs, outputs, 2, 2, 2).
    """

    def __init__(self, kernel: torch.Tensor) -> None:
        super().__init__()
        self.register_buffer("_matrix", kernel.permute(0, 2, 3, 4, 1).flatten(1).contiguous(), persistent=False)

    def forward(self, coarse: Planes, start: int, stop: int, planes: torch.Tensor) -> None:
        """Added to ``planes`` (2N, 2H, 2W, outputs), which are those from ``start`` up to ``stop``, even numbers."""
        seen = coarse[start // FINER : stop // FINER]
        made = as_rows(seen) @ self._matrix
        finer = _by_coarse_voxel(planes, seen)
        finer += made.view(*seen.shape[:3], FINER, FINER, FINER, -1)

    def upsampled(self, coarse: Planes, steps: int) -> Planes:
        """All of it, with cleared margins.

        Args:
            steps: as of ``Planes.empty``.
        """
        _, height, width, _ = coarse.buffer.shape
        features = self._matrix.shape[1] // FINER**3
        made = Planes.empty(FINER * coarse.depth, FINER * height, FINER * width, features, steps)
        self(coarse, 0, made.depth, made.whole.zero_())
        made.clear_margins()
        return made


def _by_coarse_voxel(planes: torch.Tensor, coarse: torch.Tensor) -> torch.Tensor:
    """(2N, 2H, 2W, C) → (N, H, W, 2, 2, 2, C), a view."""
    count, height, width, _ = coarse.shape
    return planes.view(count, FINER, height, FINER, width, FINER, -1).permute(0, 2, 4, 1, 3, 5, 6)
