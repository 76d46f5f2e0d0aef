"""From answers to increments: one path to each engine, models by their dated names, nothing that no engine can make."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from collectors.base import Readings, Target
from collectors.ingest import Answer, Ledger
from collectors.names import ModelName, ModelNames
from collectors.paths import GATEWAYS
from collectors.plausible import MOST_TOKENS_PER_S
from collectors.sources import COLLECTORS
from costlib.devices import DevicePage
from costlib.errors import ConfigError
from costlib.history import EngineHistory
from costlib.telemetry import EnginePage, SampleState
from tests.collectors.collector_support import NOON, MemoryStore

EVERY_S = 15.0
BEGAN = NOON - timedelta(days=2)  # of the engine
DIRECT = Target(key="chat", url="http://gpu-1:8000/metrics")
PROM = Target(key="prom", url="http://prom:9090", source_key="prometheus")


def at(seconds):
    return NOON + timedelta(seconds=seconds)


def page(tokens, seconds, *, target="chat", model="m", engine="0", began=BEGAN, **counters):
    return EnginePage(
        target_key=target,
        model_key=model,
        engine_key=engine,
        scraped_at=at(seconds),
        started_at=began,
        counters={"prompt_tokens": float(tokens), **counters},
    )


def history(*rows, target="gpu-1:8000", model="m", began=BEGAN):
    """Raw samples (seconds after noon, prompt tokens) of one engine."""
    times = [at(seconds).timestamp() for seconds, _ in rows]
    return EngineHistory(
        target_key=target,
        model_key=model,
        engine_key="0",
        times_s=np.array(times),
        started_s=np.full(len(rows), began.timestamp()),
        counters={"prompt_tokens": np.array([float(tokens) for _, tokens in rows])},
    )


class Book:
    """A ledger and a store that takes what it is given, as the loop puts them together."""

    def __init__(self, *targets, names=None, store=None, since=NOON):
        self.store = store or MemoryStore()
        self.ledger = Ledger(
            self.store.engine_pages(), self.store.device_pages(), every_s=EVERY_S, watched_since=since, names=names
        )
        self.ledger.watch(targets)

    def take(self, *answers):
        """(target, seconds after noon, readings) each, all in one batch; their runs."""
        found = self.ledger.scrapes(
            [
                Answer(target=target, scraped_at=at(seconds), finished_at=at(seconds), readings=readings)
                for target, seconds, readings in answers
            ]
        )
        for (scrape, _), error in zip(found, self.store.add_scrapes([scrape for scrape, _ in found]), strict=True):
            if error is None:
                self.ledger.took(scrape)
        return [scrape.run for scrape, _ in found]

    def page(self, *pages, target=DIRECT):
        (run,) = self.take((target, (pages[0].scraped_at - NOON).total_seconds(), Readings(pages=pages)))
        return run

    def history(self, seconds, *histories, target=PROM):
        (run,) = self.take((target, seconds, Readings(histories=histories)))
        return run

    def total(self):
        return self.store.total("prompt_tokens")


def test_sources_of_other_servers_are_known_by_their_keys():
    assert COLLECTORS.keys() >= GATEWAYS


class TestNewEngines:
    def test_s23_a_replica_that_starts_under_our_eyes_counts_whole(self):
        book = Book(DIRECT)
        book.page(page(300, 60, began=at(30)))
        assert book.total() == 300
        assert book.store.samples[0].state is SampleState.STARTED

    def test_one_that_started_while_the_collector_was_away_counts_whole_at_an_unknown_time(self):
        first = Book(DIRECT)
        first.page(page(100, 0))
        again = Book(DIRECT, store=first.store, since=at(3600))
        again.page(page(50, 3610, began=at(1800), engine="1"))
        assert again.total() == 50
        assert again.store.samples[-1].state is SampleState.GAP

    def test_s23_one_that_was_there_before_us_counts_from_its_first_scrape(self):
        book = Book(DIRECT)
        book.page(page(300, 60))
        book.page(page(340, 75))
        assert book.total() == 40

    def test_a_series_that_is_missing_once_has_lost_nothing(self):
        book = Book(DIRECT)
        book.page(page(100, 0, generation_tokens=10.0))
        book.page(page(110, 15))
        book.page(page(120, 30, generation_tokens=19.0))
        assert book.store.total("generation_tokens") == 9


class TestHistories:
    def test_go_on_from_the_stored_page_however_often_a_stretch_is_read(self):
        book = Book(PROM)
        book.history(30, history((0, 100), (15, 110), (30, 130)))
        book.history(45, history((15, 110), (30, 130), (45, 145)))
        book.history(45, history((15, 110), (30, 130), (45, 145)))
        assert book.total() == 45
        assert book.store.pages["gpu-1:8000", "m", "0"].scraped_at == at(45)
        assert book.ledger.since["prom"] == at(45)

    def test_s35_the_interval_of_the_source_is_learned_not_ours(self):
        """Scraped by Prometheus once a minute and read by us every 15 s: no gap, also when one row comes at a time."""
        book = Book(PROM)
        book.history(120, history((0, 0), (60, 10), (120, 20)))
        book.history(180, history((180, 30)))
        states = [state for item in book.store.histories for state in item.states]
        assert states == [SampleState.FIRST, SampleState.OK, SampleState.OK, SampleState.OK]

    def test_nothing_new_is_no_failure(self):
        book = Book(PROM)
        book.history(0, history((0, 100)))
        run = book.history(15, history((0, 100)))
        assert (run.state, run.rows_count) == ("ok", 0)

    def test_one_bad_server_does_not_keep_the_others_out(self):
        book = Book(PROM)
        book.history(0, history((0, 0)), history((0, 0), target="gpu-2:8000"))
        run = book.history(15, history((15, 1e15)), history((15, 7), target="gpu-2:8000"))
        assert run.state == "ok" and "gpu-1:8000" in run.error
        assert book.total() == 7

    def test_after_a_restart_a_source_goes_on_where_its_servers_were_left(self):
        book = Book(PROM, DIRECT)
        book.history(0, history((0, 100)))
        book.page(page(1, 10, target="chat", began=at(-7)))
        again = Book(PROM, DIRECT, store=book.store)
        assert again.ledger.since == {"chat": at(10), "prom": at(0)}


class TestTwoPaths:
    def test_s26_the_second_path_to_an_engine_is_refused_and_both_are_named(self):
        book = Book(DIRECT, PROM)
        book.page(page(100, 0))
        run = book.history(5, history((-10, 80), (2, 101)))
        assert (run.state, run.rows_count) == ("duplicate_engine", 0)
        assert "chat" in run.error and "prom" in run.error and "gpu-1:8000" in run.error
        assert book.store.pages.keys() == {("chat", "m", "0")}

    def test_s26_whatever_comes_first_in_a_batch_the_direct_path_is_kept(self):
        book = Book(PROM, DIRECT)
        through, direct = book.take(
            (PROM, 5, Readings(histories=[history((2, 100))])), (DIRECT, 5, Readings(pages=[page(100, 5)]))
        )
        assert (through.state, direct.state) == ("duplicate_engine", "ok")

    def test_s26_a_server_of_the_same_name_is_refused_as_well(self):
        target = Target(key="gpu-1:8000", url="http://gpu-1:8000/metrics")
        book = Book(target, PROM)
        book.page(page(100, 0, target="gpu-1:8000"), target=target)
        assert book.history(5, history((2, 101))).state == "duplicate_engine"

    def test_s26_without_a_start_time_equal_counters_tell(self):
        book = Book(DIRECT, PROM)
        book.page(page(100, 0, began=None))
        twin = page(100, 5, target="gpu-1:8000", began=None)
        (run,) = book.take((PROM, 6, Readings(pages=[twin])))
        assert run.state == "duplicate_engine"

    def test_another_engine_of_that_source_is_taken(self):
        book = Book(DIRECT, PROM)
        book.page(page(100, 0))
        other = history((2, 50), target="gpu-2:8000", began=BEGAN + timedelta(seconds=90))
        run = book.history(5, history((2, 101)), other)
        assert run.state == "ok" and "chat" in run.error
        assert book.store.pages.keys() == {("chat", "m", "0"), ("gpu-2:8000", "m", "0")}

    def test_the_other_path_steps_in_and_out_and_nothing_is_lost_or_counted_twice(self):
        book = Book(DIRECT, PROM)
        book.page(page(100, 0))
        book.page(page(120, 15))
        assert book.history(20, history((10, 110), (20, 130))).state == "duplicate_engine"
        # The direct path is down for five minutes.
        assert book.history(320, history((10, 110), (20, 130), (300, 400), (320, 430))).state == "ok"
        assert book.total() == 330
        book.page(page(440, 330))
        assert book.total() == 340
        assert book.history(335, history((320, 430), (335, 445))).state == "duplicate_engine"
        assert book.total() == 340

    def test_a_direct_path_that_is_added_later_goes_on_from_the_other(self):
        book = Book(PROM)
        book.history(0, history((0, 100)))
        book.ledger.watch([PROM, DIRECT])
        book.page(page(130, 15))
        assert book.total() == 30
        assert book.history(20, history((20, 140))).state == "duplicate_engine"

    def test_a_refused_source_need_not_read_again_what_the_better_path_has(self):
        book = Book(DIRECT, PROM)
        for seconds in (0, 15, 30):
            book.page(page(100 + seconds, seconds))
            book.history(seconds + 1, history((seconds, 100 + seconds)))
        assert book.ledger.since["prom"] == at(30)

    def test_a_server_that_is_given_another_name_goes_on_where_it_was(self):
        book = Book(Target(key="gpu-1:8000", url="u"))
        book.page(page(100, 0, target="gpu-1:8000"), target=Target(key="gpu-1:8000", url="u"))
        renamed = Book(DIRECT, store=book.store)
        renamed.page(page(150, 15))
        assert renamed.total() == 50

    def test_two_of_one_kind_that_look_the_same_are_both_taken_and_remarked_on(self):
        one, other = Target(key="a", url="u"), Target(key="b", url="v")
        book = Book(one, other)
        book.page(page(100, 0, target="a"), target=one)
        run = book.page(page(100, 1, target="b"), target=other)
        assert run.state == "ok" and "looks the same as that of a" in run.error
        book.page(page(900, 15, target="a"), target=one)
        assert book.page(page(200, 16, target="b"), target=other).error is None, "they differ after all"


class TestPlausibility:
    def test_s39_what_no_engine_counts_is_refused_and_the_next_believable_page_goes_on(self):
        book = Book(DIRECT)
        book.page(page(100, 0))
        run = book.page(page(1e15, 15))
        assert run.state == "implausible" and "1e+15" in run.error and "chat" in run.error
        book.page(page(140, 30))
        assert book.total() == 40

    @pytest.mark.parametrize(("factor", "state"), [(0.99, "ok"), (1.01, "implausible")])
    def test_s39_the_bound_is_where_it_is_documented(self, factor, state):
        most = MOST_TOKENS_PER_S["generation_tokens"] * (15 + 60)
        book = Book(DIRECT)
        book.page(page(0, 0, generation_tokens=0.0))
        assert book.page(page(0, 15, generation_tokens=factor * most)).state == state

    def test_s39_a_first_page_says_nothing_of_speed(self):
        assert Book(DIRECT).page(page(1e15, 0)).state == "ok"


OLD_THEN_NEW = ModelNames([ModelName(exposed="old", key="llama", start=at(20))])


class TestNames:
    def test_s32_a_model_is_stored_under_the_name_of_its_time(self):
        book = Book(DIRECT, names=OLD_THEN_NEW)
        for seconds, tokens in ((0, 100), (15, 120), (30, 150), (45, 160)):
            book.page(page(tokens, seconds, model="old"))
        counted = {(item.model_key, item.counters["prompt_tokens"]) for item in book.store.samples}
        assert counted == {("old", None), ("old", 20), ("llama", 30), ("llama", 10)}

    def test_s32_a_rename_by_its_operators_is_one_model_with_one_restart(self):
        names = ModelNames([ModelName(exposed=name, key="llama") for name in ("old", "new")])
        book = Book(DIRECT, names=names)
        book.page(page(100, 0, model="old"))
        book.page(page(7, 15, model="new", began=at(5)))
        assert {item.model_key for item in book.store.samples} == {"llama"}
        assert book.total() == 7 and book.store.samples[1].state is SampleState.RESET

    def test_s32_a_history_is_cut_at_the_day_of_the_rename(self):
        book = Book(PROM, names=OLD_THEN_NEW)
        book.history(45, history((0, 100), (15, 120), (30, 150), (45, 160), model="old"))
        assert [(item.model_key, len(item.times_s)) for item in book.store.histories] == [("old", 2), ("llama", 2)]
        assert book.total() == 60

    def test_two_models_of_one_page_never_become_one(self):
        names = ModelNames([ModelName(exposed=name, key="llama") for name in ("old", "new")])
        run = Book(DIRECT, names=names).page(page(1, 0, model="old"), page(2, 0, model="new"))
        assert run.state == "model_twice" and "llama" in run.error

    def test_a_name_holds_from_its_first_day_to_before_its_last(self):
        day = datetime(2026, 11, 1, tzinfo=UTC)
        names = ModelNames([ModelName(exposed="x", key="y", start=day, end=day + timedelta(days=1))])
        moments = [day - timedelta(seconds=1), day, day + timedelta(days=1)]
        assert [names.key_of("x", moment) for moment in moments] == ["x", "y", "x"]

    def test_one_name_for_two_models_at_one_time_is_an_error(self):
        rows = [ModelName(exposed="x", key="a"), ModelName(exposed="x", key="b", start=NOON)]
        with pytest.raises(ConfigError, match="at the same time"):
            ModelNames(rows)


class TestDevices:
    def test_count_their_energy_from_scrape_to_scrape(self):
        dcgm = Target(key="gpu-1:9400", url="u", source_key="dcgm")
        book = Book(dcgm)
        for seconds, energy_j in ((0, 1000.0), (15, 8500.0)):
            device = DevicePage(
                target_key="gpu-1:9400", device_key="GPU-1", scraped_at=at(seconds), counters={"energy_j": energy_j}
            )
            (run,) = book.take((dcgm, seconds, Readings(devices=[device])))
        assert run.rows_count == 1
        assert [item.counters["energy_j"] for item in book.store.device_samples] == [None, 7500.0]


def test_what_was_not_seen_for_a_month_is_forgotten():
    book = Book(DIRECT)
    book.page(page(100, 0))
    book.ledger.forget(NOON + timedelta(days=31))
    book.page(page(150, 15))
    assert book.store.samples[-1].state is SampleState.FIRST


class TestARestartThatPrometheusSeesFirst:
    """S26: the new process has no direct twin yet, and the old one was counted by the direct path already."""

    OLD = tuple((s, 1000 + s) for s in range(0, 121, 10))

    def two_lives(self, *rows):
        first = history(*rows)
        restart_s = at(125).timestamp()
        return replace(first, started_s=np.where(first.times_s < restart_s, BEGAN.timestamp(), restart_s))

    def direct(self, book):
        for seconds in range(15, 135, 15):
            book.page(page(1000 + seconds, seconds))

    def test_is_counted_once(self):
        book = Book(DIRECT, PROM)
        book.page(page(1000, 0))
        self.direct(book)
        assert book.history(121, history(*self.OLD)).state == "duplicate_engine"
        assert book.history(131, self.two_lives(*self.OLD, (130, 5))).state == "duplicate_engine"
        book.page(page(10, 135, began=at(125)))
        assert book.total() == 120 + 10

    def test_is_counted_once_after_a_backfill(self):
        book = Book(PROM, DIRECT)
        book.history(0, history((-20, 980), (0, 1000)))
        self.direct(book)
        book.history(131, self.two_lives(*self.OLD, (130, 5)))
        book.page(page(10, 135, began=at(125)))
        assert book.total() == 20 + 120 + 10

    def test_is_counted_by_prometheus_when_the_direct_path_has_died(self):
        book = Book(DIRECT, PROM)
        book.page(page(1000, 0))
        self.direct(book)
        book.history(121, history(*self.OLD))
        assert book.history(400, self.two_lives(*self.OLD, (130, 5), (390, 60))).state == "ok"
        assert book.total() == 120 + 60

    def test_an_address_that_went_to_another_server_is_counted_again(self):
        book = Book(DIRECT, PROM)
        book.page(page(1000, 0))
        self.direct(book)
        book.history(121, history(*self.OLD))
        moved = history((90, 400), (100, 500), (110, 600), began=at(-50))
        assert book.history(125, moved).state == "ok"
