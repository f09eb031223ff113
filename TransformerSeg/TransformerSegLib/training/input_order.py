"""The volumes of every case in the order of the model's inputs, as the engine will give them to it."""

from __future__ import annotations

from dataclasses import replace

from TransformerSegLib.bundles.card import Card
from TransformerSegLib.errors import AssignmentUnclear, TrainingDataRejected
from TransformerSegLib.inference.assigning import assign
from TransformerSegLib.inference.reading import name_of
from TransformerSegLib.training.cases import Case, DataList


def in_card_order(data: DataList, card: Card) -> DataList:
    """The same cases, their volumes told apart by their names where those tell anything; else in their own order.

    Raises:
        TrainingDataRejected: the names of a case's volumes tell some of them and not others.
    """
    training, validation = (tuple(_ordered(case, card) for case in side) for side in (data.training, data.validation))
    return replace(data, training=training, validation=validation)


def _ordered(case: Case, card: Card) -> Case:
    if len(case.images) != len(card.inputs) or len(case.images) == 1:
        return case
    try:
        order = assign([[name_of(path)] for path in case.images], {}, card).order
    except AssignmentUnclear as error:
        raise TrainingDataRejected(
            f"Which volume of “{case.name}” is which input is not clear",
            why=error.what,
            remedy="Let the files' names end as the inputs in card.json are called, or correct its “hints”",
        ) from error
    return replace(case, images=tuple(case.images[number] for number in order))
