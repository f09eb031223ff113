"""A segmentation as a file: Slicer's ``.seg.nrrd``, or a label map in the bundle's own values."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from TransformerSegLib.errors import OutputRejected
from TransformerSegLib.export.label_layer import occupied_extent, reversed_axes, smallest_label_type
from TransformerSegLib.export.output import check_output, output_suffix, written_atomically
from TransformerSegLib.export.segment_metadata import provenance_tags, segment_id, terminology_entry
from TransformerSegLib.export.untouched import DIGEST_FIELD, NIFTI_PREFIX, voxels_digest
from TransformerSegLib.inference.itk_geometry import itk_geometry
from TransformerSegLib.inference.quiet import run_quietly
from TransformerSegLib.inference.segmentation import Segmentation

if TYPE_CHECKING:
    import SimpleITK

# Labels are long runs of equal values: higher levels take many times as long and save little.
_COMPRESSION_LEVEL = 2
_BINARY_LABELMAP = "Binary labelmap"
_MORE_THAN_SEGMENTS = {".mrb": "holds a whole scene", ".dcm": "refers to the images, which have to be given, too"}


def write_segmentation(path: Path, segmentation: Segmentation, overwrite: bool = False) -> None:
    """Write a segmentation, on its own grid, in the format that the suffix names; all of it or nothing.

    ``.seg.nrrd``: what 3D Slicer loads as an editable segmentation, with names, colours, terminology and provenance;
    several layers lie along a first, fourth axis. The header's fields are those of Slicer's
    vtkMRMLSegmentationStorageNode.
    ``.nii.gz``, ``.nii``, ``.nrrd``, ``.mha``: the label values of the bundle, in the smallest unsigned type;
    several layers lie along a last, fourth axis.

    Raises:
        OutputRejected: as ``check_output`` says, or the file could not be written. (``.mrb`` is written by
            ``scene.mrb``, ``.dcm`` by ``dicom_seg``.)
    """
    check_output(path, overwrite)
    with written_atomically(path) as temporary:
        match output_suffix(path):
            case ".seg.nrrd":
                _write_image(_segmentation_image(segmentation), temporary)
            case ".nii.gz" | ".nii":
                _write_nifti(segmentation, temporary)
            case ".nrrd" | ".mha":
                _write_image(_label_map_image(segmentation), temporary)
            case suffix:
                raise OutputRejected(
                    f"“{path.name}” is not a segmentation file",
                    why=f"{suffix} {_MORE_THAN_SEGMENTS[suffix]}",
                    remedy="Save as .seg.nrrd",
                )


def _segmentation_image(segmentation: Segmentation) -> SimpleITK.Image:
    import SimpleITK

    layers = _layers_as_stored(segmentation)
    several = len(layers) > 1
    image = SimpleITK.GetImageFromArray(np.stack(layers, axis=-1) if several else layers[0], isVector=several)
    _place(image, segmentation.affine)
    for key, value in _segmentation_fields(segmentation).items():
        image.SetMetaData(key, value)
    image.SetMetaData(DIGEST_FIELD, voxels_digest(layers))
    return image


def _label_map_image(segmentation: Segmentation) -> SimpleITK.Image:
    import SimpleITK

    layers = _layers_as_stored(segmentation)
    images = [SimpleITK.GetImageFromArray(layer) for layer in layers]
    for image in images:
        _place(image, segmentation.affine)
    joined = SimpleITK.JoinSeries(images) if len(images) > 1 else images[0]
    joined.SetMetaData(DIGEST_FIELD, voxels_digest(layers))
    return joined


def _write_nifti(segmentation: Segmentation, path: Path) -> None:
    """By nibabel: SimpleITK says nothing when the disk is full, and keeps the truncated file."""
    import nibabel

    label_type = smallest_label_type(segmentation.segments)
    layers = segmentation.layers
    labels = layers[0] if len(layers) == 1 else np.stack(layers, axis=-1)
    image = nibabel.Nifti1Image(labels.astype(label_type, copy=False), segmentation.affine)
    image.set_qform(segmentation.affine, code="scanner")
    image.set_sform(segmentation.affine, code="scanner")
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = NIFTI_PREFIX + voxels_digest(layer.T for layer in layers)
    nibabel.save(image, path)


def _layers_as_stored(segmentation: Segmentation) -> list[np.ndarray]:
    label_type = smallest_label_type(segmentation.segments)
    return [reversed_axes(layer.astype(label_type, copy=False)) for layer in segmentation.layers]


def _place(image: SimpleITK.Image, affine: np.ndarray) -> None:
    spacing, direction, origin = itk_geometry(affine)
    image.SetSpacing(spacing)
    image.SetDirection(direction)
    image.SetOrigin(origin)


def _segmentation_fields(segmentation: Segmentation) -> dict[str, str]:
    fields = {
        "Segmentation_ContainedRepresentationNames": f"{_BINARY_LABELMAP}|",
        "Segmentation_ConversionParameters": f"Reference image geometry|{_reference_geometry(segmentation)}|&",
        # Slicer's present name for the source representation in files
        "Segmentation_MasterRepresentation": _BINARY_LABELMAP,
        "Segmentation_ReferenceImageExtentOffset": "0 0 0",
    }
    provenance = provenance_tags(segmentation.provenance)
    # Slicer crops a whole layer to the extent of whichever of its segments it meets first: all carry the layer's.
    extents = [occupied_extent(layer) or (0, -1, 0, -1, 0, -1) for layer in segmentation.layers]
    for number, segment in enumerate(segmentation.segments):
        definition = segment.definition
        terminology = terminology_entry(definition)
        tags = ({"TerminologyEntry": terminology} if terminology else {}) | provenance
        of_segment = {
            "ID": segment_id(definition),
            "Name": definition.name,
            "NameAutoGenerated": "0",
            "Color": _numbers(definition.color),
            "ColorAutoGenerated": "0",
            "LabelValue": str(definition.label),
            "Layer": str(segment.layer),
            "Extent": _numbers(extents[segment.layer]),
            "Tags": "".join(f"{name}:{value}|" for name, value in tags.items()),
        }
        fields |= {f"Segment{number}_{name}": value for name, value in of_segment.items()}
    return fields


def _reference_geometry(segmentation: Segmentation) -> str:
    """The grid as Slicer serialises it: the affine row by row, then the extent, separated by semicolons."""
    extent = [bound for size in segmentation.layers[0].shape for bound in (0, size - 1)]
    return "".join(f"{number:.17g};" for number in (*segmentation.affine.ravel().tolist(), *extent))


def _numbers(values: tuple[float, ...]) -> str:
    return " ".join(f"{value:.9g}" for value in values)


def _write_image(image: SimpleITK.Image, path: Path) -> None:
    import SimpleITK

    try:
        run_quietly(lambda: SimpleITK.WriteImage(image, str(path), True, _COMPRESSION_LEVEL))
    except RuntimeError as error:
        raise OutputRejected(
            f"“{path.name}” could not be written",
            why=str(error).strip().splitlines()[-1],
            remedy="Free some space there, or name another output",
        ) from error
