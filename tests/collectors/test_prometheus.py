"""The prometheus source: what is read through Prometheus is what was counted, and once.

S36 of the fault catalogue is in test_prometheus_refusals.py, S37 in test_backfill.py.
"""

import asyncio
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.base import CollectContext, FetchFailed, PageRefused, Target
from collectors.prometheus.series import found_in
from collectors.sources import COLLECTORS
from collectors.sources.prometheus import COLLECTOR, options_of
from collectors.vllm.aliases import load_aliases
from costlib.telemetry import SampleState, carried, usage_sample
from tests.collectors.collector_support import NOON
from tests.collectors.prometheus_support import (
    NOON_S,
    SERVER,
    STARTED_S,
    TICKS,
    counter,
    readings,
    start_time,
    states,
    target,
    totals,
)
from tests.fake_prometheus import FakePrometheus, scraped


class TestWhatIsCounted:
    def test_a_recorded_server_counts_the_same_through_prometheus_as_directly(self, recording):
        at_s = [NOON_S + offset_s for offset_s in recording.offsets_s]
        kept = scraped(zip(at_s, recording.pages, strict=True), {"instance": SERVER, "job": "vllm"})
        with FakePrometheus(kept) as server:
            through = totals(readings(server).histories, every_s=5.0)
        direct, before = {}, None
        for moment_s, body in zip(at_s, recording.pages, strict=True):
            if body is None:
                continue
            ctx = CollectContext(
                target=Target(key=SERVER, url="http://gpu-1:8000/metrics"),
                scraped_at=datetime.fromtimestamp(moment_s, UTC),
            )
            (page,) = COLLECTORS["vllm"].parse(body.encode(), ctx).pages
            for name, value in usage_sample(before, page, 5.0).counters.items():
                direct[name] = direct.get(name, 0.0) + (value or 0.0)
            before = carried(before, page)
        assert through == pytest.approx({name: direct[name] for name in through}, rel=1e-12)
        assert {name for name, value in direct.items() if value} <= through.keys()
        assert (through["prompt_tokens"], through["generation_tokens"]) == (63_162, 21_943)

    def test_histograms_gauges_start_and_identity_come_along(self, recording):
        at_s = [NOON_S + offset_s for offset_s in recording.offsets_s]
        kept = scraped(zip(at_s, recording.pages, strict=True), {"instance": SERVER, "job": "vllm", "pod": "a"})
        with FakePrometheus(kept) as server:
            found = readings(server)
        (history,) = found.histories
        assert history.identity == (SERVER, "tiny-llama", "0")
        assert history.histograms["ttft_s"].count[-1] == 487
        assert "running_count" in history.gauges and np.isfinite(history.started_s).all()
        assert found.labels == {SERVER: {"job": "vllm", "pod": "a"}} and not found.remarks

    def test_raw_samples_are_asked_for_and_no_rate(self):
        with FakePrometheus([counter(TICKS, TICKS)]) as server:
            readings(server)
        assert {path for path, _ in server.asked} == {"/api/v1/query"}
        assert all(params["query"].endswith("[300s]") for _, params in server.asked)

    def test_an_engine_that_restarted_counts_from_zero_again(self):
        values = [100, 150, 20, 60]
        with FakePrometheus([counter(TICKS[:4], values)]) as server:
            assert totals(readings(server).histories)["prompt_tokens"] == 110

    def test_a_restart_that_only_the_start_time_shows_is_one(self):
        started = [STARTED_S, STARTED_S, NOON_S + 20, NOON_S + 20]
        with FakePrometheus([counter(TICKS[:4], [10, 20, 30, 40]), start_time(TICKS[:4], started)]) as server:
            assert totals(readings(server).histories)["prompt_tokens"] == 10 + 30 + 10

    def test_s28_what_is_not_exported_is_absent(self):
        with FakePrometheus([counter(TICKS, TICKS)]) as server:
            (history,) = readings(server).histories
        assert set(history.counters) == {"prompt_tokens"} and not history.histograms
        assert np.isnan(history.started_s).all()

    def test_a_metric_that_was_renamed_on_the_way_is_one_measure(self):
        old = counter(TICKS[:10], 10 * TICKS[:10], "vllm:gpu_prefix_cache_queries_total", engine=None)
        new = counter(TICKS[10:], 10 * TICKS[10:] - 1400, "vllm:prefix_cache_queries_total")
        with FakePrometheus([old, new]) as server:
            (history,) = readings(server).histories
        assert history.engine_key == "0"
        assert totals([history])["prefix_queries_tokens"] == 1350 + 100 + (2850 - 1500)

    def test_of_two_names_at_one_time_the_newer_counts(self):
        names = "vllm:gpu_prefix_cache_hits_total", "vllm:prefix_cache_hits_total"
        with FakePrometheus(
            [counter(TICKS, TICKS * scale, name) for scale, name in zip((1, 2), names, strict=True)]
        ) as server:
            assert totals(readings(server).histories)["prefix_hits_tokens"] == 2 * 285

    @pytest.mark.parametrize("prefix", ["vllm:", "vllm_", "ray_vllm_"])
    def test_every_spelling_of_the_prefix_is_read(self, prefix):
        with FakePrometheus([counter(TICKS, TICKS, f"{prefix}prompt_tokens_total")]) as server:
            assert totals(readings(server).histories)["prompt_tokens"] == 285

    def test_s24_engines_are_kept_apart_and_their_unlabelled_sum_is_left_out(self):
        kept = [counter(TICKS, 3 * TICKS, engine=None), counter(TICKS, TICKS), counter(TICKS, 2 * TICKS, engine="1")]
        with FakePrometheus(kept) as server:
            histories = readings(server).histories
        assert [history.engine_key for history in histories] == ["0", "1"]
        assert totals(histories)["prompt_tokens"] == 3 * 285

    def test_two_prefixes_at_one_time_are_one_measure(self):
        kept = [counter(TICKS, TICKS), counter(TICKS, TICKS, "ray_vllm_prompt_tokens_total")]
        with FakePrometheus(kept) as server:
            assert totals(readings(server).histories)["prompt_tokens"] == 285

    def test_levels_that_are_fractions_are_averaged_over_other_labels(self):
        kept = [start_time(TICKS)]
        kept += [counter(TICKS, [use] * 20, "vllm:kv_cache_usage_perc", tier=str(use)) for use in (0.2, 0.6)]
        with FakePrometheus(kept) as server:
            (history,) = readings(server).histories
        assert history.gauges["kv_usage_fraction"].tolist() == pytest.approx([0.4] * 20)

    def test_replicas_on_one_page_are_engines_as_they_are_on_a_page_read_directly(self):
        labels = 'engine="0",model_name="m",ReplicaId='
        pages = [
            (
                NOON_S + at,
                f'vllm:prompt_tokens_total{{{labels}"a"}} {at}\nvllm:prompt_tokens_total{{{labels}"b"}} {2 * at}\n',
            )
            for at in TICKS
        ]
        with FakePrometheus(scraped(pages, {"instance": SERVER, "job": "vllm"})) as server:
            through = readings(server).histories
        ctx = CollectContext(target=Target(key=SERVER, url="http://gpu-1:8000/metrics"), scraped_at=NOON)
        direct = COLLECTORS["vllm"].parse(pages[-1][1].encode(), ctx).pages
        assert [history.identity for history in through] == [page.identity for page in direct]
        assert len(through) == 2

    def test_labels_that_tell_no_engines_apart_are_summed(self):
        kept = [start_time(TICKS), counter(TICKS, TICKS, tier="a"), counter(TICKS, 2 * TICKS, tier="b")]
        with FakePrometheus(kept) as server:
            assert totals(readings(server).histories)["prompt_tokens"] == 3 * 285

    def test_labels_that_prometheus_renamed_are_read_under_their_own_name(self):
        """A target with a label model_name: the server's own becomes exported_model_name."""
        kept = [
            start_time(TICKS, model_name="pool"),
            counter(TICKS, TICKS, model_name="pool", exported_model_name="llama"),
        ]
        with FakePrometheus(kept) as server:
            found = readings(server)
        assert [history.model_key for history in found.histories] == ["llama"]
        assert found.labels[SERVER]["model_name"] == "pool"

    def test_a_change_of_buckets_begins_another_history(self):
        def bucket(at, counts, le):
            return counter(at, counts, "vllm:time_to_first_token_seconds_bucket", le=le)

        early, late = TICKS[:10], TICKS[10:]
        count = np.arange(20.0)
        kept = [
            counter(TICKS, count, "vllm:time_to_first_token_seconds_count"),
            counter(TICKS, count / 10, "vllm:time_to_first_token_seconds_sum"),
            bucket(TICKS, count, "+Inf"),
            bucket(TICKS, count, "0.5"),
            bucket(late, count[10:], "2.5"),
            counter(TICKS, TICKS),
        ]
        with FakePrometheus(kept) as server:
            histories = readings(server).histories
        assert [history.histograms["ttft_s"].bounds for history in histories] == [(0.5, np.inf), (0.5, 2.5, np.inf)]
        assert [len(history.times_s) for history in histories] == [len(early), len(late)]
        assert totals(histories)["prompt_tokens"] == 285

    @pytest.mark.parametrize("broken", [{"+Inf": 99}, {"0.5": 99}, {"+Inf": None}])
    def test_s29_a_histogram_that_is_none_is_withheld_and_said(self, broken):
        levels = {"0.5": 1, "+Inf": 2} | broken
        name = "vllm:time_to_first_token_seconds"
        kept = [
            counter(TICKS, [level] * 20, f"{name}_bucket", le=le) for le, level in levels.items() if level is not None
        ]
        kept += [
            counter(TICKS, [2] * 20, f"{name}_count"),
            counter(TICKS, [1] * 20, f"{name}_sum"),
            counter(TICKS, TICKS),
        ]
        with FakePrometheus(kept) as server:
            found = readings(server)
        assert "ttft_s" not in found.histories[0].histograms
        assert "ttft_s" in found.remarks[0] and "withheld" in found.remarks[0]

    def test_marks_of_an_end_are_no_samples_and_impossible_values_are_said(self):
        values = [0, "NaN", 30, "+Inf", 60, -5, 90]
        with FakePrometheus([counter(TICKS[:7], values)]) as server:
            found = readings(server)
        assert found.histories[0].counters["prompt_tokens"].tolist() == [0, 30, 60, 90]
        assert "no engine counts to" in found.remarks[0]

    @pytest.mark.parametrize("every_s", [5.0, 15.0, 60.0])
    def test_s35_the_interval_is_learned_from_the_samples(self, every_s):
        at_s = np.arange(0.0, 3600.0, every_s)
        with FakePrometheus([counter(at_s, at_s)]) as server:
            (history,) = readings(server, at_s=3600.0, lookback_s=3600).histories
        assert history.every_s == every_s
        assert set(states([history])[1:]) == {SampleState.OK}


