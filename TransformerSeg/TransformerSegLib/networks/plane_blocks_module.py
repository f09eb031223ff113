"""MONAI's convolution blocks (``UnetResBlock``, ``UnetBasicBlock``, ``UnetrUpBlock``) over planes, in few passes over
memory. Imports torch: only modules of networks import it.

An instance norm needs all of a feature map before it can change any of it. So a convolution measures what it makes
while that is in the cache, and what is to be done with it (norm, residual, leaky ReLU) waits until the next layer reads
it: that is a ``Pending``. Convolutions write over what they read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.functional import conv2d, conv3d, conv_transpose3d, instance_norm

from TransformerSegLib.networks.merged_upsampling_module import (
    MergedUpsampling,
    PlainUpsampling,
    merged_kernel,
    merged_pointwise_kernel,
)
from TransformerSegLib.networks.moments_module import NORM_EPSILON, Moments, activate, normalise
from TransformerSegLib.networks.planes_module import Planes, as_images, as_planes, as_rows
from TransformerSegLib.networks.winograd_module import MAXIMUM_KERNEL_BYTES, PlaneConvolution, PlaneWork

PLANES_AT_ONCE = 4
"""Planes that are worked on together at least; an even number."""

CHUNK_BYTES = 2 * 1024**2
"""Of small planes, as many more as stay in the cache."""

STEPS = 2
"""How often what a block's first convolution makes is overwritten: by its second one, and by the next join."""

MERGED_TAPS = 4**3
"""Of the kernels of ``MergedUpsampling``."""


@dataclass(frozen=True, eq=False)
class Pending:
    """A feature map with its last step still to be done.

    Attributes:
        planes: the map.
        finish: does that step, to the planes from … up to …; to be called for each plane once.
    """

    planes: Planes
    finish: PlaneWork

    @classmethod
    def done(cls, planes: Planes) -> Pending:
        """With nothing left to do."""
        return cls(planes, lambda start, stop: None)

    def finished(self) -> Planes:
        """With cleared margins."""
        for start, stop in _chunks(self.planes, 0, self.planes.depth):
            self.finish(start, stop)
        self.planes.clear_margins()
        return self.planes


