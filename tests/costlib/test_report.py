"""A comparison in a terminal: what is undefined says so, what was refused says why, what was expected says whether."""

from datetime import date

import pytest

from costlib.compare import compare
from costlib.report import whatif_text
from costlib.scenario_file import check_expectations, scenario_file_from
from costlib.uncertainty import uncertainty
from tests.costlib.scenario_builders import CATALOG, bought, hosted, scenario, work

BUSY = scenario(hosted("llama-3.1-8b", "h100-sxm", work(400)))


def lines(today, settings=None) -> list[str]:
    comparison = compare(today, settings or {}, CATALOG)
    return whatif_text(comparison, uncertainty(today, settings or {}, comparison, CATALOG), ()).splitlines()


def figures(found: list[str], label: str) -> list[float]:
    (line,) = [line for line in found if line.startswith(label)]
    return [float(figure.replace(",", "")) for figure in line.removeprefix(label).split()]


def test_today_stands_beside_the_scenario_and_changes_sum_to_the_difference() -> None:
    found = lines(
        BUSY, {"weight_precision": {"weights": "fp8"}, "prefix_caching": {"enabled": True, "hit_fraction": 0.6}}
    )
    today, then = figures(found, "USD per month")
    changes = [
        float(line.split()[-4].replace(",", ""))
        for line in found
        if line.endswith("USD per month") and line[:2] == "  "
    ]
    assert len(changes) == 2
    assert sum(changes) == pytest.approx(then - today, abs=0.03)


def test_the_band_contains_the_figure_and_says_what_it_rests_on() -> None:
    found = lines(BUSY)
    (band,) = [line for line in found if line.startswith("80 % band")]
    words = band.replace(",", "").split()
    low, high = float(words[words.index("demand:") + 1]), float(words[words.index("to") + 1])
    assert low - 1 <= figures(found, "USD per month")[0] <= high + 1
    assert band.endswith("assumed")


def test_how_sure_it_is_what_it_hangs_on_and_what_multiplying_would_promise_are_said() -> None:
    settings = {"weight_precision": {"weights": "fp8"}, "prefix_caching": {"enabled": True, "hit_fraction": 0.6}}
    found = lines(BUSY, settings)
    (bill,) = [line for line in found if line.startswith("P10, P50, P90 of 128 draws")]
    p10, p50, p90 = [
        float(figure.replace(",", "")) for figure in bill.split(": ")[1].removesuffix(" USD per month").split(", ")
    ]
    assert p10 <= p50 <= p90
    assert any(line.startswith("chance that the bill rises: ") for line in found)
    assert any(line.startswith("hangs on Prefix caching: prompt tokens reused, 25 % to 80 %") for line in found)
    (joint,) = [line for line in found if line.startswith("solved together")]
    solved, promised = [float(word.rstrip("%")) for word in joint.split() if word.endswith("%")]
    assert solved < promised


def test_what_an_api_does_not_have_is_undefined_and_not_zero() -> None:
    (line,) = [line for line in lines(scenario(bought("llama-3.3-70b", 1.0))) if line.startswith("time to first token")]
    assert line.split()[-2:] == ["undefined", "undefined"]


def test_a_refused_lever_says_why_and_what_would_help() -> None:
    found = lines(scenario(bought("llama-3.3-70b", 1.0)), {"weight_precision": {"weights": "fp8"}})
    (line,) = [line for line in found if "not applied" in line]
    assert "bought by the token" in line
    assert "host one" in line


def test_what_wrong_answers_lose_stands_beside_the_cash_and_harm_is_said() -> None:
    """12 % of $0.004 requests saved, 20 % of those hits wrong at $0.05: 0.00048 less 0.0012 a request, and lookups."""
    api = scenario(bought("llama-3.3-70b", 4.0, work(1, 800, 200)))
    found = lines(api, {"semantic_cache": {"enabled": True, "wrong_fraction": 0.2}})
    (net,) = [line for line in found if line.startswith("saved less what wrong answers lose")]
    assert float(net.split()[-5].replace(",", "")) == pytest.approx((0.00048 - 0.0012 - 5e-5) * 3600 * 730, abs=0.01)
    assert "note: Wrong answers are expected to lose more than the bill falls by." in found
    assert not any("wrong answers" in line for line in lines(api))


def test_expectations_are_shown_as_met_or_with_what_was_expected() -> None:
    document = {
        "deployments": [
            {
                "key": "chat", "model": "llama-3.1-8b", "gpu": "h100-sxm", "purchase": {"usd_per_gpu_hour": 2.5},
                "workload": {"requests_per_s": 5.0, "mean_prompt_tokens": 500, "mean_output_tokens": 200},
            }
        ],
        "expect": [{"of": "saved_usd_per_month", "value": 0.0}, {"of": "saved_usd_per_month", "value": 12.0}],
    }  # fmt: skip
    file = scenario_file_from(document, CATALOG, "test", date(2026, 11, 21))
    comparison = compare(file.today, {}, file.catalog)
    sure = uncertainty(file.today, {}, comparison, file.catalog)
    met, missed = whatif_text(comparison, sure, check_expectations(file, comparison)).splitlines()[-2:]
    assert met == "saved_usd_per_month = 0  as expected"
    assert missed == "saved_usd_per_month = 0  EXPECTED 12"
