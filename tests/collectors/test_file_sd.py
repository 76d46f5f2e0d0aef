"""Discovery by files: servers that come and go are followed, and a broken list leaves the last good one as it is."""

import asyncio
import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collectors import run as run_loop
from collectors.config import config_from
from collectors.file_sd import BAD_FILE, Servers
from collectors.run import collect
from tests.collectors.collector_support import NOON, Pages, counting

LIMIT = 2_000


class Folder:
    """A folder of discovery files, and what a block of permillion.toml makes of them."""

    def __init__(self, path, **block):
        self.path = path
        self._edits = 0
        doc = {"vllm": [{"file_sd": ["*.json", "*.yml"], **block}]}
        self.blocks = config_from(doc, "permillion.toml", path, {"PERMILLION_TOKEN_GPU_1_8000": "own"}).file_sd
        self.servers = Servers([], self.blocks, LIMIT)

    def write(self, name, content):
        """As an orchestrator does: under another name first, so that no half is ever seen; the time always moves."""
        self._edits += 1
        text = content if isinstance(content, str) else json.dumps(content)
        draft = self.path / f".{name}"
        draft.write_text(text, encoding="utf-8")
        os.utime(draft, ns=(self._edits * 10**9, self._edits * 10**9))
        draft.rename(self.path / name)

    def keys(self):
        return [target.key for target in self.servers.targets]


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path)


def group(*targets, **labels):
    return {"targets": list(targets), "labels": labels}


def test_targets_have_the_labels_of_their_group_over_those_of_the_block(tmp_path):
    folder = Folder(tmp_path, labels={"team": "search", "pool": "spot"}, tls_verify=False)
    folder.write("a.json", [group("gpu-1:8000", pool="reserved"), group("gpu-2:8000")])
    (run,) = folder.servers.look(NOON)
    one, two = folder.servers.targets
    assert (run.state, run.kind, run.rows_count) == ("ok", "discovery", 2)
    assert (one.key, one.url, one.bearer_token) == ("gpu-1:8000", "http://gpu-1:8000/metrics", "own")
    assert one.labels == {"team": "search", "pool": "reserved"} and two.labels == {"team": "search", "pool": "spot"}
    assert one.options == {"tls_verify": False}


def test_double_underscore_labels_say_how_to_ask_and_are_dropped(folder):
    labels = {"__scheme__": "https", "__metrics_path__": "/vllm/metrics", "__meta_x": "1", "gpu": "l4"}
    folder.write("a.json", [group("gpu-1", **labels)])
    folder.servers.look(NOON)
    (target,) = folder.servers.targets
    assert (target.url, target.labels) == ("https://gpu-1/vllm/metrics", {"gpu": "l4"})


def test_yaml_is_read_like_json(folder):
    folder.write("a.yml", "- targets: ['gpu-1:8000', '10.0.0.1:8000']\n  labels:\n    team: search\n")
    folder.servers.look(NOON)
    assert folder.keys() == ["gpu-1:8000", "10.0.0.1:8000"]


def test_yaml_makes_no_objects_of_ours(folder):
    folder.write("a.yml", "!!python/object/apply:os.system ['true']")
    (run,) = folder.servers.look(NOON)
    assert run.state == BAD_FILE and "is not whole yml" in run.error


def test_without_pyyaml_a_yaml_file_says_what_to_do_and_json_goes_on(folder, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "yaml", None)
    folder.write("a.yml", "- targets: ['gpu-1:8000']\n")
    folder.write("b.json", [group("gpu-2:8000")])
    (run,) = folder.servers.look(NOON)
    assert "PyYAML" in run.error and folder.keys() == ["gpu-2:8000"]


def test_nothing_is_said_while_nothing_changes(folder):
    folder.write("a.json", [group("gpu-1:8000")])
    assert folder.servers.look(NOON)
    assert folder.servers.look(NOON) == []


