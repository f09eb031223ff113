"""What a check of a data set found: for programs as JSON, for people as a table."""

from __future__ import annotations

import json
import statistics
from pathlib import Path

from TransformerSegLib.export.output import written_atomically
from TransformerSegLib.training.case_check import CheckedCase
from TransformerSegLib.training.cases import counted_cases
from TransformerSegLib.training.contact_sheet import worst_first
from TransformerSegLib.training.data_check import DataCheck

JSON_FILE = "data_report.json"
MARKDOWN_FILE = "data_report.md"
CLASS_COLUMNS = 12
"""Of the table; where there are more classes, their volumes stand in the JSON file alone."""


def write_data_report(folder: Path, check: DataCheck, pictures: list[Path]) -> None:
    """Write ``data_report.json`` and ``data_report.md`` into a folder.

    Args:
        folder: must exist.
        check: that is told of.
        pictures: the contact sheet's pages, in the same folder.

    Raises:
        OutputRejected: the folder cannot be written to.
    """
    for name, text in (
        (JSON_FILE, json.dumps(_record(check), indent=2, ensure_ascii=False) + "\n"),
        (MARKDOWN_FILE, "\n".join(_document(check, pictures)) + "\n"),
    ):
        with written_atomically(folder / name) as temporary:
            temporary.write_text(text, encoding="utf-8")


def _record(check: DataCheck) -> dict[str, object]:
    data = check.data
    return {
        "name": data.name,
        "licence": data.licence,
        "training": len(data.training),
        "validation": len(data.validation),
        "classes": [{"label": each.label, "name": each.name, "color": each.color} for each in check.classes],
        "notes": data.notes,
        "faults": [vars(fault) for fault in check.faults],
        "remarks": check.remarks,
        "cases": [_case_record(case, check) for case in check.cases],
    }


def _case_record(checked: CheckedCase, check: DataCheck) -> dict[str, object]:
    case = checked.case
    return {
        "name": case.name,
        "side": _side(checked, check),
        "images": [_within(path, check) for path in case.images],
        "label": _within(case.label, check) if case.label else None,
        "size": checked.size,
        "spacing_mm": checked.spacing,
        "volumes_ml": {each.name: checked.volumes_ml.get(each.label) for each in check.classes},
        "faults": [vars(fault) for fault in checked.faults],
        "remarks": checked.remarks,
    }


def _document(check: DataCheck, pictures: list[Path]) -> list[str]:
    data = check.data
    lines = [f"# {_cell(data.name)}", "", _verdict(check), ""]
    if data.licence:
        lines += [f"Licence: {_cell(data.licence)}", ""]
    told = [*map(str, check.faults), *check.remarks, *data.notes]
    lines += [*(f"- {_cell(line)}" for line in told), ""] if told else []
    if check.faulty:
        lines += ["## Faults", ""]
        lines += [f"- **{_cell(case.case.name)}**: {_cell(str(f))}" for case in check.faulty for f in case.faults]
        lines += [""]
    if check.unusual:
        lines += ["## Unusual", ""]
        lines += [f"- **{_cell(case.case.name)}**: {_cell('; '.join(case.remarks))}." for case in check.unusual]
        lines += [""]
    return [*lines, *_classes(check), *_table(check), *_pictures(pictures)]


def _verdict(check: DataCheck) -> str:
    faults = len(check.faults) + sum(len(case.faults) for case in check.faulty)
    counted = f"{counted_cases(len(check.data.training))} for training, {len(check.data.validation)} kept out of it. "
    if faults:
        unfit = counted_cases(len(check.faulty))
        return counted + f"**{faults} fault{'s' * (faults > 1)}, {unfit} cannot be trained on.**"
    odd = f"; unusual, and worth a look: {counted_cases(len(check.unusual))}" if check.unusual else ""
    return counted + f"**No faults**{odd}."


def _classes(check: DataCheck) -> list[str]:
    if not check.classes:
        return []
    lines = ["## Classes", "", "| label | class | cases | median mL | smallest | largest |", "|---" * 6 + "|"]
    for each in check.classes:
        volumes = [volume for case in check.cases if (volume := case.volumes_ml.get(each.label, 0.0)) > 0]
        figures = [f"{pick(volumes):.3g}" for pick in (statistics.median, min, max)] if volumes else ["–"] * 3
        lines.append(f"| {each.label} | {_cell(each.name)} | {len(volumes)} | {' | '.join(figures)} |")
    return [*lines, ""]


def _table(check: DataCheck) -> list[str]:
    classes = check.classes if len(check.classes) <= CLASS_COLUMNS else ()
    head = ["case", "side", "size", "spacing, mm", *(f"{_cell(each.name)}, mL" for each in classes), "remarks"]
    lines = ["## Cases", "", f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for case in worst_first(check.cases):
        volumes = [case.volumes_ml.get(each.label) for each in classes]
        remarks = [*(f"**{fault.what}**" for fault in case.faults), *case.remarks]
        row = [
            case.case.name,
            _side(case, check),
            "×".join(map(str, case.size)) if case.size else "–",
            "×".join(f"{length:.3g}" for length in case.spacing) if case.spacing else "–",
            *("–" if volume is None else f"{volume:.3g}" for volume in volumes),
            "; ".join(remarks),
        ]
        lines.append(f"| {' | '.join(_cell(text) for text in row)} |")
    return [*lines, ""]


def _pictures(pictures: list[Path]) -> list[str]:
    if not pictures:
        return []
    return ["## Pictures", "", *(f"![{path.stem.replace('_', ' ')}]({path.name})" for path in pictures)]


def _side(checked: CheckedCase, check: DataCheck) -> str:
    return "validation" if checked.case in check.data.validation else "training"


def _within(path: Path, check: DataCheck) -> str:
    return (path.relative_to(check.data.root) if path.is_relative_to(check.data.root) else path).as_posix()


def _cell(text: str) -> str:
    """A text that stays in its cell of a Markdown table."""
    return text.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")
