"""What a benchmark finds is what the server truly did: exact tokens, every request counted once, the load asked for."""

import os
import signal
import time

import pytest

from collectors.bench.figures import Distribution, Targets
from collectors.bench.load import Progress
from collectors.bench.report import StageResult
from costlib.estimate import Undefined
from tests.collectors.bench.bench_support import PROBES, measured
from tests.fake_openai import FakeOpenAI, Seen, tokens_of


def only(report_stages: tuple[StageResult, ...]) -> StageResult:
    (stage,) = report_stages
    return stage


def spread(found: Distribution | Undefined) -> Distribution:
    assert isinstance(found, Distribution)
    return found


def after_probes(fake: FakeOpenAI) -> list[Seen]:
    return fake.seen[PROBES:]


@pytest.mark.parametrize("api", ["chat", "completions"])
@pytest.mark.parametrize("tokens_per_chunk", [1, 3, 50])
def test_tokens_are_the_servers_own_however_many_a_chunk_holds(api: str, tokens_per_chunk: int) -> None:
    fake = FakeOpenAI(tokens_per_chunk=tokens_per_chunk)
    stage = only(measured(fake, api=api, requests_count=12, output_tokens="7-20").stages)
    assert stage.done_count == stage.sent_count == len(after_probes(fake)) == 12
    assert stage.output_tokens == sum(item.output_tokens for item in after_probes(fake))
    assert stage.input_tokens == sum(item.input_tokens for item in after_probes(fake))


def test_rates_are_counts_over_the_window() -> None:
    stage = only(measured(FakeOpenAI(chunk_s=0.005)).stages)
    assert stage.requests_per_s == stage.done_count / stage.window_s
    assert stage.output_tokens_per_s == stage.output_tokens / stage.window_s  # type: ignore[operator]
    assert stage.total_tokens_per_s == (stage.input_tokens + stage.output_tokens) / stage.window_s  # type: ignore


def test_times_are_the_servers_times() -> None:
    """0.1 s to the first token, then 12 tokens in 4 chunks 0.04 s apart. Coarse: this machine is busy."""
    fake = FakeOpenAI(first_token_s=0.1, chunk_s=0.04, tokens_per_chunk=3)
    stage = only(measured(fake, output_tokens="12", targets=Targets(ttft_s=0.05)).stages)
    assert spread(stage.ttft_s).p50 >= 0.1
    assert spread(stage.itl_s).p50 >= 0.035, "the gap between chunks, not between tokens"
    assert 0.12 / 11 - 0.001 <= spread(stage.tpot_s).p50 < spread(stage.itl_s).p50 / 2, "per token"
    assert spread(stage.e2e_s).p50 >= 0.22
    assert stage.goodput.good_count == 0, "no answer can begin within 0.05 s"  # type: ignore[union-attr]


def test_a_role_without_text_is_not_the_first_token() -> None:
    """The fake says the role at once and the text after the first chunk's wait."""
    fake = FakeOpenAI(first_token_s=0.0, chunk_s=0.05, tokens_per_chunk=10)
    stage = only(measured(fake, output_tokens="10").stages)
    assert isinstance(stage.itl_s, Undefined), "ten tokens in one chunk have no gap"
    assert isinstance(stage.tpot_s, Undefined)


def test_a_closed_loop_keeps_its_concurrency_and_never_exceeds_it() -> None:
    fake = FakeOpenAI(first_token_s=0.03)
    stage = only(measured(fake, concurrencies=(5,), requests_count=25).stages)
    assert fake.most_in_flight == 5
    assert 2.5 < stage.mean_in_flight <= 5.01  # type: ignore[operator]


def test_an_open_loop_does_not_wait_for_answers() -> None:
    fake = FakeOpenAI(first_token_s=0.6)
    stage = only(measured(fake, concurrencies=(), rates=(60.0,), requests_count=20).stages)
    assert fake.most_in_flight > 10, "20 arrivals take a third of a second, the first answer more"
    assert stage.concurrency is None and stage.asked_requests_per_s == 60.0
    assert stage.sent_requests_per_s and 5 < stage.sent_requests_per_s < 150
    assert any("sent" in note for note in stage.notes)
    assert any("queue grew" in note for note in stage.notes), "20 sent in 0.33 s and answered in 0.9 s"


def test_a_sweep_is_one_stage_each_with_prompts_of_its_own() -> None:
    fake = FakeOpenAI()
    report = measured(fake, concurrencies=(1, 3), rates=(80.0,), requests_count=5, warmup_count=2)
    assert [stage.label for stage in report.stages] == ["c=1", "c=3", "80/s"]
    assert [stage.done_count for stage in report.stages] == [5, 5, 5]
    prompts = [item.prompt for item in after_probes(fake)]
    assert len(set(prompts)) == len(prompts) == 3 * (5 + 2)
    assert report.is_complete