def test_targets_come_and_go_with_their_files(folder):
    folder.write("a.json", [group("gpu-1:8000", "gpu-2:8000")])
    folder.servers.look(NOON)
    folder.write("a.json", [group("gpu-2:8000")])
    folder.write("b.json", [group("gpu-3:8000")])
    (run,) = folder.servers.look(NOON)
    assert folder.keys() == ["gpu-2:8000", "gpu-3:8000"] and run.rows_count == 2
    (folder.path / "a.json").unlink()
    folder.servers.look(NOON)
    assert folder.keys() == ["gpu-3:8000"]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('[{"targets": ["gpu-9', "is not whole json"),
        ("[" * 100_000, "is not whole json"),
        ("", "is not whole json"),
        ({"targets": ["gpu-9:8000"]}, "not a list"),
        ([["gpu-9:8000"]], "group 1 has no list of targets"),
        ([{"targets": "gpu-9:8000"}], "group 1 has no list of targets"),
        ([{"targets": ["gpu-9:8000"], "label": {}}], "group 1 has 'label'"),
        ([group(8000)], "put quotes"),
        ([group("gpu-9:8000", team=7)], "put quotes"),
        ([{"targets": [], "labels": ["team"]}], "put quotes"),
        ([group("gpu-9:8000/metrics")], "is not host:port"),
        ([group("user:pw@gpu-9:8000")], "is not host:port"),
        ([group("gpu 9")], "not an http or https URL"),
        ([group("169.254.169.254:80")], "cloud metadata"),
        ([group("gpu-9:8000", __scheme__="file")], "not an http or https URL"),
    ],
)
def test_a_broken_file_keeps_its_last_good_list_and_says_so(folder, content, says):
    folder.write("a.json", [group("gpu-1:8000")])
    folder.servers.look(NOON)
    folder.write("a.json", content)
    (run,) = folder.servers.look(NOON)
    assert run.state == BAD_FILE and says in run.error and "a.json" in run.error and "last good list" in run.error
    assert folder.keys() == ["gpu-1:8000"]
    folder.write("a.json", [group("gpu-2:8000")])
    (run,) = folder.servers.look(NOON)
    assert run.state == "ok" and folder.keys() == ["gpu-2:8000"]


def test_one_server_in_two_files_is_scraped_once_and_remarked_on(folder):
    folder.write("a.json", [group("gpu-1:8000", team="a")])
    folder.write("b.json", [group("gpu-1:8000", team="b")])
    (run,) = folder.servers.look(NOON)
    assert folder.keys() == ["gpu-1:8000"] and "named twice" in run.error
    assert folder.servers.targets[0].labels == {"team": "a"}


def test_more_targets_than_allowed_are_left_out_and_said(folder):
    folder.write("a.json", [group(*(f"gpu-{number}:8000" for number in range(LIMIT + 1)))])
    (run,) = folder.servers.look(NOON)
    assert len(folder.keys()) == LIMIT and "more than 2000" in run.error


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["targets", "labels", "__scheme__", "x"]), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(content=JSON)
def test_whatever_a_file_holds_looking_at_it_never_fails(tmp_path_factory, content):
    folder = Folder(tmp_path_factory.mktemp("sd"))
    folder.write("a.json", content)
    (run,) = folder.servers.look(NOON)
    assert run.state in ("ok", BAD_FILE)


class TestInTheLoop:
    def test_replicas_are_added_and_removed_under_way(self, store, folder, monkeypatch):
        """One that stays is not disturbed, and its labels reach the store."""
        monkeypatch.setattr(run_loop, "DISCOVER_EVERY_S", 0.05)
        folder.write("a.json", [group("stays", deployment="chat"), group("goes")])
        http = Pages({f"http://{name}/metrics": counting(1) for name in ("stays", "goes", "comes")})

        async def main():
            stop = asyncio.Event()
            loop = asyncio.get_running_loop()
            changed = [group("stays", deployment="chat"), group("comes")]
            loop.call_later(0.3, folder.write, "a.json", changed)
            loop.call_later(0.8, stop.set)
            await collect(store, [], file_sd=folder.blocks, every_s=0.1, http=http, stop=stop)

        asyncio.run(main())
        scraped = [run.target_key for run in store.runs if run.kind == "scrape"]
        assert scraped.count("stays") >= 4
        assert scraped.index("comes") > max(place for place, key in enumerate(scraped) if key == "goes")
        assert [run.rows_count for run in store.runs if run.kind == "discovery"] == [2, 2]
        assert store.targets["stays"].deployment_key == "chat" and "comes" in store.targets

    def test_one_round_takes_what_the_files_name_now(self, store, folder):
        folder.write("a.json", [group("gpu-1:8000")])
        http = Pages({"http://gpu-1:8000/metrics": counting(1)})
        (run,) = asyncio.run(collect(store, [], file_sd=folder.blocks, once=True, http=http))
        assert (run.target_key, run.state) == ("gpu-1:8000", "ok")
