"""Which volume is which input of a model, told by what the volumes are called."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import pytest

from TransformerSegLib.bundles.card import Card, InputChannel
from TransformerSegLib.errors import AssignmentUnclear
from TransformerSegLib.inference.assigning import Assignment, Candidate, Told, assign, input_called, propose

from example_segmentation import segment_class

STUDIES = [
    ("BraTS-GLI-00001-000-t2f", "BraTS-GLI-00001-000-t1c", "BraTS-GLI-00001-000-t1n", "BraTS-GLI-00001-000-t2w"),
    ("BraTS_001_flair", "BraTS_001_t1ce", "BraTS_001_t1", "BraTS_001_t2"),
    ("AX T2 FLAIR", "AX T1 post contrast", "AX T1", "AX T2"),
    ("t2-flair", "T1Gd", "T1w", "T2w"),
    ("t2_space_dark-fluid_sag_p2", "MPRAGE +Gd T1", "t1_mprage_sag", "t2_tse_tra"),
    ("patient1 FLAIR", "patient1 T1 +C", "patient1 T1 without contrast", "patient1 T2"),
    ("FLAIR_to_T1", "T1ce_to_T1", "T1", "T2_to_T1"),
    ("T2_FLAIR_POST_CONTRAST", "T1_POST", "T1", "T2_contrast"),
    ("3D FLAIR sag", "BRAVO gadolinium", "AX T1 FLAIR", "T2 PROPELLER"),
]


def card(*names: str, hints: Sequence[Sequence[str]] = ()) -> Card:
    """With the hints that a bundle without a card of its own gets: the names in lower case."""
    hints = hints or [(name.lower(),) for name in names]
    return Card(
        name="a",
        title="Tumour",
        version="1",
        description="",
        inputs=tuple(InputChannel(name=name, hints=tuple(words)) for name, words in zip(names, hints, strict=True)),
        classes=(segment_class(1, "one"),),
    )


BRATS = card("FLAIR", "T1ce", "T1", "T2")


def assigned(names: Sequence[str], model: Card = BRATS, **named: int) -> Assignment:
    return assign([(name,) for name in names], named, model)


@pytest.mark.parametrize("study", STUDIES, ids=" | ".join)
def test_the_four_images_of_a_study_are_told_in_any_order(study):
    for order in itertools.permutations(range(4)):
        found = assigned([study[number] for number in order])
        assert found == Assignment(tuple(order.index(number) for number in range(4)), Told.BY_NAME)


@pytest.mark.parametrize(
    "names",
    [
        ("T1c", "T1", "T2", "FLAIR"),
        ("t1gd", "T1w", "T2w", "FLAIR"),
        ("T1-weighted post contrast", "T1-weighted", "T2-weighted", "T2 FLAIR"),
    ],
)
def test_however_the_card_calls_its_inputs(names):
    flair, contrast, native, t2 = STUDIES[0]
    assert assigned([flair, t2, native, contrast], card(*names)).order == (3, 2, 1, 0)


def test_names_that_tell_nothing_leave_the_order_given():
    assert assigned(["a", "b", "c", "d"]) == Assignment((0, 1, 2, 3), Told.AS_GIVEN)
    assert assigned(["patient1", "patient2", "T12", "case_t20"]) == Assignment((0, 1, 2, 3), Told.AS_GIVEN)


@pytest.mark.parametrize(
    ("names", "what"),
    [
        (["flair", "t1ce", "t1", "adc"], "What “adc” shows is not told by its name"),
        (["flair", "b", "c", "d"], "What “b” shows is not told by its name"),
        (["flair", "t1ce", "t1c", "t2"], "“t1ce” and “t1c” are both T1ce"),
        (["flair", "t1", "t1 axial", "t2"], "“t1” and “t1 axial” are both T1"),
    ],
)
def test_anything_between_is_refused_with_the_way_to_name_them(names, what):
    with pytest.raises(AssignmentUnclear, match=what) as refused:
        assigned(names)
    assert refused.value.remedy == "Name them: --input FLAIR=FILE --input T1ce=FILE --input T1=FILE --input T2=FILE"


def test_a_name_that_fits_two_inputs_alike_is_refused():
    phases = card("arterial phase", "venous phase", hints=[("phase", "arterial"), ("phase", "venous")])
    with pytest.raises(AssignmentUnclear, match="“phase” may be arterial phase or venous phase") as refused:
        assigned(["phase", "venous"], phases)
    assert refused.value.remedy.startswith('Name them: --input "arterial phase=FILE"')


def test_a_file_and_its_series_that_say_different_things_are_refused():
    two = card("T1", "FLAIR")
    assert assign([("flair", "AX T2 FLAIR"), ("image", "AX T1")], {}, two).order == (1, 0)
    with pytest.raises(AssignmentUnclear, match="“flair” may be FLAIR or T1"):
        assign([("flair", "AX T1"), ("image", "AX T1")], {}, two)


def test_what_the_user_named_is_not_asked_of_its_name():
    assert assigned(["t2w", "t1n", "t1c", "x"], FLAIR=3) == Assignment((3, 2, 1, 0), Told.BY_NAME)
    assert assigned(["t1n", "b", "c", "d"], T1=3, FLAIR=0) == Assignment((0, 1, 3, 2), Told.AS_GIVEN)
    named = {"FLAIR": 3, "T1ce": 2, "T1": 1, "T2": 0}
    assert assigned(["t2f", "t1c", "t1n", "t2w"], **named) == Assignment((3, 2, 1, 0), Told.NAMED)


def test_hints_of_the_card_count_where_they_are_no_weighting():
    phases = card("late arterial", "portal venous", hints=[("arterial",), ("venous", "pv")])
    assert assigned(["CT_thorax_portalvenous", "CT_ART_arterial_2mm"], phases).order == (1, 0)
    assert assigned(["ct pv", "arterial"], phases).order == (1, 0)


def test_a_hint_of_the_card_may_widen_an_input():
    either = card("T1", "FLAIR", hints=[("t1", "t1ce"), ("flair",)])
    assert assigned(["flair", "t1ce"], either).order == (1, 0)
    with pytest.raises(AssignmentUnclear, match="“t1ce” shows is not told"):
        assigned(["flair", "t1ce"], card("T1", "FLAIR"))


@pytest.mark.parametrize(("name", "meant"), [("flair", "FLAIR"), ("T1CE", "T1ce"), ("t1c", "T1ce"), ("t2w", "T2")])
def test_an_input_is_called_as_the_card_has_it_or_by_another_word_for_it(name, meant):
    assert input_called(name, BRATS) == meant


def test_an_input_that_the_model_does_not_have_is_refused():
    with pytest.raises(AssignmentUnclear, match=r"“PET” is no input of “Tumour”: its inputs are FLAIR, T1ce, T1, T2"):
        input_called("PET", BRATS)


def test_of_many_volumes_those_that_fit_are_proposed_and_the_rest_is_left_open():
    names = ["localizer", "ADC", "T1ce", "AX T2", "DWI b1000"]
    chosen = propose([Candidate(name) for name in names], BRATS.inputs)
    assert chosen == {"FLAIR": None, "T1ce": 2, "T1": None, "T2": 3}


def test_the_study_of_the_shown_volume_goes_first_even_for_a_worse_name():
    candidates = [Candidate("flair"), Candidate("t2 flair", beside_shown=True), Candidate("t1", beside_shown=True)]
    assert propose(candidates, card("T1", "FLAIR").inputs) == {"T1": 2, "FLAIR": 1}
