"""Units: every number of the library says its unit in its name, or is on the list of those that need not."""

import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from types import UnionType
from typing import Union, get_args, get_origin, get_type_hints

import pytest

import costlib
from costlib.errors import DomainError
from costlib.estimate import Basis
from costlib.projection import Trace
from costlib.roofline import Floats
from costlib.units import HOURS_PER_MONTH, SECONDS_PER_HOUR, TOKENS_PER_MTOK, UNIT_OF_SUFFIX, unit_of

# Numbers whose unit stands beside them, or is that of the field that holds them.
UNIT_STANDS_BESIDE = {
    ("Estimate", "low"),
    ("Estimate", "mid"),
    ("Estimate", "high"),
    ("Step", "value"),
    ("Expectation", "value"),
    ("Link", "old"),
    ("Link", "new"),
    ("Checked", "found"),
    ("Number", "low"),
    ("Number", "high"),
    ("Number", "step"),
    ("Number", "neutral"),
    ("_Unknown", "value"),
    ("Histogram", "sum"),
    ("HistogramHistory", "sum"),
    ("HistogramHistory", "cumulative_counts"),
    ("HistogramHistory", "count"),
    ("StepFit", "r2"),
    ("FittedConstant", "value"),
    ("FittedConstant", "log_sd"),
    ("FittedConstant", "prior"),
    ("FittedConstant", "prior_log_sd"),
    ("Figure", "value"),
    ("Figure", "before"),
    ("Indicator", "value"),
    ("Indicator", "before"),
    ("Smoothed", "middle"),  # that of the series
    ("Smoothed", "draws"),
    ("Forecast", "draws"),  # the history's currency
    *(("Range", name) for name in ("low", "mode", "high")),  # that of the factor
    *(("FactorKind", name) for name in ("default", "least", "most")),
    *((name, "seed") for name in ("Estimator", "Estimated")),
    *((name, "start") for name in ("MigInstance", "Part")),  # the place of a memory slice
    *(("_Run", name) for name in ("loss", "errors", "level", "trend", "season", "ahead")),
    ("Break", "line_number"),
    ("_Track", "seen"),
    ("_Track", "added"),
    ("OutlookLine", "breach_probability"),  # 0 to 1, as anywhere
    *(("Effect", name) for name in ("values", "weights", "error_sd")),  # that of the series; weights are shares
    *(("Errors", name) for name in ("weights", "sd")),
    *(("Question", name) for name in ("series", "design", "column")),  # logarithms; the place of a column
    *(("Paired", name) for name in ("log_effect", "low", "high")),  # logarithms have no unit
    *((name, "log_effect") for name in ("Signed", "Verification")),
    *((name, "standard_error") for name in ("Signed", "Verification")),  # that of log_effect
    ("Smallest", "error_sd"),
    *((name, "work") for name in ("PoolDays", "Spent")),  # units of work: see Work
    *(("GuardResult", name) for name in ("before", "after")),  # that of the guarded measure
}


def dataclasses_of(package) -> Iterator[type]:
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        for member in vars(importlib.import_module(module.name)).values():
            if isinstance(member, type) and is_dataclass(member) and member.__module__ == module.name:
                yield member


def is_number(hint: object) -> bool:
    if get_origin(hint) in (Union, UnionType):
        return any(is_number(part) for part in get_args(hint))
    return hint in (int, float, Floats)


def numbers_of(kind: type) -> list[str]:
    hints = get_type_hints(kind)
    return [field.name for field in fields(kind) if is_number(hints[field.name])]


ALL = sorted(set(dataclasses_of(costlib)), key=lambda kind: kind.__qualname__)


@pytest.mark.parametrize("kind", ALL, ids=lambda kind: kind.__name__)
def test_every_number_says_its_unit(kind):
    # The underscore lets a field be called `tokens`, which says its unit and nothing else.
    silent = [
        name
        for name in numbers_of(kind)
        if unit_of(f"_{name}") is None and (kind.__name__, name) not in UNIT_STANDS_BESIDE
    ]
    assert not silent, f"{kind.__name__}: {', '.join(silent)} end in no suffix of costlib/units.py"


def test_the_reflection_sees_the_library():
    """It must find floats, optional floats and arrays, in classes and in levers' files."""
    by_name = {kind.__name__: kind for kind in ALL}
    assert {"Projection", "GpuSpec", "Workload", "Replica", "Lever"} <= set(by_name)
    assert "tpot_s" in numbers_of(by_name["DeploymentProjection"])
    assert "decode_step_s" in numbers_of(by_name["Replica"])
    assert "replicas_count" in numbers_of(by_name["DeploymentProjection"])


def test_the_list_of_exceptions_holds_nothing_that_is_gone():
    real = {(kind.__name__, name) for kind in ALL for name in numbers_of(kind)}
    assert real >= UNIT_STANDS_BESIDE


@pytest.mark.parametrize(
    ("name", "unit"),
    [
        pytest.param("kv_bytes_per_token", "byte/token", id="the longest suffix wins"),
        pytest.param("hbm_bytes_per_s", "byte/s", id="a rate is not a time"),
        pytest.param("usd_per_mtok_blended", "USD/M tokens, input + output", id="which tokens"),
        pytest.param("max_num_seqs", "sequence", id="vLLM's own names"),
        pytest.param("speed", None, id="no unit"),
    ],
)
def test_unit_of(name, unit):
    assert unit_of(name) == unit


def test_a_step_without_a_unit_cannot_be_recorded():
    with pytest.raises(DomainError, match="step 'speed' has no unit in its name"):
        Trace("fleet", Basis.ASSUMED)("speed", 1.0, "")


def test_the_constants_are_what_they_are_called():
    assert SECONDS_PER_HOUR == 60 * 60
    assert TOKENS_PER_MTOK == 10**6
    assert HOURS_PER_MONTH == 365 * 24 / 12
    assert all(suffix == suffix.lower() for suffix in UNIT_OF_SUFFIX)
