"""What a run proposed is kept, small, and comes back voxel by voxel, or not at all."""

from __future__ import annotations

import base64
import copy
import json
import zlib
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest

from TransformerSegLib.errors import ProposalDamaged
from TransformerSegLib.inference import slabs as slabs_module
from TransformerSegLib.inference.proposal import MAXIMUM_LAYER_BYTES, Proposal, occupied_box
from TransformerSegLib.inference.segmentation import Segmentation

from example_segmentation import AFFINES, SHAPE, example_segmentation


def through_json(proposal: Proposal) -> Proposal:
    return Proposal.from_json(json.loads(json.dumps(proposal.to_json())))


def whole(proposal: Proposal, layer: int, label: int) -> np.ndarray:
    """The mask of a label on the whole grid."""
    mask, start = proposal.mask(layer, label)
    result = np.zeros(proposal.shape, bool)
    result[tuple(slice(first, first + size) for first, size in zip(start, mask.shape, strict=True))] = mask
    return result


@pytest.mark.parametrize("voxels_at_a_time", [1_000_000, 250])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, ">u2", np.uint32])
def test_every_voxel_comes_back(dtype: object, voxels_at_a_time: int, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(slabs_module, "VOXELS_AT_A_TIME", voxels_at_a_time)
    segmentation = example_segmentation(AFFINES["oblique"], layers=3)
    segmentation = replace(segmentation, layers=tuple(layer.astype(dtype) for layer in segmentation.layers))
    proposal = through_json(Proposal.of(segmentation))
    assert proposal.shape == SHAPE
    assert np.array_equal(proposal.affine, segmentation.affine)
    for segment in segmentation.segments:
        expected = segmentation.mask(segment)
        assert np.array_equal(whole(proposal, segment.layer, segment.definition.label), expected)


def test_a_mask_is_cropped_to_its_own_label():
    proposal = Proposal.of(example_segmentation(np.eye(4)))
    mask, start = proposal.mask(0, 9)
    assert [mask.shape, start] == [(4, 4, 5), (7, 4, 5)]
    assert mask.dtype == bool
    assert mask.all()
    empty, _ = proposal.mask(0, 4)
    assert empty.size == 0


def test_an_empty_layer_has_no_voxels():
    proposal = through_json(Proposal.of(example_segmentation(np.eye(4), layers=3)))
    assert proposal.layers[2].size == (0, 0, 0)
    assert not whole(proposal, 2, 21).any()


def test_it_is_small():
    labels = np.zeros((256, 256, 128), np.uint8)
    labels[100:150, 90:140, 20:100] = 1
    segmentation = example_segmentation(np.eye(4))
    proposal = Proposal.of(replace(segmentation, layers=(labels,)))
    assert proposal.layers[0].size == (50, 50, 80)
    assert len(json.dumps(proposal.to_json())) < labels.size / 1000


def test_a_run_s_own_result_is_kept_without_its_voxels():
    segmentation = example_segmentation(np.eye(4))
    proposal = Proposal.of(segmentation)
    before = whole(proposal, 0, 2)
    segmentation.layers[0][:] = 0
    segmentation.affine[:] = 0
    assert np.array_equal(whole(proposal, 0, 2), before)
    assert np.array_equal(proposal.affine, np.eye(4))


@pytest.mark.parametrize("place", [(0, 0, 0), (12, 8, 10), (5, 0, 10)])
def test_the_box_around_a_single_voxel_is_that_voxel(place: tuple[int, int, int]):
    array = np.zeros(SHAPE, np.uint8)
    array[place] = 3
    assert occupied_box(array) == tuple(slice(index, index + 1) for index in place)


def _layer(change: Callable[[dict], None]) -> Callable[[dict], None]:
    return lambda content: change(content["layers"][0])


def _pack(data: bytes) -> str:
    return base64.b64encode(zlib.compress(data)).decode()


def _cut(layer: dict) -> None:
    layer["zlib"] = base64.b64encode(base64.b64decode(layer["zlib"])[:-6]).decode()


def _flip(layer: dict) -> None:
    data = bytearray(base64.b64decode(layer["zlib"]))
    data[len(data) // 2] ^= 0xFF
    layer["zlib"] = base64.b64encode(bytes(data)).decode()


def _append(layer: dict) -> None:
    layer["zlib"] = base64.b64encode(base64.b64decode(layer["zlib"]) + b"more").decode()


DAMAGE: dict[str, Callable[[dict], None]] = {
    "other format": lambda content: content.update(format=2),
    "no shape": lambda content: content.pop("shape"),
    "flat": lambda content: content.update(shape=[13, 9]),
    "negative shape": lambda content: content.update(shape=[-13, 9, 11]),
    "shape of words": lambda content: content.update(shape="abc"),
    "whole numbers only": lambda content: content.update(shape=[13.0, 9, 11]),
    "no affine": lambda content: content.update(affine=[[1, 0], [0, 1]]),
    "infinite affine": lambda content: content["affine"][0].__setitem__(0, float("inf")),
    "layers of numbers": lambda content: content.update(layers=[1, 2]),
    "no layers": lambda content: content.update(layers=[]),
    "layers missing": lambda content: content.update(layers=None),
    "outside of the grid": _layer(lambda layer: layer.update(start=[10, 3, 1])),
    "no labels": _layer(lambda layer: layer.update(type="float64")),
    "a type of no kind": _layer(lambda layer: layer.update(type=["uint8"])),
    "not base64": _layer(lambda layer: layer.update(zlib="ä" + layer["zlib"])),
    "not zlib": _layer(lambda layer: layer.update(zlib=base64.b64encode(b"labels").decode())),
    "empty": _layer(lambda layer: layer.update(zlib="")),
    "cut off": _layer(_cut),
    "a bit changed": _layer(_flip),
    "something behind": _layer(_append),
    "too short": _layer(lambda layer: layer.update(zlib=_pack(bytes(7)))),
    "too long": _layer(lambda layer: layer.update(zlib=_pack(bytes(100_000)))),
}


@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_what_was_damaged_is_refused_with_a_remedy(damage: Callable[[dict], None]):
    content = copy.deepcopy(Proposal.of(example_segmentation(np.eye(4))).to_json())
    Proposal.from_json(content)
    damage(content)
    with pytest.raises(ProposalDamaged, match="new segmentation"):
        Proposal.from_json(content)


@pytest.mark.parametrize("content", [None, [], "text", 3, {}])
def test_what_is_no_proposal_at_all_is_refused(content: object):
    with pytest.raises(ProposalDamaged):
        Proposal.from_json(content)


def test_a_bomb_is_refused_before_it_takes_memory():
    """A few bytes that claim to be, and would unpack to, more than is allowed; and more than they claim."""
    content = Proposal.of(example_segmentation(np.eye(4))).to_json()
    side = round((MAXIMUM_LAYER_BYTES + 1) ** (1 / 3)) + 1
    claims = {
        **content,
        "shape": [side] * 3,
        "layers": [{**content["layers"][0], "start": [0] * 3, "size": [side] * 3}],
    }
    with pytest.raises(ProposalDamaged):
        Proposal.from_json(claims)
    compressor = zlib.compressobj(9)
    bomb = b"".join(compressor.compress(bytes(1 << 20)) for _ in range(500)) + compressor.flush()
    understates = copy.deepcopy(content)
    understates["layers"][0]["zlib"] = base64.b64encode(bomb).decode()
    before = peak_bytes()
    with pytest.raises(ProposalDamaged):
        Proposal.from_json(understates)
    assert peak_bytes() - before < 100 * 2**20


def peak_bytes() -> int:
    resource = pytest.importorskip("resource")
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def test_an_empty_segmentation_is_kept_too():
    segmentation = example_segmentation(np.eye(4))
    nothing: Segmentation = replace(segmentation, layers=(np.zeros(SHAPE, np.uint8),))
    assert not whole(through_json(Proposal.of(nothing)), 0, 2).any()
