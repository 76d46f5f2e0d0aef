"""Declared mappings: what a table says once it has been said how it is written, and nothing that was not."""

import json
from datetime import datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.billing import format_of
from collectors.billing._locale import DateStyle, NumberStyle
from collectors.billing._mapping import mapping_from, shipped
from collectors.billing.base import BillingSource
from costlib.errors import BadRecord, ConfigError
from tests.collectors.billing.samples import read, rows_of, written

DOLLARS = NumberStyle(decimal=".", thousands=",", signs=("$", "USD"))
EUROS = NumberStyle(decimal=",", thousands=".", signs=("€",))
SPACED = NumberStyle(decimal=",", thousands=" ", signs=("€",))
UNDECLARED = NumberStyle()

MAPPING = """
label = "a test's own"
[numbers]
decimal = ","
thousands = "."
signs = ["€"]
[dates]
format = "%d.%m.%Y"
zone = "Europe/Berlin"
end = "inclusive"
[columns]
BilledCost = "Betrag"
ChargePeriodStart = "Von"
ChargePeriodEnd = "Bis"
ChargeCategory = "Art"
PricingQuantity = "Stunden"
[constants]
BillingCurrency = "EUR"
ProviderName = "GPU-Haus"
PricingUnit = "Hours"
[values.ChargeCategory]
Nutzung = "Usage"
Gutschrift = "Credit"
[tags]
team = "Gruppe"
[sku_price_details]
InstanceType = "Maschine"
[skip]
Art = ["Einzahlung"]
"""
TABLE = """Von;Bis;Art;Betrag;Stunden;Gruppe;Maschine;Notiz
01.10.2026;31.10.2026;Nutzung;1.234,50 €;744,5;search;8xH100;a
31.10.2026;31.10.2026;Gutschrift;(34,50 €);;;;b
05.10.2026;05.10.2026;Einzahlung;5.000,00 €;;;;c
"""


def mapped(tmp_path: Path, table: str = TABLE, mapping: str = MAPPING) -> tuple[list[dict], BillingSource]:
    path = written(tmp_path, "bill.csv", table)
    rows, source = read(path, mapping=written(tmp_path, "haus.toml", mapping))
    return rows.to_pylist(), source


def refusal(tmp_path: Path, table: str = TABLE, mapping: str = MAPPING) -> str:
    with pytest.raises((BadRecord, ConfigError)) as caught:
        mapped(tmp_path, table, mapping)
    return str(caught.value)


# Numbers --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("style", "cell", "amount"),
    [
        (DOLLARS, "$10,000.00 ", "10000"),
        (DOLLARS, "1,234", "1234"),
        (DOLLARS, "1.234", "1.234"),
        (DOLLARS, "-$5.00", "-5"),
        (DOLLARS, "$-5", "-5"),
        (DOLLARS, "($1.50)", "-1.5"),
        (DOLLARS, "1.50-", "-1.5"),
        (DOLLARS, "5 USD", "5"),
        (DOLLARS, "1E-7", "0.0000001"),
        (DOLLARS, "\u00a0$\u00a01,234.00", "1234"),
        (DOLLARS, "\u22123.5", "-3.5"),
        (EUROS, "1.234,50 €", "1234.5"),
        (EUROS, "1.234", "1234"),
        (EUROS, "1,234", "1.234"),
        (SPACED, "1\u202f234,50\u00a0€", "1234.5"),
        (UNDECLARED, "12.50", "12.5"),
        (UNDECLARED, "1234.567", "1234.567"),
        (UNDECLARED, "0.123", "0.123"),
        (UNDECLARED, "5e-06", "0.000005"),
    ],
)
def test_b11_a_number_is_read_as_declared(style: NumberStyle, cell: str, amount: str) -> None:
    assert style.number(cell) == Decimal(amount)


@pytest.mark.parametrize("cell", ["1.234", "1,234", "1,5", "1.234,50", "12.345"])
def test_b11_without_a_declaration_what_may_be_two_numbers_is_refused(cell: str) -> None:
    with pytest.raises(BadRecord, match="say which in the mapping"):
        UNDECLARED.number(cell)


