"""Reads a pack's files back, each by a reader that knows nothing of how it was written."""

import csv
import re
from dataclasses import dataclass, field
from decimal import Decimal
from io import BytesIO, StringIO
from pathlib import PurePosixPath
from xml.etree import ElementTree
from zipfile import ZipFile

from pypdf import PdfReader

MAIN = "{http://schemas.openxmlformats.org/spreadsheetml/2006/main}"
REL = "{http://schemas.openxmlformats.org/officeDocument/2006/relationships}"
Value = str | float
_CELL = re.compile(r"(?:(\w+)!)?\$?([A-Z]{1,3})\$?(\d+)(?::\$?([A-Z]{1,3})\$?(\d+))?")


def pdf_text(data: bytes) -> str:
    return "\n".join(page.extract_text() for page in PdfReader(BytesIO(data)).pages)


def pages_of(data: bytes) -> int:
    return len(PdfReader(BytesIO(data)).pages)


def csv_rows(data: bytes) -> list[dict[str, str]]:
    text = data.decode("utf-8-sig")
    return list(csv.DictReader(StringIO(text), delimiter=";" if ";" in text.split("\r\n")[0] else ","))


def csv_total(data: bytes) -> Decimal:
    return sum((Decimal(row["amount"].replace(",", ".")) for row in csv_rows(data) if row["amount"]), Decimal(0))


@dataclass(frozen=True)
class Workbook:
    """Values as they are stored, and formulas, by sheet and cell (row from 1, column from 1)."""

    values: dict[str, dict[tuple[int, int], Value]]
    formulas: dict[str, dict[tuple[int, int], str]]
    _ranges: dict[tuple[object, ...], list[Value]] = field(default_factory=dict)  # many formulas read the same cells

    def find(self, sheet: str, text: str) -> int:
        """The row whose first or second cell says `text`."""
        return next(row for (row, column), value in self.values[sheet].items() if value == text and column <= 2)

    def calculated(self, sheet: str, row: int, column: int) -> Value:
        """The cell, calculated from scratch: what is stored with a formula plays no part."""
        formula = self.formulas[sheet].get((row, column))
        if formula is None:
            return self.values[sheet].get((row, column), "")
        return self._evaluated(formula, sheet)

    def _range(self, sheet: str, top: int, left: int, bottom: int, right: int) -> list[Value]:
        asked = (sheet, top, left, bottom, right)
        if asked not in self._ranges:
            self._ranges[asked] = [
                self.calculated(sheet, row, column)
                for row in range(top, bottom + 1)
                for column in range(left, right + 1)
            ]
        return self._ranges[asked]

    def _evaluated(self, formula: str, sheet: str) -> Value:
        """Of the functions that a pack uses, and no other."""
        found: dict[str, object] = {}

        def read(match: re.Match[str]) -> str:
            name = f"r{len(found)}"
            where, left, top, right, bottom = match.groups()
            where = where or sheet
            if right is None:
                found[name] = self.calculated(where, int(top), number_of(left))
            else:
                found[name] = self._range(where, int(top), number_of(left), int(bottom), number_of(right))
            return name

        pieces = re.split(r'("[^"]*")', formula)
        code = "".join(piece if piece.startswith('"') else _CELL.sub(read, piece) for piece in pieces)
        code = re.sub(r"(?<![<>=])=(?!=)", "==", code)
        assert re.fullmatch(r'(?:"[^"]*"|SUMIF|SUM|IF|ROUND|N|r\d+|[\d.]+|[-+*/(),<>=])+', code), formula
        if code.startswith("IF("):  # what is not chosen is not calculated
            condition, then, otherwise = code[len("IF(") : -1].rsplit(",", 2)
            code = f"({then}) if {condition} else ({otherwise})"
        result = eval(code, {"__builtins__": {}}, {**FUNCTIONS, **found})
        return result if isinstance(result, str) else float(result)


def number_of(letters: str) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + ord(letter) - 64
    return number


def _sum(*parts: object) -> float:
    flat = [one for part in parts for one in (part if isinstance(part, list) else [part])]
    return float(sum((Decimal(repr(one)) for one in flat if isinstance(one, float)), Decimal(0)))


def _sumif(keys: list[Value], key: Value, amounts: list[Value]) -> float:
    return _sum([amount for one, amount in zip(keys, amounts, strict=True) if one == key])


FUNCTIONS = {
    "SUM": _sum,
    "SUMIF": _sumif,
    "ROUND": lambda number, digits: round(number, int(digits)),
    "N": lambda value: value if isinstance(value, float) else 0.0,
}


def workbook(data: bytes) -> Workbook:
    with ZipFile(BytesIO(data)) as archive:
        names = _sheet_paths(archive)
        shared = _shared(archive)
        values: dict[str, dict[tuple[int, int], Value]] = {}
        formulas: dict[str, dict[tuple[int, int], str]] = {}
        for name, path in names.items():
            values[name], formulas[name] = {}, {}
            for cell in ElementTree.fromstring(archive.read(path)).iter(f"{MAIN}c"):
                letters, row = re.fullmatch(r"([A-Z]+)(\d+)", cell.attrib["r"]).groups()
                at = (int(row), number_of(letters))
                formula, value = cell.find(f"{MAIN}f"), cell.find(f"{MAIN}v")
                if formula is not None:
                    formulas[name][at] = formula.text or ""
                if value is not None and value.text is not None:
                    kind = cell.attrib.get("t", "n")
                    stored = shared[int(value.text)] if kind == "s" else value.text if kind == "str" else None
                    values[name][at] = float(value.text) if stored is None else stored
    return Workbook(values=values, formulas=formulas)


def without_stored_results(data: bytes) -> bytes:
    """The workbook with its formulas alone: whoever opens it has to calculate."""
    made = BytesIO()
    with ZipFile(BytesIO(data)) as archive, ZipFile(made, "w") as bare:
        for name in archive.namelist():
            text = archive.read(name)
            if name.startswith("xl/worksheets/sheet"):
                text = re.sub(rb"</f><v>[^<]*</v>", b"</f>", text)
            bare.writestr(name, text)
    return made.getvalue()


def _sheet_paths(archive: ZipFile) -> dict[str, str]:
    targets = {
        one.attrib["Id"]: one.attrib["Target"]
        for one in ElementTree.fromstring(archive.read("xl/_rels/workbook.xml.rels"))
    }
    sheets = ElementTree.fromstring(archive.read("xl/workbook.xml")).iter(f"{MAIN}sheet")
    return {one.attrib["name"]: str(PurePosixPath("xl", targets[one.attrib[f"{REL}id"]])) for one in sheets}


def _shared(archive: ZipFile) -> list[str]:
    if "xl/sharedStrings.xml" not in archive.namelist():
        return []
    items = ElementTree.fromstring(archive.read("xl/sharedStrings.xml")).iter(f"{MAIN}si")
    return ["".join(part.text or "" for part in item.iter(f"{MAIN}t")) for item in items]
