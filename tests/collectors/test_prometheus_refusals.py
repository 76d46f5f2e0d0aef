"""The prometheus source: what it refuses, what it says then, and how its answers are read."""

import json
import socket

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collectors.base import FetchFailed, PageRefused, ScrapeFailure, TargetRefused
from collectors.prometheus.http import PrometheusLimits
from collectors.prometheus.json import read_answer
from collectors.sources.prometheus import client_of, options_of, read
from costlib.errors import ConfigError
from tests.collectors.prometheus_support import NOON_S, TICKS, counter, readings, target, totals
from tests.fake_prometheus import FakePrometheus, refusal, text_of, too_many_points, too_many_samples


class TestS36Refusals:
    @pytest.mark.parametrize(
        ("said", "word", "says"),
        [
            (refusal("bad_data", "parse error: unexpected <x>", 400), "query_refused", "unexpected <x>"),
            (refusal("execution", "found duplicate series"), "query_refused", "duplicate"),
            (too_many_points(), "too_many_samples", "11,000 points"),
            (too_many_samples(), "too_many_samples", "matchers"),
            (refusal("timeout", "query timed out in expression evaluation", 503), "timeout", "timed out"),
            (refusal("unavailable", "store gateway down", 503), "query_failed", "store gateway"),
            ((200, b'{"status":"error","errorType":"internal","error":"oh"}', {}), "query_failed", "'oh'"),
            ((401, b"secret page", {}), "auth", "PERMILLION_TOKEN_127_0_0_1_"),
            ((403, b"secret page", {}), "auth", "tenant"),
            ((404, b"nothing here", {}), "not_found", "path prefix"),
            ((302, b"", {"Location": "http://169.254.169.254/"}), "redirected", "169.254"),
            ((502, b"Bad Gateway", {}), "http_502", "Bad Gateway"),
            ((200, b"<html>Log in", {}), "not_prometheus", "web page"),
            ((200, b'{"hello":1}', {}), "not_prometheus", "status"),
            ((200, b'{"status":"success"}', {}), "not_prometheus", "data"),
            (
                (200, b'{"status":"success","data":{"result":[{"metric":{"a":1},"values":[]}]}}', {}),
                "not_prometheus",
                "labels",
            ),
            ((200, b"[" * 100_000, {}), "not_prometheus", "JSON"),
            (
                (200, b'{"status":"success","data":{"result":[{"metric":{},"values":[[1,"x"]]}]}}', {}),
                "not_prometheus",
                "",
            ),
            ((200, b"vllm:prompt_tokens_total 1\n", {}), "not_prometheus", "API"),
        ],
    )
    def test_a_refusal_says_what_where_and_what_next(self, said, word, says):
        with FakePrometheus(fault=lambda path, params: said) as server, pytest.raises(ScrapeFailure) as caught:
            readings(server)
        assert caught.value.word == word
        assert says in str(caught.value) and "secret page" not in str(caught.value)

    def test_a_busy_server_is_given_the_time_it_asks_for(self):
        busy = refusal("unavailable", "too many requests", 503, **{"Retry-After": "30"})
        with FakePrometheus(fault=lambda path, params: busy) as server, pytest.raises(ScrapeFailure) as caught:
            readings(server)
        assert caught.value.retry_after_s == 30.0

    def test_an_empty_result_names_the_span_and_how_to_check(self):
        with FakePrometheus() as server, pytest.raises(PageRefused, match="matchers") as caught:
            readings(server, matchers='job="vlm"')
        assert caught.value.word == "no_engine_metrics"
        assert "11:5" not in str(caught.value) and "12:00 to 12:05 UTC" in str(caught.value)

    def test_warnings_and_partial_answers_are_remarks(self):
        with FakePrometheus([counter(TICKS, TICKS)], extra={"warnings": ["store down"], "isPartial": True}) as server:
            found = readings(server)
        assert totals(found.histories)["prompt_tokens"] == 285
        assert "store down" in found.remarks[0] and "partial" in found.remarks[1] and len(found.remarks) == 2

    def test_more_than_ten_thousand_series_are_refused(self):
        many = [counter([0.0], [1], instance=f"gpu-{number}:8000") for number in range(10_001)]
        with FakePrometheus(many) as server, pytest.raises(PageRefused, match="10,001 series") as caught:
            readings(server)
        assert caught.value.word == "too_many_series"

    def test_a_slow_server_is_left_after_its_time(self):
        limits = PrometheusLimits(idle_s=0.1)
        options = options_of(target("http://127.0.0.1"))
        with socket.create_server(("127.0.0.1", 0)) as silent:
            client = client_of(target(f"http://127.0.0.1:{silent.getsockname()[1]}"), limits)
            with pytest.raises(FetchFailed) as caught:
                read(client, options, 0.0, 1.0)
        assert caught.value.word == "timeout"

    def test_an_answer_over_the_limit_is_not_read_to_its_end(self):
        client_limits = PrometheusLimits(body_bytes=1000)
        with FakePrometheus([counter(TICKS, TICKS)], extra={"warnings": ["x" * 5000]}) as server:
            client = client_of(target(server.url), client_limits)
            with pytest.raises(FetchFailed) as caught:
                read(client, options_of(target(server.url)), NOON_S, NOON_S + 300)
        assert caught.value.word == "too_many_samples"

    def test_nothing_listens(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
        with pytest.raises(FetchFailed, match="nothing listens") as caught:
            read(client_of(target(f"http://127.0.0.1:{port}")), options_of(target("http://h")), 0.0, 1.0)
        assert caught.value.word == "refused"


class TestS18Addresses:
    def test_a_name_that_leads_to_credentials_is_not_asked(self, monkeypatch):
        def resolve(host, port, *more, **named):
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("169.254.169.254", port))]

        monkeypatch.setattr(socket, "getaddrinfo", resolve)
        with pytest.raises(TargetRefused) as caught:
            read(client_of(target("http://prometheus.example:9090")), options_of(target("http://h")), 0.0, 1.0)
        assert caught.value.word == "blocked_address"

    def test_a_proxy_of_the_environment_is_not_used(self, monkeypatch):
        monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
        monkeypatch.setenv("NO_PROXY", "")
        with FakePrometheus([counter(TICKS, TICKS)]) as server:
            assert readings(server).histories

    @pytest.mark.parametrize(
        "url", ["ftp://p:9090", "http://u:p@p:9090", "http://p:9090/?x=1", "http://169.254.169.254/"]
    )
    def test_a_url_that_may_not_be_asked_is_refused_at_once(self, url):
        with pytest.raises(TargetRefused):
            client_of(target(url))


