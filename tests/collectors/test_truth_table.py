"""data/vllm/ against what vLLM's releases have in their sources and what a real server has on its page."""

import json
import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from collectors.replay import Recording
from collectors.vllm.aliases import MEASURES, AliasTable, Metric, MetricType, load_aliases, version
from collectors.vllm.version import family_of
from costlib.errors import ConfigError, UnknownKey
from costlib.measures import COUNTERS, GAUGES

CAPTURES = Path(__file__).parents[1] / "captures"
TABLE = load_aliases()
BEGINNINGS = {"spec_decode", "diffusion"}  # string literals that begin a name
HISTORY = {
    release: set(names) - BEGINNINGS
    for release, names in json.loads((CAPTURES / "version_history.json").read_text())["metric_names"].items()
}
RECORDED_ON = version("0.32.0")


def exposed(source_name: str) -> str:
    """The source leaves the _total of most counters to the exposition."""
    return source_name if source_name in TABLE.metrics else f"{source_name}_total"


def recorded_pages() -> list[str]:
    pages = [path.read_text() for path in CAPTURES.glob("*/*.prom")]
    for path in CAPTURES.glob("*/metrics.jsonl.gz"):
        pages += [page for page in Recording.load(path).pages if page][-1:]
    return pages


class TestAgainstTheSources:
    @pytest.mark.parametrize("release", HISTORY)
    def test_every_name_of_a_release_is_in_the_table_and_may_be_in_that_release(self, release: str) -> None:
        for name in HISTORY[release]:
            assert TABLE.metrics[exposed(name)].may_be_in(version(release)), name

    @pytest.mark.parametrize("release", HISTORY)
    def test_what_the_table_is_sure_of_is_in_the_source_of_that_release(self, release: str) -> None:
        names = {exposed(name) for name in HISTORY[release]}
        sure = {
            metric.name
            for metric in TABLE.metrics.values()
            if metric.engine != "V0" and metric.is_surely_in(version(release))
        }
        assert sure <= names, sure - names

    def test_no_release_before_the_first_and_none_from_gone_on_has_it(self) -> None:
        kv = TABLE.metrics["gpu_cache_usage_perc"]
        assert [kv.may_be_in(version(text)) for text in ("0.4.3", "0.5.0", "0.11.2", "0.12.0")] == [
            False,
            True,
            True,
            False,
        ]
        assert [kv.is_surely_in(version(text)) for text in ("0.5.0", "0.10.2", "0.11.0")] == [True, True, False]


class TestAgainstRealPages:
    def test_every_vllm_metric_on_them_is_in_the_table_with_its_type_and_labels(self) -> None:
        seen = set()
        for page in recorded_pages():
            for family in text_string_to_metric_families(page):
                for sample in family.samples:
                    if not sample.name.startswith("vllm:") or sample.name.endswith("_created"):
                        continue
                    metric = TABLE.metrics[family_of(sample.name, TABLE) or ""]
                    seen.add(metric.name)
                    assert metric.type == family.type and metric.may_be_in(RECORDED_ON), metric.name
                    if metric.unit != "info":
                        assert sample.labels.keys() - {"model_name", "engine", "le"} == set(metric.labels), metric.name
        assert len(seen) > 40

    def test_what_is_sure_and_needs_no_flag_is_on_every_page_with_engine_series(self) -> None:
        always = {
            metric.name
            for metric in TABLE.metrics.values()
            if metric.engine != "V0" and not metric.needs and metric.is_surely_in(RECORDED_ON)
        }
        for page in recorded_pages():
            families = {family_of(name, TABLE) for name in re.findall(r"^(vllm:\w+)", page, re.MULTILINE)} - {None}
            assert always <= families or not families