def test_warm_up_is_asked_and_left_out() -> None:
    fake = FakeOpenAI()
    stage = only(measured(fake, warmup_count=3).stages)
    assert (stage.warmup_count, stage.sent_count) == (3, 6)
    assert len(after_probes(fake)) == 9
    assert stage.output_tokens == sum(item.output_tokens for item in after_probes(fake)[3:])


def test_the_same_seed_asks_the_same_and_another_seed_something_else() -> None:
    def asked(seed: int) -> set[str]:
        fake = FakeOpenAI()
        measured(fake, seed=seed)
        return {item.prompt for item in after_probes(fake)}

    assert asked(1) == asked(1)
    assert asked(1).isdisjoint(asked(2))


def test_a_seed_that_was_not_given_is_recorded_and_gives_the_run_again() -> None:
    first, second = FakeOpenAI(), FakeOpenAI()
    seed = measured(first, seed=None).workload.seed
    measured(second, seed=seed)
    assert {item.prompt for item in first.seen} == {item.prompt for item in second.seen}


def test_prompts_come_out_near_the_tokens_asked_and_the_report_says_how_near() -> None:
    fake = FakeOpenAI()
    stage = only(measured(fake, input_tokens="400", requests_count=20).stages)
    got = spread(stage.got_input_tokens)
    assert spread(stage.asked_input_tokens).mean == 400
    assert got.mean == pytest.approx(400, rel=0.03)
    assert got.mean * got.count == pytest.approx(sum(item.input_tokens for item in after_probes(fake)))


def test_words_are_calibrated_by_the_servers_own_count() -> None:
    calibration = measured(FakeOpenAI()).workload.calibration
    assert not isinstance(calibration, Undefined)
    assert calibration.tokens_per_word_ratio == pytest.approx(1.9, abs=0.1)
    assert calibration.overhead_tokens == pytest.approx(7, abs=2)


def test_lengths_of_a_trace_are_fitted_to_the_servers_limit_and_counted() -> None:
    fake = FakeOpenAI(max_model_len=1024)
    stage = only(measured(fake, trace="mooncake-conversation", requests_count=12).stages)
    assert not stage.failures
    assert stage.clipped_count > 6
    assert any("to fit the server's limit" in note for note in stage.notes)


def test_a_shared_prefix_is_found_in_the_cache_and_different_prompts_are_not() -> None:
    plain = only(measured(FakeOpenAI(gives_cached=True), input_tokens="200").stages)
    shared = only(measured(FakeOpenAI(gives_cached=True), input_tokens="200", shared_prefix_tokens=400).stages)
    assert plain.cached_input_tokens == 0
    assert shared.cached_input_tokens > 0.3 * shared.input_tokens  # type: ignore[operator]
    assert all(tokens_of(text) for text in shared.notes)


def test_cached_tokens_that_a_server_does_not_name_are_unknown_and_not_none() -> None:
    assert isinstance(only(measured(FakeOpenAI()).stages).cached_input_tokens, Undefined)


def test_money_is_the_price_over_what_was_delivered() -> None:
    report = measured(FakeOpenAI(chunk_s=0.002), usd_per_hour=3.5, target_usd_per_mtok=1.0)
    stage = only(report.stages)
    assert not isinstance(stage.cost, Undefined)
    per_second = 3.5 / 3600
    assert stage.cost.usd_per_mtok_output == pytest.approx(per_second / stage.output_tokens_per_s * 1e6)  # type: ignore
    assert stage.cost.usd_per_mtok_blended == pytest.approx(per_second / stage.total_tokens_per_s * 1e6)  # type: ignore
    assert stage.cost.needed_tokens_per_s == pytest.approx(972.2, abs=0.1)  # domain_math §14
    assert "972 tok/s" in report.text and "idle hours are left out" in report.text


def test_without_a_price_or_targets_there_is_no_cost_and_no_goodput() -> None:
    stage = only(measured(FakeOpenAI()).stages)
    assert stage.cost == Undefined(reason="no price was given")
    assert stage.goodput == Undefined(reason="no target was given")


def test_a_server_without_usage_leaves_tokens_undefined_and_latencies_measured() -> None:
    report = measured(FakeOpenAI(gives_usage=False), usd_per_hour=1.0, targets=Targets(tpot_s=1.0))
    stage = only(report.stages)
    assert stage.done_count == 6
    for unknown in (stage.output_tokens, stage.input_tokens, stage.tpot_s, stage.output_tokens_per_s, stage.cost):
        assert isinstance(unknown, Undefined)
    assert isinstance(stage.goodput, Undefined)
    assert spread(stage.ttft_s).count == 6
    assert any("no usage" in note for note in report.notes)


def test_what_a_server_refuses_is_left_out_and_named() -> None:
    fake = FakeOpenAI(refuses=("ignore_eos", "temperature"))
    report = measured(fake, output_tokens="30")
    assert sorted(report.workload.fields_left_out) == ["ignore_eos", "temperature"]
    assert only(report.stages).output_tokens == 6 * fake.eos_after_tokens
    assert any("Answers may end early" in note for note in report.notes)
    assert any("where 30 were asked" in note for note in only(report.stages).notes)


