"""A release is told from the names on its page: every one that was looked at lies within the range that is named."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors.vllm.aliases import load_aliases, version
from collectors.vllm.version import Recognised, family_of, recognise
from tests.collectors.test_truth_table import CAPTURES, HISTORY, exposed, recorded_pages

TABLE = load_aliases()
STATE_OF_V0 = [
    "vllm:num_requests_running",
    "vllm:num_requests_waiting",
    "vllm:num_requests_swapped",
    "vllm:gpu_cache_usage_perc",
    "vllm:cpu_cache_usage_perc",
]


def default_names(release: str) -> list[str]:
    """What that release exposes with no flag at all; what is hidden by default stays hidden."""
    metrics = [TABLE.metrics[exposed(name)] for name in HISTORY[release]]
    return [
        f"vllm:{series}"
        for metric in metrics
        if not metric.needs and (metric.last is None or metric.is_surely_in(version(release)))
        for series, _ in metric.series()
    ]


@pytest.mark.parametrize("release", HISTORY)
def test_a_page_with_every_name_of_a_release_can_be_of_that_release(release: str) -> None:
    found = recognise([f"vllm:{exposed(name)}" for name in HISTORY[release]])
    assert found.can_be(version(release)) and found.is_whole and found.engine == "V1", found


@pytest.mark.parametrize("release", HISTORY)
def test_so_can_a_page_with_no_flag_on(release: str) -> None:
    found = recognise(default_names(release), has_engine_label=True)
    assert found.can_be(version(release)) and found.is_whole, found
    assert not {"speculative decoding", "LoRA", "KV cache metrics"} & set(found.features)


@pytest.mark.parametrize("release", HISTORY)
@given(data=st.data())
def test_so_can_a_page_from_which_something_drops_metrics(release: str, data: st.DataObject) -> None:
    """Fewer names never rule out the release that has them all, unless an older one fits what is left exactly."""
    names = default_names(release)
    kept = data.draw(st.lists(st.sampled_from(names), min_size=1, unique=True))
    found = recognise(kept, has_engine_label=True)
    assert found.at_least is not None
    assert version(found.at_least) <= version(release)
    if not found.is_whole:
        assert found.can_be(version(release))


def test_the_recorded_pages_of_0_32_are_of_0_32_or_newer() -> None:
    found = [
        recognise(set(re.findall(r"^[\w:]+", page, re.MULTILINE)), has_engine_label=True) for page in recorded_pages()
    ]
    engines = [each for each in found if each.at_least]
    assert len(engines) >= 3
    assert all(each.can_be(version("0.32.0")) and not each.can_be(version("0.31.0")) for each in engines)
    assert all(each.engine == "V1" and each.is_whole and not each.unknown for each in engines)


def test_the_ranges_are_narrow_where_releases_differ() -> None:
    """With no flag on. Between 0.13 and 0.16 nothing that every server exposes came or went for sure."""
    ranges = {release: recognise(default_names(release)).releases for release in HISTORY}
    assert ranges["0.10.2"] == "vLLM 0.10.2 to before 0.11.2"
    assert ranges["0.13.0"] == "vLLM 0.13.0 to before 0.17.1"
    assert ranges["0.17.1"] == "vLLM 0.17.0 to before 0.21.0"
    assert ranges["0.33.0"] == "vLLM 0.32.0 or newer"


def test_the_old_engine_is_told_by_what_only_it_had() -> None:
    found = recognise(STATE_OF_V0)
    assert found.engine == "V0" and (found.at_least, found.below) == ("0.5.0", "0.9.1")
    assert recognise([*STATE_OF_V0, "vllm:request_queue_time_seconds_sum"]).at_least == "0.6.4"


def test_a_page_with_names_that_never_were_together_is_of_no_release_that_can_be_told() -> None:
    found = recognise(["vllm:num_requests_swapped", "vllm:prompt_tokens_cached_total"])
    assert (found.at_least, found.below, found.releases) == (None, None, "a vLLM that cannot be told")
    assert found.can_be(version("0.8.0")), "nothing is ruled out"


def test_a_name_in_no_table_is_handed_on() -> None:
    assert recognise(["vllm:prompt_tokens_total", "vllm:tokens_of_tomorrow_total"]).unknown == (
        "tokens_of_tomorrow_total",
    )


class TestFeatures:
    @pytest.mark.parametrize(
        ("names", "feature"),
        [
            (["vllm:spec_decode_num_drafts_total"], "speculative decoding"),
            (["vllm:lora_requests_info"], "LoRA"),
            (["vllm:kv_block_lifetime_seconds_count"], "KV cache metrics"),
            (["vllm:nixl_xfer_time_seconds_sum"], "KV connector"),
            (["vllm:kv_offload_load_bytes_total"], "KV offloading"),
            (["ray_vllm_prompt_tokens_total"], "Ray"),
            (["http_requests_total", "process_start_time_seconds"], "log stats off"),
            (["http_requests_total", "vllm:prompt_tokens_total"], "several API servers"),
        ],
    )
    def test_are_told_by_what_is_on_the_page(self, names: list[str], feature: str) -> None:
        assert feature in recognise(names).features
        assert feature not in recognise(["vllm:num_requests_running"]).features

    def test_one_api_server_is_not_several(self) -> None:
        names = ["http_requests_total", "vllm:prompt_tokens_total", "process_start_time_seconds"]
        assert "several API servers" not in recognise(names).features

    def test_mfu_counters_are_in_use_when_they_move(self) -> None:
        names = ["vllm:estimated_flops_per_gpu_total"]
        assert not recognise(names).features
        assert recognise(names, moving={"estimated_flops_per_gpu_total"}).features == ("MFU counters",)

    def test_bounds_tell_the_release_or_that_they_are_the_operators(self) -> None:
        old, new = (row.bounds_s for row in TABLE.ttft_bounds)
        names = ["vllm:time_to_first_token_seconds_bucket"]
        assert recognise(names, ttft_bounds_s=old).below == "0.9.0"
        assert recognise(names, ttft_bounds_s=new).at_least == "0.8.0"
        assert recognise(names, ttft_bounds_s=[0.5, 1.0]).features == ("custom buckets",)


def test_a_family_is_found_behind_its_parts_and_never_behind_a_time_of_creation() -> None:
    assert family_of("vllm:iteration_tokens_total_sum", TABLE) == "iteration_tokens_total"
    assert family_of("ray_vllm_request_prompt_tokens_bucket", TABLE) == "request_prompt_tokens"
    assert family_of("vllm:prompt_tokens_created", TABLE) is None
    assert family_of("process_open_fds", TABLE) is None


def test_facts_leave_out_what_is_not_known() -> None:
    assert Recognised(at_least=None, below=None).facts == {}
    assert recognise(STATE_OF_V0).facts == {"vllm_at_least": "0.5.0", "vllm_below": "0.9.1", "vllm_engine": "V0"}


def test_the_page_without_log_stats_is_told_by_the_api_server_alone() -> None:
    page = (CAPTURES / "e_disable_log_stats" / "metrics_disable_log_stats.prom").read_text()
    found = recognise(set(re.findall(r"^[\w:]+", page, re.MULTILINE)))
    assert found.features == ("log stats off",) and found.at_least is None