class TestS25Pairs:
    """Two that scrape the same: one is followed, the other fills its gaps, and nothing is counted twice."""

    @staticmethod
    def pair(first_at, second_at, skew_s=0.0, every=TICKS):
        """Both see an engine that counts a token a second from noon on; the clock of the second is `skew_s` ahead."""
        copies = [
            (replica, at, at - ahead_s)
            for replica, at, ahead_s in (("a", np.asarray(first_at), 0.0), ("b", np.asarray(second_at), skew_s))
        ]
        return [
            series
            for replica, at, counted in copies
            for series in (
                counter(at, np.maximum(counted, 0), prometheus_replica=replica),
                start_time(at, prometheus_replica=replica),
            )
        ]

    def test_a_pair_is_not_doubled(self):
        with FakePrometheus(self.pair(TICKS, TICKS + 7)) as server:
            found = readings(server)
        (history,) = found.histories
        assert history.times_s.tolist() == (NOON_S + TICKS).tolist()
        assert totals([history])["prompt_tokens"] == 285
        assert found.labels == {SERVER: {"job": "vllm"}} and not found.remarks

    def test_what_one_missed_the_other_tells(self):
        holes = np.concatenate((TICKS[:5], TICKS[15:]))
        with FakePrometheus(self.pair(holes, TICKS + 7)) as server:
            (history,) = readings(server).histories
        assert np.diff(history.times_s).max() <= 2.5 * 15
        assert totals([history])["prompt_tokens"] == 285
        assert SampleState.GAP not in states([history])

    @pytest.mark.parametrize("skew_s", [-20.0, -3.0, 3.0, 20.0])
    def test_clocks_that_differ_show_no_restart(self, skew_s):
        holes = np.concatenate((TICKS[:5], TICKS[15:]))
        with FakePrometheus(self.pair(holes, TICKS + 7, skew_s)) as server:
            (history,) = readings(server).histories
        assert totals([history])["prompt_tokens"] == 285
        assert SampleState.RESET not in states([history])

    def test_when_one_of_them_is_gone_the_other_goes_on(self):
        with FakePrometheus(self.pair(TICKS[:8], TICKS + 7)) as server:
            (history,) = readings(server).histories
        assert totals([history])["prompt_tokens"] == 292
        with FakePrometheus(self.pair(TICKS[12:], TICKS + 7)) as server:
            (history,) = readings(server).histories
        assert totals([history])["prompt_tokens"] == 285 - 7

    @pytest.mark.parametrize("restart_s", [70.0, 100.0, 215.0])
    def test_a_real_restart_in_the_gap_is_seen(self, restart_s):
        """Beside its edges too, where a counter that fell could as well be another clock."""
        kept, seen = [], {}
        for replica, at in (("a", np.concatenate((TICKS[:5], TICKS[15:]))), ("b", TICKS + 7)):
            seen[replica] = at
            began = np.where(at < restart_s, 0.0, restart_s)
            kept.append(counter(at, at - began, replica=replica))
            kept.append(start_time(at, np.where(at < restart_s, STARTED_S, NOON_S + restart_s), replica=replica))
        with FakePrometheus(kept) as server:
            (history,) = readings(server).histories
        last_before_s = max(at_s for at_s in (*seen["a"], *seen["b"]) if at_s < restart_s)
        assert states([history]).count(SampleState.RESET) == 1
        assert totals([history])["prompt_tokens"] == last_before_s + 285 - restart_s

    @settings(max_examples=60, deadline=None)
    @given(
        st.lists(st.booleans(), min_size=40, max_size=40),
        st.lists(st.booleans(), min_size=40, max_size=40),
        st.floats(-12.0, 12.0),
        st.floats(0.0, 14.0),
    )
    def test_whatever_each_missed_never_more_is_counted_than_happened(self, first, second, skew_s, phase_s):
        ticks = np.arange(40) * 15.0
        a, b = ticks[np.array(first)], ticks[np.array(second)] + phase_s
        if not len(a) or not len(b):
            return

        def arrays(name):
            return [
                {"metric": series.labels, "values": np.column_stack((series.times_s, np.array(series.values, float)))}
                for series in self.pair(a, b, skew_s)
                if series.labels["__name__"] == name
            ]

        found = found_in(
            arrays("vllm:prompt_tokens_total"),
            arrays("process_start_time_seconds"),
            load_aliases(),
            options_of(target("http://127.0.0.1:9090")),
        )
        counted = totals(found.histories).get("prompt_tokens", 0.0)
        seen = np.concatenate((a, np.maximum(b - skew_s, 0)))
        assert a[-1] - a[0] - 1e-3 <= counted <= seen.max() - seen.min() + 1e-3

    def test_two_jobs_on_one_server_are_read_once_and_said(self):
        kept = [
            series for job in ("one", "two") for series in (counter(TICKS, TICKS, job=job), start_time(TICKS, job=job))
        ]
        with FakePrometheus(kept) as server:
            found = readings(server)
        assert totals(found.histories)["prompt_tokens"] == 285
        assert "'job'" in found.remarks[0] and "target_label" in found.remarks[0]

    def test_pods_that_follow_each_other_behind_one_address_are_both_counted(self):
        early, late = TICKS[:10], TICKS[10:]
        kept = [counter(early, early, pod="z"), counter(late, late - 150, pod="a")]
        with FakePrometheus(kept) as server:
            found = readings(server)
        assert totals(found.histories)["prompt_tokens"] == 135 + 0 + 135
        assert not found.remarks