def test_a_server_that_refuses_stream_options_is_measured_without_tokens() -> None:
    report = measured(FakeOpenAI(refuses=("stream_options",)))
    assert report.workload.fields_left_out == ("stream_options",)
    assert isinstance(only(report.stages).output_tokens, Undefined)


def test_ignore_eos_that_is_silently_ignored_is_seen_in_the_lengths() -> None:
    stage = only(measured(FakeOpenAI(ignores=("ignore_eos",)), output_tokens="30").stages)
    assert any("answers came out at 5 tokens on average where 30 were asked" in note for note in stage.notes)


def test_a_deadline_ends_the_run_and_keeps_what_was_measured() -> None:
    fake = FakeOpenAI(first_token_s=0.05)
    report = measured(fake, requests_count=None, duration_s=60.0, concurrencies=(2, 4), deadline_s=0.6)
    stage = only(report.stages)
    assert report.stopped_by == "the deadline passed" == stage.stopped_by
    assert not report.is_complete
    assert stage.done_count > 2
    assert stage.sent_count == stage.done_count + stage.unfinished_count


def test_ctrl_c_ends_the_run_and_keeps_what_was_measured() -> None:
    interrupted = []

    def interrupt(progress: Progress) -> None:
        if progress.done_count and not interrupted:
            interrupted.append(progress)
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)  # as from a parent that passes on what the terminal sent to both

    fake = FakeOpenAI(first_token_s=0.05)
    report = measured(fake, requests_count=None, duration_s=60.0, on_progress=interrupt)
    stage = only(report.stages)
    assert report.stopped_by == "interrupted"
    assert stage.done_count >= interrupted[0].done_count
    assert spread(stage.ttft_s).count == stage.done_count
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler, "the next Ctrl-C does what it always does"


def test_a_duration_ends_a_stage_and_waits_for_what_is_under_way() -> None:
    stage = only(measured(FakeOpenAI(first_token_s=0.1), requests_count=None, duration_s=0.25).stages)
    assert stage.stopped_by is None
    assert stage.done_count == stage.sent_count >= 4


def test_the_report_names_where_its_figures_come_from() -> None:
    report = measured(FakeOpenAI(version="0.32.0", max_model_len=2048), path="/v1", labels={"gpu": "h100-sxm"})
    assert report.schema == "permillion.bench/1"
    assert (report.model, report.server_version, report.most_context_tokens) == ("tiny", "0.32.0", 2048)
    assert report.url.startswith("http://127.0.0.1:") and not report.url.endswith("/v1")
    assert report.started_at.tzinfo and report.started_at <= report.ended_at
    assert report.labels == {"gpu": "h100-sxm"}
    assert "'tiny'" in report.text and "seed 7" in report.text


def test_rows_are_kept_when_asked_for() -> None:
    assert only(measured(FakeOpenAI()).stages).rows == ()
    rows = only(measured(FakeOpenAI(), keep_rows=True).stages).rows
    assert len({row.key for row in rows}) == 6
    assert all(row.output_tokens == 10 and row.failure is None for row in rows)


def test_goodput_is_per_second_of_the_window_and_a_share_of_all_that_ended() -> None:
    stage = only(measured(FakeOpenAI(chunk_s=0.01), targets=Targets(ttft_s=60.0, tpot_s=60.0, e2e_s=60.0)).stages)
    assert not isinstance(stage.goodput, Undefined)
    assert (stage.goodput.good_count, stage.goodput.good_fraction) == (6, 1.0)
    assert stage.goodput.good_requests_per_s == stage.requests_per_s


def test_a_client_that_falls_behind_says_so() -> None:
    """Showing the progress holds the event loop up for a fifth of a second: arrivals in it are sent late."""
    held_up = measured(
        FakeOpenAI(first_token_s=0.1),
        concurrencies=(),
        rates=(60.0,),
        requests_count=40,
        on_progress=lambda progress: time.sleep(0.2),
    )
    stage = only(held_up.stages)
    assert stage.late_count > 3
    assert any("the client itself fell behind" in note for note in stage.notes)
    assert any("short of CPU" in note for note in stage.notes)


def test_a_closed_loop_has_no_time_of_arrival_to_be_late_for() -> None:
    assert only(measured(FakeOpenAI()).stages).late_count == 0


def test_everything_asked_is_what_the_server_saw_probes_and_warm_up_included() -> None:
    fake = FakeOpenAI(fault_of=lambda number: "http_500" if number == 9 else None)
    everything = measured(fake, warmup_count=3).everything
    assert (everything.sent_count, everything.done_count) == (len(fake.seen), len(fake.measured)) == (11, 10)
    assert everything.input_tokens == sum(item.input_tokens for item in fake.measured)
    assert everything.output_tokens == sum(item.output_tokens for item in fake.measured)
