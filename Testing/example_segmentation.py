"""Small made-up volumes and segmentations, of every kind of geometry, that tests write and read back."""

from __future__ import annotations

import numpy as np

from TransformerSegLib.bundles.card import Card, Code, InputChannel, SegmentClass
from TransformerSegLib.inference.segmentation import Segment, Segmentation
from TransformerSegLib.inference.volume import Volume

SHAPE = (13, 9, 11)
ANATOMY = Code(scheme="SCT", value="123037004", meaning="Anatomical Structure")
HIPPOCAMPUS = Code(scheme="SCT", value="5366008", meaning="Hippocampus")
ANTERIOR = Code(scheme="SCT", value="255549009", meaning="Anterior")

PROVENANCE = {
    "model": "hippocampus — größer | 2:1",
    "version": "1.0",
    "weights_sha256": "0" * 64,
    "device": "cpu",
    "options": {"overlap": [0.5, 0.5, 0.5], "note": "a|b"},
    "seconds": 1.25,
}


def rotation(seed: int) -> np.ndarray:
    """A 3×3 matrix of three directions at right angles."""
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(3, 3)))[0]


def geometry(directions: np.ndarray, spacing: tuple[float, float, float]) -> np.ndarray:
    """The affine of a grid with these directions (columns, RAS) and distances in mm."""
    affine = np.eye(4)
    affine[:3, :3] = directions * spacing
    affine[:3, 3] = (-31.25, 47.123456789, 5.5)
    return affine


AFFINES = {
    "RAS, 1 mm": geometry(np.eye(3), (1.0, 1.0, 1.0)),
    "LPS, anisotropic": geometry(np.diag([-1.0, -1.0, 1.0]), (0.7, 0.7, 2.5)),
    "negative directions": geometry(np.diag([-1.0, -1.0, -1.0]), (0.9, 1.0, 1.1)),
    "sagittal": geometry(np.array([[0.0, 0, -1], [1, 0, 0], [0, -1, 0]]), (0.5, 0.6, 3.0)),
    "oblique": geometry(rotation(1), (0.8, 1.3, 2.1)),
}


def segment_class(label: int, name: str, coded: bool = True) -> SegmentClass:
    """A class with a colour of its own."""
    return SegmentClass(
        label=label,
        channel=label,
        name=name,
        color=(label % 7 / 7, 0.25, 1 - label % 5 / 5),
        category=ANATOMY if coded else None,
        type=HIPPOCAMPUS if coded else None,
        modifier=ANTERIOR if label == 2 else None,
    )


def card_of(*names: str) -> Card:
    """Of a model with one input and these classes."""
    classes = tuple(segment_class(label, name) for label, name in enumerate(names, start=1))
    inputs = (InputChannel(name="MR"),)
    return Card(name="two", title="Two", version="1", description="", inputs=inputs, classes=classes)


def example_volume(affine: np.ndarray, name: str = "Kopf", shape: tuple[int, int, int] = SHAPE) -> Volume:
    """Noise, MR."""
    array = np.random.default_rng(3).integers(-100, 1000, shape).astype(np.int16)
    return Volume(array, affine, name, "MR")


def example_segmentation(affine: np.ndarray, layers: int = 1) -> Segmentation:
    """Three classes in the first layer, of which the second is empty, and one more in each further layer.

    Layers overlap; one further than the second is empty.
    """
    first = np.zeros(SHAPE, np.uint8)
    first[2:7, 3:6, 1:9] = 2
    first[7:11, 4:8, 5:10] = 9
    arrays, classes = [first], [segment_class(2, "Anterior Größe"), segment_class(4, "Nothing"), segment_class(9, "C")]
    places = [0, 0, 0]
    for number in range(1, layers):
        array = np.zeros(SHAPE, np.uint8)
        if number == 1:
            array[4:9, 2:7, 3:8] = 20
        arrays.append(array)
        classes.append(segment_class(19 + number, f"Overlapping {number}", coded=False))
        places.append(number)
    voxel_ml = abs(np.linalg.det(affine)) / 1000
    segments = tuple(
        Segment(definition, layer, float(np.count_nonzero(arrays[layer] == definition.label) * voxel_ml))
        for definition, layer in zip(classes, places, strict=True)
    )
    return Segmentation(tuple(arrays), affine, segments, "Kopf – hippocampus", PROVENANCE)