def _chunks(planes: Planes, start: int, stop: int) -> Iterator[tuple[int, int]]:
    """The planes from ``start``, an even number, up to ``stop``, in parts that are worked on while they are in the
    cache; each begins at an even number."""
    plane = planes.buffer[0]
    fitting = CHUNK_BYTES // (plane.numel() * plane.element_size())
    step = max(PLANES_AT_ONCE, fitting // 2 * 2)
    for at in range(start, stop, step):
        yield at, min(at + step, stop)


class SecondConvolution(nn.Module):
    """What all blocks end with: norm, leaky ReLU, convolution, norm, plus the residual, leaky ReLU.

    Args:
        kernel: (features, features, 3, 3, 3).
    """

    def __init__(self, kernel: torch.Tensor) -> None:
        super().__init__()
        self.convolution = PlaneConvolution(kernel)

    def forward(
        self, first: Planes, moments: Moments, residual: Callable[[torch.Tensor, int, int], None] | None
    ) -> Pending:
        """Overwrites ``first``.

        Args:
            first: what the first convolution made.
            moments: of it.
            residual: adds to planes (N, H, W, C) from … up to …
        """
        made, made_moments = first.pushed(), Moments()
        scale, shift = moments.scale_and_shift()
        first.clear_margins()
        self.convolution(
            first,
            made,
            prepare=lambda start, stop: activate(normalise(first[start:stop], scale, shift)),
            finish=lambda start, stop: made_moments.add(made[start:stop]),
        )
        made_scale, made_shift = made_moments.scale_and_shift()

        def finish(start: int, stop: int) -> None:
            planes = normalise(made[start:stop], made_scale, made_shift)
            if residual is not None:
                residual(planes, start, stop)
            activate(planes)

        return Pending(made, finish)


class PlaneBlock(nn.Module):
    """``UnetResBlock`` or ``UnetBasicBlock`` of as many outputs as inputs, stride 1.

    Args:
        block: MONAI's.
    """

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self.residual = _has_shortcut(block)
        self.first = PlaneConvolution(block.conv1.conv.weight)
        self.second = SecondConvolution(block.conv2.conv.weight)

    def forward(self, source: Planes) -> Pending:
        """``source``, with cleared margins, must stay as it is until all is finished."""
        _, height, width, _ = source.buffer.shape
        made, moments = Planes.empty(source.depth, height, width, self.first.outputs, steps=STEPS), Moments()
        self.first(source, made, finish=lambda start, stop: moments.add(made[start:stop]))

        def residual(planes: torch.Tensor, start: int, stop: int) -> None:
            planes += source[start:stop]

        return self.second(made, moments, residual if self.residual else None)


class ImageBlock(nn.Module):
    """``UnetResBlock`` or ``UnetBasicBlock`` of few inputs: those of an image.

    The residual is normalised without being made: it is linear in the image, so its mean and variance follow from the
    image's.

    Args:
        block: MONAI's.
    """

    def __init__(self, block: nn.Module) -> None:
        super().__init__()
        self._has_residual = _has_shortcut(block)
        kernel = block.conv1.conv.weight
        # The three planes that an output plane sees are channels of one image.
        seen = kernel.permute(0, 2, 1, 3, 4).flatten(1, 2).contiguous(memory_format=torch.channels_last)
        self.register_buffer("_first", seen, persistent=False)
        self.second = SecondConvolution(block.conv2.conv.weight)
        shortcut = block.conv3.conv.weight[:, :, 0, 0, 0] if hasattr(block, "conv3") else None
        self.register_buffer("_shortcut", shortcut, persistent=False)

    def forward(self, image: torch.Tensor) -> Pending:
        """(C, D, H, W) → (D, H, W, features)."""
        _, depth, height, width = image.shape
        planes = image.permute(1, 2, 3, 0).contiguous()
        source = Planes.of(planes)
        made, moments = Planes.empty(depth, height, width, len(self._first), steps=STEPS), Moments()
        for start, stop in _chunks(made, 0, depth):
            seen = torch.cat([source[start + tap : stop + tap] for tap in (-1, 0, 1)], dim=-1)
            made[start:stop] = as_planes(conv2d(as_images(seen), self._first, padding=1))
            moments.add(made[start:stop])
        return self.second(made, moments, self._residual(planes) if self._has_residual else None)

    def _residual(self, planes: torch.Tensor) -> Callable[[torch.Tensor, int, int], None]:
        if self._shortcut is None:  # as many features as the image has channels
            return lambda made, start, stop: made.add_(planes[start:stop])
        exact = as_rows(planes).double()
        mean = exact.mean(0)
        centred = exact.sub_(mean)
        covariance = centred.T @ centred / len(centred)
        shortcut = self._shortcut.double()
        variance = torch.einsum("oi,ij,oj->o", shortcut, covariance, shortcut)
        matrix = (shortcut * (variance + NORM_EPSILON).rsqrt()[:, None]).float().T.contiguous()
        residual = centred.float().view(planes.shape)

        def add(made: torch.Tensor, start: int, stop: int) -> None:
            rows = as_rows(residual[start:stop])
            if len(matrix) == 1:
                as_rows(made).addcmul_(rows, matrix)
            else:
                as_rows(made).addmm_(rows, matrix)

        return add


class PlaneJoin(nn.Module):
    """``UnetrUpBlock``: coarse features made twice as fine, joined with a skip connection, and convolved.

    Args:
        join: MONAI's.
    """

    def __init__(self, join: nn.Module) -> None:
        super().__init__()
        upsampling, block = join.transp_conv.conv.weight, join.conv_block
        kernel, features = block.conv1.conv.weight, upsampling.shape[1]
        self.upsampling = MergedUpsampling(merged_kernel(upsampling, kernel[:, :features]))
        self.first = PlaneConvolution(kernel[:, features:])
        self.second = SecondConvolution(block.conv2.conv.weight)
        self.shortcut_upsampling = None
        if hasattr(block, "conv3"):
            shortcut = block.conv3.conv.weight
            self.shortcut_upsampling = PlainUpsampling(merged_pointwise_kernel(upsampling, shortcut[:, :features]))
            matrix = shortcut[:, features:, 0, 0, 0].T.contiguous()
            self.register_buffer("_shortcut", matrix, persistent=False)

    def forward(self, coarse: Planes, skip: Pending) -> Pending:
        """Overwrites the skip connection.

        Args:
            coarse: with cleared margins.
            skip: of twice its sides. Its buffer has a slot more before it (``Planes.empty``).
        """
        source = skip.planes
        source.clear_margins()
        _, height, width, features = source.buffer.shape
        made, moments = Planes.empty(source.depth, height, width, features, steps=STEPS), Moments()
        shortcut, shortcut_moments = source.pushed(), Moments()

        def finish(start: int, stop: int) -> None:
            for at, until in _chunks(made, start, stop):
                self.upsampling(coarse, at, until, made[at:until])
                moments.add(made[at:until])
                if self.shortcut_upsampling is not None:
                    self._shorten(coarse, source, at, until)
                    shortcut_moments.add(shortcut[at:until])

        self.first(source, made, skip.finish, finish)
        if self.shortcut_upsampling is None:
            return self.second(made, moments, None)
        scale, shift = shortcut_moments.scale_and_shift()

        def residual(planes: torch.Tensor, start: int, stop: int) -> None:
            planes.add_(normalise(shortcut[start:stop], scale, shift))

        return self.second(made, moments, residual)

    def _shorten(self, coarse: Planes, source: Planes, start: int, stop: int) -> None:
        """The shortcut's planes into the slots before those of the skip connection: the plane ``stop - 1`` of that
        is read again."""
        made = (as_rows(source[start:stop]) @ self._shortcut).view(source[start:stop].shape)
        self.shortcut_upsampling(coarse, start, stop, made)
        source.pushed()[start:stop] = made


class UpsampledBlock(nn.Module):
    """A transposed convolution of kernel and stride 2, and a ``PlaneBlock`` behind it.

    Args:
        upsampling: MONAI's transposed convolution.
        block: MONAI's.
    """

    def __init__(self, upsampling: nn.Module, block: nn.Module) -> None:
        super().__init__()
        kernel = upsampling.conv.weight
        self.features = kernel.shape[1]
        self.upsampling = MergedUpsampling(merged_kernel(kernel, block.conv1.conv.weight))
        self.shortcut = PlainUpsampling(kernel) if _has_shortcut(block) else None
        self.second = SecondConvolution(block.conv2.conv.weight)

    def forward(self, coarse: Planes) -> Pending:
        """``coarse``, with cleared margins, must stay as it is until all is finished."""
        _, height, width, _ = coarse.buffer.shape
        made = Planes.empty(2 * coarse.depth, 2 * height, 2 * width, self.features, steps=STEPS)
        moments = Moments()
        for start, stop in _chunks(made, 0, made.depth):
            self.upsampling(coarse, start, stop, made[start:stop].zero_())
            moments.add(made[start:stop])

        def residual(planes: torch.Tensor, start: int, stop: int) -> None:
            self.shortcut(coarse, start, stop, planes)

        return self.second(made, moments, residual if self.shortcut is not None else None)


class VolumeJoin(nn.Module):
    """A ``PlaneJoin`` for few voxels with very many features: step by step, with the kernels as they are.

    Args:
        join: MONAI's ``UnetrUpBlock``.
    """

    def __init__(self, join: nn.Module) -> None:
        super().__init__()
        self.upsampling, block = join.transp_conv.conv, join.conv_block
        self.first, self.second = block.conv1.conv, block.conv2.conv
        self.shortcut = block.conv3.conv if _has_shortcut(block) else None

    def forward(self, coarse: Planes, skip: Pending) -> Pending:
        """As ``PlaneJoin``."""
        finer = conv_transpose3d(coarse.volume, self.upsampling.weight, stride=2)
        joined = torch.cat([finer, skip.finished().volume], dim=1)
        features = activate(instance_norm(conv3d(joined, self.first.weight, padding=1), eps=NORM_EPSILON))
        features = instance_norm(conv3d(features, self.second.weight, padding=1), eps=NORM_EPSILON)
        if self.shortcut is not None:
            features += instance_norm(conv3d(joined, self.shortcut.weight), eps=NORM_EPSILON)
        return Pending.done(Planes.of(activate(features)[0].permute(1, 2, 3, 0), steps=STEPS))


def _has_shortcut(block: nn.Module) -> bool:
    """Whether it is MONAI's ``UnetResBlock``, not ``UnetBasicBlock``."""
    return hasattr(block, "downsample")


def join_over_planes(join: nn.Module) -> nn.Module:
    """The faster of ``PlaneJoin`` and ``VolumeJoin``.

    Args:
        join: MONAI's ``UnetrUpBlock``.
    """
    kernel = join.transp_conv.conv.weight
    if kernel.shape[0] * kernel.shape[1] * MERGED_TAPS * kernel.element_size() > MAXIMUM_KERNEL_BYTES:
        return VolumeJoin(join)
    return PlaneJoin(join)


class Logits(nn.Module):
    """``UnetOutBlock``: a convolution of kernel 1, with bias."""

    def __init__(self, out: nn.Module) -> None:
        super().__init__()
        convolution = out.conv.conv
        self.classes = len(convolution.weight)
        self.register_buffer("_matrix", convolution.weight[:, :, 0, 0, 0].contiguous(), persistent=False)
        self.register_buffer("_bias", convolution.bias[:, None], persistent=False)

    def forward(self, features: Pending, logits: torch.Tensor) -> None:
        """Into ``logits`` (classes, D, H, W), contiguous."""
        planes = features.planes
        for start, stop in _chunks(planes, 0, planes.depth):
            features.finish(start, stop)
            made = logits[:, start:stop].flatten(1)
            torch.addmm(self._bias, self._matrix, as_rows(planes[start:stop]).T, out=made)