class TestOptions:
    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ({"matcher": "x"}, "matchers"),
            ({"matchers": 'job="a"} or {b="c"'}, "cannot be read from"),
            ({"matchers": "job=vllm"}, "For example"),
            ({"matchers": ["a"]}, "text"),
            ({"target_label": "a b"}, "one label"),
            ({"replica_labels": "replica"}, "list"),
            ({"lookback_s": 0}, "above 0"),
            ({"tenant": "a\nb"}, "tenant"),
        ],
    )
    def test_what_cannot_be_says_what_can(self, options, says):
        with pytest.raises(ConfigError, match=says):
            options_of(target("http://p:9090", **options))

    def test_names_of_servers_are_taken_as_they_are(self):
        options = options_of(target("http://p:9090"))
        assert options.start_selector(['a.b|c"\\']).endswith(r'instance=~"a\\.b\\|c\"\\\\"}')


VALUES = st.one_of(st.floats(), st.integers(0, 2**53))


class TestReadAnswer:
    @pytest.mark.parametrize(
        "text", ['[[1, "2"],[3,"4"]]', '[[1, "2"], [3, "4"]]', '[[1,"2"],[3,"4"]] ', "[[1,2],[3,4]]"]
    )
    def test_other_ways_to_write_it_are_read_alike(self, text):
        body = f'{{"data":{{"result":[{{"metric":{{}},"values":{text}}}]}}}}'.encode()
        assert read_answer(body)["data"]["result"][0]["values"].tolist() == [[1, 2], [3, 4]]

    @pytest.mark.parametrize(
        "text", ['[[1,"x"]]', '[[1,"2"],[3]]', '[[1,"2",3]]', '[[1,"2"]', '[["",""]]', '[[1,"1_0"],[2]]']
    )
    def test_what_is_no_sample_is_refused(self, text):
        with pytest.raises(ValueError):
            read_answer(f'{{"data":{{"result":[{{"metric":{{}},"values":{text}}}]}}}}'.encode())

    @settings(deadline=None)
    @given(
        st.lists(st.lists(st.tuples(st.integers(0, 2**31), VALUES), max_size=6), max_size=5),
        st.sampled_from([(",", ":"), (", ", ": ")]),
        st.text(max_size=10),
    )
    def test_however_it_is_written_it_is_read_as_json(self, matrix, separators, text):
        result = [
            {"metric": {"values": f'"values":[[{text}'}, "values": [[at, text_of(value)] for at, value in pairs]}
            for pairs in matrix
        ]
        body = json.dumps({"status": "success", "data": {"result": result}}, separators=separators).encode()
        found = read_answer(body)["data"]["result"]
        assert [series["metric"] for series in found] == [series["metric"] for series in result]
        for series, pairs in zip(found, matrix, strict=True):
            np.testing.assert_array_equal(series["values"], np.array(pairs, dtype=float).reshape(-1, 2))
