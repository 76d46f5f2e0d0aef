"""The way into the store: many answers in one transaction, and nothing that the store fails at ends the loop."""

import asyncio

from collectors.base import FetchFailed, Target
from collectors.commit import Outcome
from collectors.paths import DuplicateEngine
from collectors.run import _learn
from collectors.watch import Watch
from store.records import ScrapeRun
from tests.collectors.collector_support import NOON, MemoryStore, Pages, counting, started

EVERY_S = 15.0


def scrape(store, http, clock, *urls):
    """One round over `urls`."""

    async def main():
        collection = await started(store, [Target(key=url, url=url) for url in urls], http, clock)
        try:
            return await collection.scrape_all()
        finally:
            await collection.close()

    return asyncio.run(main())


class TestGroupCommit:
    def test_one_round_is_one_transaction(self, store, fake_time):
        urls = [f"gpu-{number}" for number in range(300)]
        runs = scrape(store, Pages({url: counting(1) for url in urls}), fake_time, *urls)
        assert store.batches == [300] and [run.target_key for run in runs] == urls

    def test_answers_that_come_about_together_are_stored_together(self, store, fake_time):
        async def main():
            targets = [Target(key=f"gpu-{number}", url="u") for number in range(40)]
            collection = await started(store, targets, Pages({"u": counting(1)}), fake_time)
            await asyncio.gather(*map(collection.scrape, collection.watches))
            await collection.close()

        asyncio.run(main())
        assert sum(store.batches) == 40 and len(store.batches) <= 2

    def test_one_that_the_store_refuses_is_said_to_be_and_the_others_are_kept(self, store, fake_time):
        store.refuses = {"b"}
        runs = scrape(store, Pages(dict.fromkeys("abc", counting(100))), fake_time, "a", "b", "c")
        assert [run.state for run in runs] == ["ok", "not_stored", "ok"]
        assert [(run.target_key, run.state) for run in store.runs if run.target_key == "b"] == [("b", "not_stored")]
        assert {key[0] for key in store.pages} == {"a", "c"}

    def test_a_store_that_breaks_altogether_does_not_end_the_loop(self, fake_time):
        class Broken(MemoryStore):
            def add_scrapes(self, scrapes):
                if self.broken:
                    raise RuntimeError("the database has been invalidated")
                return super().add_scrapes(scrapes)

            def name_targets(self, rows):
                if self.broken:
                    raise RuntimeError("the database has been invalidated")
                super().name_targets(rows)

        async def main():
            http = Pages({"a": counting(100)})
            store.broken = True
            collection = await started(store, [Target(key="a", url="a")], http, fake_time)
            for tokens, store.broken in ((110, True), (130, False), (170, False)):
                http.said["a"] = counting(tokens)
                fake_time.elapsed_s += EVERY_S
                runs.extend(await collection.scrape_all())
            await collection.close()

        store, runs = Broken(), []
        asyncio.run(main())
        assert [run.state for run in runs] == ["not_stored", "ok", "ok"]
        assert store.total("prompt_tokens") == 40
        assert store.targets.keys() == {"a"}, "its name was told again"


class TestNamesOfServers:
    def test_labels_and_deployment_are_told_before_the_first_answer(self, store, fake_time):
        async def main():
            labels = {"deployment": "chat", "gpu": "h100-sxm"}
            target = Target(key="gpu-1:8000", url="u", labels=labels)
            gateway = Target(key="prom", url="v", source_key="prometheus")
            collection = await started(store, [target, gateway], Pages(), fake_time)
            await collection.close()
            return labels

        labels = asyncio.run(main())
        row = store.targets["gpu-1:8000"]
        assert (row.source_key, row.deployment_key, row.labels) == ("vllm/gpu-1:8000", "chat", labels)
        assert store.targets.keys() == {"gpu-1:8000"}, "a source of other servers is none itself"


def test_a_path_that_is_known_from_a_better_one_is_asked_on_its_tick_all_the_same(store, fake_time):
    """A refusal as duplicate says nothing against the target: no back-off, so that it can step in."""
    watch = Watch(Target(key="prom", url="u"), failure=FetchFailed("timeout", ""), failures_count=3)
    run = ScrapeRun(source_key="prometheus/prom", target_key="prom", started_at=NOON, finished_at=NOON)
    _learn(watch, Outcome(run=run, failure=DuplicateEngine("duplicate_engine", ""), since=NOON))
    assert watch.failure is None and watch.failures_count == 0 and watch.since == NOON
