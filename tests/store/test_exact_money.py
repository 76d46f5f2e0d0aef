"""Permanent: no digit of an amount is lost between a file and a page. (duckdb-engine 0.17 lost them, silently.)"""

from decimal import Decimal
from pathlib import Path

import pytest
from sqlalchemy import func, insert, select

from collectors.importer import import_files
from costlib.billing import exact_sum
from store.engine import open_live
from store.home import Home
from store.read import open_snapshot
from store.schema import charge
from tests.store.builders import ALWAYS, bill

WIDEST = Decimal("12345678901234567890.123456789012345678")


def test_38_digits_survive_the_dialect(tmp_path: Path) -> None:
    connection = open_live(tmp_path / "exact.duckdb")
    charge.create(connection)
    connection.execute(insert(charge).values(BilledCost=WIDEST))
    connection.execute(insert(charge), [{"BilledCost": WIDEST.copy_negate()}, {"BilledCost": Decimal("1e-18")}])
    costs = connection.scalars(select(charge.c.BilledCost).order_by(charge.c.BilledCost)).all()
    assert [str(cost) for cost in costs] == [f"-{WIDEST}", str(Decimal("1e-18")), str(WIDEST)]
    assert connection.scalar(select(func.sum(charge.c.BilledCost))) == Decimal("1e-18")
    connection.close()


def test_38_digits_survive_from_file_to_frame(home: Home, tmp_path: Path) -> None:
    receipts = import_files([bill(tmp_path / "a.csv", {"BilledCost": str(WIDEST)}, {"BilledCost": "1e-18"})], home)
    total = Decimal("12345678901234567890.123456789012345679")
    with open_snapshot(home) as snapshot:
        assert receipts[0].billed_cost == total
        assert snapshot.spend_total(*ALWAYS) == {"USD": total}
        assert snapshot.daily_spend(*ALWAYS)["cost"].tolist() == [total]
        assert snapshot.imports()["BilledCost"].tolist() == [total]


def test_a_sum_that_does_not_fit_is_refused_not_rounded(home: Home, tmp_path: Path) -> None:
    huge = {"BilledCost": "9" * 20}
    (receipt,) = import_files([bill(tmp_path / "a.csv", *[huge] * 2)], home)
    assert receipt.status == "refused"
    assert "cannot hold" in receipt.detail
    assert open_snapshot(home).spend_total(*ALWAYS) == {}


def test_python_s_own_sum_would_round() -> None:
    assert exact_sum([WIDEST, Decimal(1)]) == Decimal("12345678901234567891.123456789012345678")
    assert sum([WIDEST, Decimal(1)]) != exact_sum([WIDEST, Decimal(1)])
    with pytest.raises(ArithmeticError):
        exact_sum([Decimal("1e60"), Decimal("1e-60")])
