"""The sheet of all indicators: numbers as numbers, in their unit, and how each is made."""

from decimal import Decimal

from costlib.allocation import in_cents
from costlib.estimate import Undefined
from costlib.kpis import KpiUnit
from costlib.review import Review
from pack.sheet import Sheet
from pack.style import NONE

_FIRST = 4
_LOOKS = {
    KpiUnit.MONEY: "money",
    KpiUnit.PER_MTOK: "per_mtok",
    KpiUnit.TOKENS_PER_MONEY: "count",
    KpiUnit.PER_REQUEST: "per_request",
    KpiUnit.PER_GPU_HOUR: "per_mtok",
    KpiUnit.SHARE: "share",
    KpiUnit.RATIO: "ratio",
    KpiUnit.SECONDS: "count",
}


def indicator_sheet(sheet: Sheet, review: Review) -> None:
    sheet.widths((6, 34, 18, 18, 18, 60, 60, 28))
    sheet.title("All indicators", f"{review.period.name}. What is not known is left empty, and says why.")
    heads = ("No.", "Indicator", "Value", "Before", "Unit", "How", "Why not", "Name")
    row = sheet.heads(_FIRST, heads, texts=(1, 4, 5, 6, 7))
    for one in review.indicators:
        sheet.count(row, 0, one.number_count)
        sheet.text(row, 1, one.label)
        for column, value in ((2, one.value), (3, one.before)):
            if value is None or isinstance(value, Undefined):
                sheet.text(row, column, NONE, "muted")
            else:
                unit = KpiUnit(one.unit)
                amount = in_cents([Decimal(str(value))])[0] if unit is KpiUnit.MONEY else value
                sheet.number(row, column, amount, _LOOKS[unit])
        sheet.text(row, 4, one.unit.replace("_", " "))
        sheet.text(row, 5, one.formula)
        sheet.text(row, 6, one.value.reason if isinstance(one.value, Undefined) else "")
        sheet.text(row, 7, one.name)
        row += 1
    if not review.indicators:
        sheet.text(row, 0, "No indicator was calculated.", "muted")