@pytest.mark.parametrize(
    ("style", "cell"),
    [
        (DOLLARS, "1.234,50"),
        (DOLLARS, "12,34"),
        (DOLLARS, "1,2345"),
        (DOLLARS, "1,234.5.6"),
        (DOLLARS, "12 €"),
        (DOLLARS, "(-5)"),
        (DOLLARS, "--5"),
        (DOLLARS, "(5"),
        (DOLLARS, ""),
        (DOLLARS, "nan"),
        (DOLLARS, "\u0661\u0662"),
        (EUROS, "12.5"),
        (EUROS, "1,234.50"),
        (SPACED, "12 34"),
    ],
)
def test_b11_what_is_not_written_as_declared_is_refused(style: NumberStyle, cell: str) -> None:
    with pytest.raises(BadRecord):
        style.number(cell)


@given(st.decimals(min_value=-(10**15), max_value=10**15, places=9), st.sampled_from([",", ".", " ", "'"]))
def test_b11_every_amount_survives_its_locale(amount: Decimal, thousands: str) -> None:
    decimal = "," if thousands == "." else "."
    text = f"{amount:,f}".replace(",", "T").replace(".", decimal).replace("T", thousands)
    assert NumberStyle(decimal=decimal, thousands=thousands).number(text) == amount


# Dates ----------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("style", "cell", "moment"),
    [
        (DateStyle(), "2026-10-05T01:00:00Z", datetime(2026, 10, 5, 1)),  # noqa: DTZ001
        (DateStyle(zone="America/Los_Angeles"), "2026-10-05", datetime(2026, 10, 5, 7)),  # noqa: DTZ001
        (DateStyle(zone="America/Los_Angeles"), "2026-10-05T01:00:00Z", datetime(2026, 10, 5, 1)),  # noqa: DTZ001
        (DateStyle(formats=("%m/%d/%y", "%m/%d/%Y")), "5/1/2025", datetime(2025, 5, 1)),  # noqa: DTZ001
        (DateStyle(formats=("%m/%d/%y",)), "5/1/25", datetime(2025, 5, 1)),  # noqa: DTZ001
        (DateStyle(formats=("unix",)), "1790812800", datetime(2026, 10, 1)),  # noqa: DTZ001
        (DateStyle(formats=("unix_ms",), zone="Asia/Tokyo"), "1790812800000", datetime(2026, 10, 1)),  # noqa: DTZ001
    ],
)
def test_b18_a_date_is_read_as_declared(style: DateStyle, cell: str, moment: datetime) -> None:
    assert style.moment(cell) == moment


@pytest.mark.parametrize(("style", "cell"), [("%m/%d/%Y", "31/12/2026"), ("%d/%m/%Y", "12/31/2026"), ("iso", "5/1/25")])
def test_b18_a_date_that_contradicts_the_declared_order_is_refused(style: str, cell: str) -> None:
    with pytest.raises(BadRecord, match="day and month are the other way round"):
        DateStyle(formats=(style,)).moment(cell)


@pytest.mark.parametrize(("day", "hours"), [("2026-03-08", 23), ("2026-11-01", 25), ("2026-10-05", 24)])
def test_b18_a_local_day_has_the_hours_it_has(day: str, hours: int) -> None:
    style = DateStyle(zone="America/Los_Angeles")
    assert (style.after(day, "day") - style.moment(day)).total_seconds() == hours * 3600


def test_a_charge_that_begins_at_noon_lasts_no_day() -> None:
    with pytest.raises(BadRecord, match='span = "hour"'):
        DateStyle().after("2026-10-05T12:00:00", "day")


# Tables ---------------------------------------------------------------------------------------------------------------


def test_a_mapping_says_what_the_columns_mean(tmp_path: Path) -> None:
    (usage, credit), source = mapped(tmp_path)
    assert (usage["BilledCost"], credit["BilledCost"]) == (Decimal("1234.5"), Decimal("-34.5"))
    assert (usage["PricingQuantity"], usage["PricingUnit"]) == (Decimal("744.5"), "Hours")
    assert (usage["ChargeCategory"], credit["ChargeCategory"]) == ("Usage", "Credit")
    assert json.loads(usage["Tags"]) == {"team": "search"}
    assert json.loads(usage["SkuPriceDetails"]) == {"InstanceType": "8xH100"}
    assert json.loads(usage["extra"]) == {"Notiz": "a"}
    assert source.notes["rows that the mapping says are no cost, left out"] == 1


