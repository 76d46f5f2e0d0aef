"""A comparison in a terminal: what is undefined says so, what was refused says why, what was expected says whether."""

from datetime import date

import pytest

from costlib.compare import compare
from costlib.report import whatif_text
from costlib.scenario_file import check_expectations, scenario_file_from
from tests.costlib.scenario_builders import CATALOG, bought, hosted, scenario, work

BUSY = scenario(hosted("llama-3.1-8b", "h100-sxm", work(400)))


def lines(today, settings=None) -> list[str]:
    return whatif_text(compare(today, settings or {}, CATALOG), ()).splitlines()


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
    low, high = float(words[words.index("scenario:") + 1]), float(words[words.index("to") + 1])
    assert low - 1 <= figures(found, "USD per month")[0] <= high + 1
    assert band.endswith("assumed")


def test_what_an_api_does_not_have_is_undefined_and_not_zero() -> None:
    (line,) = [line for line in lines(scenario(bought("llama-3.3-70b", 1.0))) if line.startswith("time to first token")]
    assert line.split()[-2:] == ["undefined", "undefined"]


def test_a_refused_lever_says_why_and_what_would_help() -> None:
    found = lines(scenario(bought("llama-3.3-70b", 1.0)), {"weight_precision": {"weights": "fp8"}})
    (line,) = [line for line in found if "not applied" in line]
    assert "bought by the token" in line
    assert "host one" in line


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
    met, missed = whatif_text(comparison, check_expectations(file, comparison)).splitlines()[-2:]
    assert met == "saved_usd_per_month = 0  as expected"
    assert missed == "saved_usd_per_month = 0  EXPECTED 12"