class TestTheTableItself:
    def test_every_measure_has_metrics_and_says_what_its_absence_costs(self) -> None:
        assert TABLE.by_measure.keys() == TABLE.costs.keys() == set(MEASURES)
        assert all(cost.endswith(".") for cost in TABLE.costs.values())

    def test_a_measure_is_of_the_type_of_its_metric(self) -> None:
        for measure, aliases in TABLE.by_measure.items():
            for alias in aliases:
                wanted = "counter" if measure in COUNTERS else "gauge" if measure in GAUGES else "histogram"
                assert alias.metric.type == (MetricType.HISTOGRAM if alias.part else wanted), measure

    def test_the_unit_of_a_measure_is_that_of_its_metric(self) -> None:
        """The suffix of costlib's name beside vLLM's unit; steps are counted by a histogram of tokens."""
        units = {
            "tokens": {"tokens"},
            "s": {"s"},
            "flop": {"FLOP"},
            "bytes": {"bytes"},
            "fraction": {"fraction", "0 or 1"},
        }
        for measure, aliases in TABLE.by_measure.items():
            allowed = units.get(measure.rpartition("_")[2], {"requests", "events", "drafts", "tokens"})
            assert {alias.metric.unit for alias in aliases} <= allowed, measure

    def test_no_two_measures_claim_one_series(self) -> None:
        claims = [
            (name, tuple(alias.labels.items()))
            for aliases in TABLE.by_measure.values()
            for alias in aliases
            for name, _ in alias.series()
        ]
        assert len(claims) == len(set(claims))

    def test_names_are_newest_first(self) -> None:
        for aliases in TABLE.by_measure.values():
            first = [version(alias.metric.first) for alias in aliases]
            assert first == sorted(first, reverse=True)

    def test_what_replaces_a_metric_is_there_when_it_goes(self) -> None:
        for metric in TABLE.metrics.values():
            if metric.replaced_by and metric.gone:
                assert TABLE.metrics[metric.replaced_by].may_be_in(version(metric.gone)), metric.name

    def test_releases_are_in_order(self) -> None:
        releases = [version(text) for text in TABLE.releases]
        assert releases == sorted(set(releases))


METRICS = {
    "conditions": {"lora": {"flag": "--enable-lora"}},
    "metrics": {"a_total": {"type": "counter", "unit": "s", "first": "0.5"}},
}


def with_metric(**changes: object) -> dict[str, object]:
    return {**METRICS, "metrics": {"a_total": {"type": "counter", "unit": "s", "first": "0.5", **changes}}}


class TestASlipIsNamed:
    @pytest.mark.parametrize(
        ("changes", "says"),
        [
            ({"frist": "0.5"}, "Did you mean 'first'"),
            ({"unit": "tokns"}, "Did you mean 'tokens'"),
            ({"type": "count"}, "'count'"),
            ({"first": "next"}, "no release"),
            ({"first": "0.9", "last": "0.8"}, "in this order"),
            ({"needs": "lara"}, "Did you mean 'lora'"),
            ({"replaced_by": "a_totl"}, "Did you mean 'a_total'"),
        ],
    )
    def test_in_a_metric(self, changes: dict[str, object], says: str) -> None:
        with pytest.raises(ConfigError, match=says) as caught:
            AliasTable(with_metric(**changes), {}, "data/vllm")
        assert "data/vllm" in str(caught.value) and "a_total" in str(caught.value)

    def test_a_counter_has_total_at_its_end(self) -> None:
        with pytest.raises(ConfigError, match="_total"):
            Metric(name="a", type=MetricType.COUNTER, unit="s", first="0.5")

    @pytest.mark.parametrize(
        ("measures", "error", "says"),
        [
            ({"promt_tokens": {}}, UnknownKey, "Did you mean 'prompt_tokens'"),
            ({"prompt_tokens": {"from": [{"metric": "a_totl"}], "costs": "c."}}, UnknownKey, "Did you mean 'a_total'"),
            ({"prompt_tokens": {"from": [{"metric": "a_total"}]}}, ConfigError, "costs"),
            ({"prompt_tokens": {"from": [{"metric": "a_total", "prat": "sum"}], "costs": "c."}}, UnknownKey, "part"),
            (
                {"prompt_tokens": {"from": [{"metric": "a_total", "labels": {"x": "y"}}], "costs": "c."}},
                UnknownKey,
                "'x'",
            ),
            ({"ttft_s": {"from": [{"metric": "a_total"}], "costs": "c."}}, ConfigError, "a_total is a counter"),
            (
                {"queue_s": {"from": [{"metric": "a_total", "part": "sum"}], "costs": "c."}},
                ConfigError,
                "read as a counter",
            ),
            ({"prompt_tokens": {"from": [{"metric": "a_total"}], "costs": "c."}}, ConfigError, "no entry for computed"),
        ],
    )
    def test_in_a_measure(self, measures: dict[str, object], error: type[ConfigError], says: str) -> None:
        with pytest.raises(error, match=says):
            AliasTable(METRICS, measures, "data/vllm")