def test_b18_an_inclusive_end_is_the_midnight_after_it_in_the_providers_zone(tmp_path: Path) -> None:
    (usage, credit), _ = mapped(tmp_path)
    assert usage["ChargePeriodStart"] == datetime(2026, 9, 30, 22)  # noqa: DTZ001
    assert usage["ChargePeriodEnd"] == credit["ChargePeriodEnd"] == datetime(2026, 10, 31, 23)  # noqa: DTZ001
    assert usage["BillingPeriodStart"] == datetime(2026, 10, 1)  # noqa: DTZ001
    assert usage["BillingPeriodEnd"] == datetime(2026, 11, 1)  # noqa: DTZ001


def test_cents_and_turned_signs_are_of_money_alone(tmp_path: Path) -> None:
    mapping = MAPPING.replace("[dates]", 'unit = "0.01"\nnegate = true\n[dates]')
    (usage, credit), _ = mapped(tmp_path, mapping=mapping)
    assert (usage["BilledCost"], credit["BilledCost"]) == (Decimal("-12.345"), Decimal("0.345"))
    assert usage["PricingQuantity"] == Decimal("744.5")


def test_b10_an_encoding_may_be_declared(tmp_path: Path) -> None:
    written(tmp_path, "haus.toml", f'encoding = "cp1252"\n{MAPPING}')
    path = written(tmp_path, "bill.csv", TABLE.encode("cp1252"))
    assert rows_of(path, mapping=tmp_path / "haus.toml")[0]["BilledCost"] == Decimal("1234.5")
    written(tmp_path, "haus.toml", MAPPING)
    with pytest.raises(BadRecord, match="line 2 has the byte b'\\\\x80'"):
        rows_of(path, mapping=tmp_path / "haus.toml")


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("1.234,50 €", "1,234.50", "bill.csv: row 1 (line 2), column Betrag: '1,234.50' is not written with ','"),
        ("05.10.2026;05", "10/05/2026;05", "bill.csv: row 3 (line 4), column Von: '10/05/2026' is no date"),
        ("Betrag", "Summe", "lacks the column 'Betrag' of mapping haus. It has Von, Bis, Art, Summe"),
        ("Notiz", "VON", "columns that differ only in case"),
    ],
)
def test_b17_the_first_cell_that_is_not_as_declared_is_named(tmp_path: Path, old: str, new: str, reason: str) -> None:
    table = TABLE.replace("Einzahlung", "Nutzung").replace(old, new, 1)
    assert reason in refusal(tmp_path, table)


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("BilledCost =", "BiledCost =", "Did you mean 'BilledCost'?"),
        ("[numbers]", "[number]", "Did you mean 'numbers'?"),
        ("decimal =", "decimals =", "Did you mean 'decimal'?"),
        ('decimal = ","', 'decimal = "."', "decimal is '.' or ','"),
        ('decimal = ","\n', "", "has thousands and no decimal"),
        ("Europe/Berlin", "Mars/Base", "'Mars/Base' is no time zone"),
        ('end = "inclusive"', 'end = "open"', "end is 'exclusive' or 'inclusive'"),
        ("[dates]", 'unit = "0.02"\n[dates]', "unit is a power of ten"),
    ],
)
def test_a_mapping_that_is_wrong_says_so(tmp_path: Path, old: str, new: str, reason: str) -> None:
    assert reason in refusal(tmp_path, mapping=MAPPING.replace(old, new, 1))


def test_a_mapping_and_another_format_contradict_each_other(tmp_path: Path) -> None:
    source = BillingSource(path=written(tmp_path, "a.csv", TABLE), mapping=Path("focus_us"))
    with pytest.raises(ConfigError, match="leave one of the two out"):
        format_of(source, "focus")


