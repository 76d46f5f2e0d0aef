"""Which queries of a Grafana dashboard can still match: by the tables of releases, and by a server's own page."""

import json
from pathlib import Path

import pytest

from collectors.dashboard import Query, check_dashboard, queries_of
from collectors.vllm.version import recognise
from costlib.errors import ConfigError


@pytest.fixture
def board(tmp_path: Path):
    def write(*exprs: str, **more) -> Path:
        panels = [{"title": f"panel {i}", "targets": [{"expr": expr}]} for i, expr in enumerate(exprs)]
        path = tmp_path / "board.json"
        path.write_text(json.dumps({"panels": panels, **more}))
        return path

    return write


def verdict(path: Path, **facts):
    (check,) = check_dashboard(path, **facts)
    return check.ok, check.why


@pytest.mark.parametrize(
    ("expr", "ok", "says"),
    [
        ("rate(vllm:prompt_tokens_total[5m])", True, "0.5"),
        ("histogram_quantile(0.95, sum by (le) (rate(vllm:time_to_first_token_seconds_bucket[5m])))", True, "0.5"),
        ("vllm:gpu_cache_usage_perc", False, "kv_cache_usage_perc"),
        ("vllm:num_requests_swapped", False, "0."),
        ("rate(vllm:prompt_tokens[5m])", False, "prompt_tokens_total"),
        ("vllm:time_per_output_token_seconds_sum", False, "inter_token_latency_seconds"),
        ("rate(vllm:time_to_first_token_seconds[5m])", False, "_bucket"),
        ("vllm:num_preempted_seqs_total", False, "no metric of any release"),
        ("vllm:spec_decode_num_drafts_total", None, "--speculative-config"),
        ("rate(ray_vllm_generation_tokens_total[5m])", True, "0.5"),
    ],
)
def test_a_name_is_judged_by_what_releases_expose(board, expr, ok, says):
    found = verdict(board(expr))
    assert found[0] is ok
    assert says in found[1]


def test_an_old_server_still_answers_an_old_query(board):
    old = recognise(["vllm:gpu_cache_usage_perc", "vllm:num_requests_swapped"])
    assert verdict(board("vllm:gpu_cache_usage_perc"), recognised=old)[0] is True


def test_what_stands_on_the_page_matches_whatever_the_tables_say(board):
    assert verdict(board("vllm:my_own_metric"), page_names=frozenset({"vllm:my_own_metric"}))[0] is True


def test_names_are_found_in_rows_variables_and_annotations(board):
    path = board(
        rows=[{"panels": [{"title": "in a row", "targets": [{"expr": "vllm:num_requests_running"}]}]}],
        templating={"list": [{"name": "model", "query": "label_values(vllm:prompt_tokens_total, model_name)"}]},
        annotations={"list": [{"name": "restarts", "expr": "changes(vllm:cache_config_info[5m])"}]},
    )
    assert [query.name for query in queries_of(path)] == [
        "vllm:num_requests_running",
        "vllm:prompt_tokens_total",
        "vllm:cache_config_info",
    ]
    assert Query(place="in a row", name="vllm:num_requests_running") in queries_of(path)


def test_a_name_is_listed_once_per_panel(board):
    path = board("rate(vllm:num_preemptions_total[5m]) / rate(vllm:num_preemptions_total[1h])")
    assert len(queries_of(path)) == 1


def test_a_dashboard_as_the_api_returns_it_is_read(tmp_path: Path):
    path = tmp_path / "api.json"
    path.write_text(
        json.dumps({"meta": {}, "dashboard": {"panels": [{"targets": [{"expr": "vllm:lora_requests_info"}]}]}})
    )
    assert [query.name for query in queries_of(path)] == ["vllm:lora_requests_info"]


@pytest.mark.parametrize("content", ["", "not json", "[1, 2]", '{"a": 1}', '{"panels": ' + "[" * 100_000])
def test_what_is_no_dashboard_is_refused_by_name(tmp_path: Path, content: str):
    path = tmp_path / "board.json"
    path.write_text(content)
    with pytest.raises(ConfigError, match=r"board\.json"):
        queries_of(path)


def test_other_metrics_are_none_of_our_business(board):
    assert check_dashboard(board("rate(http_requests_total[5m])", "DCGM_FI_DEV_GPU_UTIL", "my_vllm:thing")) == []