class TestWhatATickReads:
    def test_what_is_new_and_a_little_before(self):
        with FakePrometheus([counter(TICKS, TICKS)]) as server:
            readings(server, at_s=300.0, since_s=285.0, lookback_s=60)
        assert server.asked[0][1]["query"].endswith("[75s]")

    def test_after_a_long_absence_it_catches_up_in_order(self):
        at = np.arange(0.0, 24 * 3600.0, 60.0)
        with FakePrometheus([counter(at, at)]) as server:
            found = readings(server, at_s=24 * 3600.0, since_s=0.0)
        assert found.histories[0].times_s[-1] == NOON_S + 6 * 3600 - 300

    def test_a_stretch_in_which_prometheus_was_away_is_passed_over(self):
        at = np.concatenate((np.arange(0.0, 600.0, 60.0), np.arange(40 * 3600.0, 41 * 3600.0, 60.0)))
        with FakePrometheus([counter(at, at)]) as server:
            found = readings(server, at_s=72 * 3600.0, since_s=540.0)
        assert found.histories[0].times_s[-1] > NOON_S + 40 * 3600

    def test_matchers_narrow_what_is_read(self):
        kept = [counter(TICKS, TICKS), counter(TICKS, TICKS, instance="gpu-2:8000", namespace="dev")]
        with FakePrometheus(kept) as server:
            found = readings(server, matchers='namespace="dev"')
        assert [history.target_key for history in found.histories] == ["gpu-2:8000"]

    def test_another_label_can_name_the_server(self):
        with FakePrometheus([counter(TICKS, TICKS, pod="llama-0")]) as server:
            found = readings(server, target_label="pod")
        assert found.histories[0].target_key == "llama-0"
        assert found.labels["llama-0"]["instance"] == SERVER

    def test_series_without_that_label_are_refused_with_its_name(self):
        with (
            FakePrometheus([counter(TICKS, TICKS)]) as server,
            pytest.raises(PageRefused, match="no label pod") as caught,
        ):
            readings(server, target_label="pod")
        assert caught.value.word == "no_target_label" and str(caught.value).startswith("prom: ")

    def test_tenant_token_and_path_prefix_are_sent(self):
        with FakePrometheus([counter(TICKS, TICKS)]) as server:
            asked = replace(target(server.url + "/prometheus/", tenant="team-a"), bearer_token="s3cret")
            with pytest.raises(FetchFailed, match="path prefix"):
                asyncio.run(COLLECTOR.fetch(CollectContext(target=asked, scraped_at=NOON)))
        assert server.asked[0][0] == "/prometheus/api/v1/query"
        assert server.headers[0]["X-Scope-OrgID"] == "team-a"
        assert server.headers[0]["Authorization"] == "Bearer s3cret"
        assert "s3cret" not in repr(asked)
