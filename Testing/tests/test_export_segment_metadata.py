"""What Slicer keeps with a segment beside its voxels."""

from __future__ import annotations

import json

import pytest
import slicer

from TransformerSegLib.bundles.card import Code
from TransformerSegLib.export.segment_metadata import provenance_tags, segment_id, terminology_entry

from example_segmentation import segment_class


def parsed(text: str) -> slicer.vtkSlicerTerminologyEntry:
    entry = slicer.vtkSlicerTerminologyEntry()
    assert slicer.vtkSlicerTerminologiesModuleLogic().DeserializeTerminologyEntry(text, entry)
    return entry


@pytest.mark.parametrize(("label", "modifier"), [(2, "255549009"), (3, None)])
def test_slicer_reads_the_codes_of_a_class(label: int, modifier: str | None):
    text = terminology_entry(segment_class(label, "Hippocampus"))
    entry = parsed(text)
    assert entry.GetCategoryObject().GetCodeValue() == "123037004"
    found = entry.GetTypeObject()
    assert (found.GetCodingSchemeDesignator(), found.GetCodeValue()) == ("SCT", "5366008")
    assert found.GetCodeMeaning() == "Hippocampus"
    assert entry.GetTypeModifierObject().GetCodeValue() == modifier
    assert slicer.vtkSlicerTerminologiesModuleLogic().SerializeTerminologyEntry(entry) == text


def test_separators_in_a_codes_meaning_do_not_break_the_entry():
    odd = Code(scheme="99X", value="1|2", meaning="a~b^c\nd")
    definition = segment_class(1, "odd").model_copy(update={"type": odd})
    entry = parsed(terminology_entry(definition))
    assert entry.GetTypeObject().GetCodeMeaning() == "a b c d"
    assert entry.GetTypeObject().GetCodeValue() == "1 2"


def test_a_class_without_codes_has_no_entry():
    assert terminology_entry(segment_class(1, "x", coded=False)) == ""


def test_a_class_has_the_same_id_whatever_its_name():
    assert segment_id(segment_class(7, "Liver")) == segment_id(segment_class(7, "liver")) == "Segment_7"


def test_provenance_is_kept_value_by_value():
    values = {"model": "a|b", "seconds": 1.5, "options": {"note": "x|y", "roi": None}, "names": ["ä"]}
    tags = provenance_tags(values)
    assert tags["TransformerSeg.model"] == "a/b"
    for key in ("seconds", "options", "names"):
        assert json.loads(tags[f"TransformerSeg.{key}"]) == values[key]
    assert "|" not in "".join(tags.values())