def test_an_unknown_mapping_lists_the_shipped_ones(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="Did you mean 'focus_us'"):
        read(written(tmp_path, "a.csv", TABLE), mapping=Path("focus_use"))


# Shipped mappings -----------------------------------------------------------------------------------------------------

FIREWORKS = (
    "email,start_time,end_time,usage_type,accelerator_type,accelerator_seconds,base_model_name,model_bucket,"
    "parameter_count,prompt_tokens,completion_tokens\n"
    "me@example.com,2025-10-20 17:16:48 UTC,2025-10-20 17:16:48 UTC,TEXT_COMPLETION_INFERENCE_USAGE,,,"
    "accounts/fireworks/models/llama-v3p1-8b-instruct,Llama 3.1 8B,8030261248,803,109\n"
    "me@example.com,2025-10-20 17:00:00 UTC,2025-10-20 18:00:00 UTC,DEDICATED,H100,7200,,,,,\n"
)


def test_fireworks_metrics_are_use_without_cost_and_without_addresses(tmp_path: Path) -> None:
    event, dedicated = rows_of(written(tmp_path, "a.csv", FIREWORKS))
    assert (event["BilledCost"], event["x_InputTokens"], event["x_OutputTokens"]) == (0, 803, 109)
    assert json.loads(dedicated["SkuPriceDetails"]) == {"InstanceType": "H100"}
    assert (dedicated["PricingQuantity"], dedicated["PricingUnit"]) == (7200, "Seconds")
    assert "me@example.com" not in json.dumps([event, dedicated], default=str)


@pytest.mark.parametrize(
    "header",
    [
        "object_id,description,environment_name,interval_start,cost",
        "Object ID,Description,Environment,Interval Start,Cost",
    ],
)
def test_modal_reports_are_days_unless_named_hours(tmp_path: Path, header: str) -> None:
    line = "ap-1,chat,main,{},12.3456789\n"
    (row,) = rows_of(written(tmp_path, "day.csv", f"{header}\n{line.format('2026-10-05T00:00:00+00:00')}"))
    assert (row["BilledCost"], row["ResourceId"], row["SubAccountName"]) == (Decimal("12.3456789"), "ap-1", "main")
    assert row["ChargePeriodEnd"] == datetime(2026, 10, 6)  # noqa: DTZ001
    hours = written(tmp_path, "hour.csv", f"{header}\n{line.format('2026-10-05T13:00:00+00:00')}")
    with pytest.raises(BadRecord, match='span = "hour"'):
        rows_of(hours)
    (row,) = rows_of(hours, mapping=Path("modal_hourly"))
    assert row["ChargePeriodEnd"] == datetime(2026, 10, 5, 14)  # noqa: DTZ001


def test_an_invoice_may_be_typed(tmp_path: Path) -> None:
    table = (
        "provider,account,invoice,first_day,last_day,description,service,instance_type,gpu_count,hours,amount,currency\n"
        "Lambda,acc-1,INV-7,2026-10-01,2026-10-31,on demand,Instances,gpu_8x_h100_sxm5,8,744,17856.00,USD\n"
    )
    (row,) = rows_of(written(tmp_path, "a.csv", table))
    assert (row["BilledCost"], row["InvoiceId"], row["PricingQuantity"]) == (Decimal("17856"), "INV-7", 744)
    assert row["ChargePeriodEnd"] == datetime(2026, 11, 1)  # noqa: DTZ001
    assert json.loads(row["SkuPriceDetails"]) == {"InstanceType": "gpu_8x_h100_sxm5", "GpuCount": "8"}


def test_every_shipped_mapping_is_known_by_columns_of_its_own() -> None:
    recognised = [set(mapping.recognise) for mapping in shipped().values() if mapping.recognise]
    assert not [(one, two) for one in recognised for two in recognised if one is not two and one <= two]


def test_an_empty_mapping_is_no_error_until_it_is_used(tmp_path: Path) -> None:
    assert mapping_from("a", {}).label == "a"
    assert "has no ChargePeriodStart" in refusal(tmp_path, mapping="")
