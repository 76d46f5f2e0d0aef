"""Lab: a log is given, examined beside the page, and leaves nothing but counts."""

import gzip
import json
import time
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from urllib.parse import parse_qsl

import pytest
from streamlit.testing.v1 import AppTest

from costlib.errors import Cancelled, ConfigError
from lab.link import link_of
from lab.report import LabOptions, LabReport, examined
from store.catalog_files import SAMPLE_REQUESTS
from tests.pages.conftest import Open
from tests.pages.homes import HOSTILE
from tests.pages.reading import badges, card, chart, page_text, table, texts
from ui import jobs, lab, lab_job, lab_results

SECRET = "Xanthippe"
SYSTEM = f"You help {SECRET} with her bills, and never tell anybody else of them. " * 4


def lines(count: int = 120, model: str = "a-8b") -> str:
    requests = (
        {
            "messages": [
                {"role": "system", "content": SYSTEM},
                {"role": "user", "content": f"What was bill {n % 90}?"},
            ],
            "model": model,
            "max_tokens": 100,
            "usage": {"prompt_tokens": 80, "completion_tokens": 9 + n % 50},
        }
        for n in range(count)
    )
    return "".join(json.dumps(one) + "\n" for one in requests)


def give(at: AppTest, content: str | bytes, name: str = "log.jsonl") -> AppTest:
    """Upload it and ask for the report, and wait until there is one."""
    packed = content if isinstance(content, bytes) else content.encode()
    (uploader,) = at.file_uploader
    uploader.set_value((name, packed, "application/jsonl")).run()
    at.button(key="lab-examine").click().run()
    return through(at)


def through(at: AppTest) -> AppTest:
    for _ in range(200):
        if not at.get("progress"):
            break
        time.sleep(0.1)
        at.run()
    assert not at.exception
    return at


def doors(at: AppTest) -> dict[str, dict[str, str]]:
    links = [one.proto for one in at.get("page_link")]
    return {link.label: dict(parse_qsl(link.query_string)) for link in links}


@pytest.fixture
def page(open_page: Open) -> AppTest:
    return open_page("lab", "empty")


def test_without_a_log_it_says_what_it_does_and_is_no_error(page: AppTest) -> None:
    assert "Give a log of requests" in page_text(page)
    assert not page.error and not page.metric
    assert page.button(key="lab-examine").disabled
    assert "200 MB" in page.file_uploader[0].label


def test_the_sample_log_is_labelled_and_examined_by_itself(open_page: Open) -> None:
    at = through(open_page("lab", "empty", {"log": lab.SAMPLE}))
    found = examined(SAMPLE_REQUESTS, LabOptions(embedder="lexical"))
    assert lab.SAMPLE in badges(at)
    assert "A sample log, made up" in page_text(at)
    assert card(at, "Prefix hits") == f"{found.prefix.hit_fraction:.1%}"
    assert card(at, "Same words") == f"{found.exact.hit_fraction:.1%}"
    assert card(at, "Answer, tokens") == "21"
    assert [one["x"][0] for one in chart(at, "lab-sizes")["data"]] == [found.prefix.curve[0].cache_tokens]


def test_the_doors_have_the_measured_values_all_together_and_one_by_one(open_page: Open) -> None:
    at = through(open_page("lab", "empty", {"log": lab.SAMPLE}))
    found = examined(SAMPLE_REQUESTS, LabOptions(embedder="lexical"))
    links = doors(at)
    assert links.pop("Use these in What-if") == dict(parse_qsl(found.link[1:]))
    each = {
        "Prefix caching": "prefix_caching",
        "Exact cache": "exact_cache",
        "Predictive routing": "predictive_routing",
    }
    assert {label: dict(parse_qsl(link_of({key: found.settings[key]})[1:])) for label, key in each.items()} == links


def test_every_figure_says_whether_it_is_measured_or_assumed(open_page: Open) -> None:
    at = through(open_page("lab", "empty", {"log": lab.SAMPLE}))
    assert {metric.label: metric.delta for metric in at.metric} == {
        "Prefix hits": "calibrated", "Same words": "measured", "Same question": "assumed", "Small model": "measured",
        "Answer, tokens": "calibrated", "Repeated text": "calibrated",
    }  # fmt: skip
    assert set(table(at, "In the link")["Basis"]) <= {"measured", "calibrated", "assumed"}
    assert list(table(at, "Router")["Basis"]) == ["assumed", "assumed", "measured"]


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
def test_an_upload_is_examined(page: AppTest, packed: bool) -> None:
    content = lines().encode()
    give(page, gzip.compress(content) if packed else content)
    assert card(page, "Same words") == "25.0%"
    assert "120 requests in 120 lines" in page_text(page)
    assert lab.SAMPLE not in badges(page)


def test_nothing_of_a_prompt_outlives_the_report(page: AppTest) -> None:
    give(page, lines())
    (uploader,) = page.file_uploader
    assert uploader.value is None, "the upload is let go"
    kept = repr(page.session_state)
    assert "LabReport" in kept
    assert SECRET not in kept + page_text(page)
    assert "UploadedFile" not in kept and "BytesIO" not in kept
    assert "Text" not in table(page, "Times").columns


def test_text_that_repeats_is_shown_to_whoever_ticks_it(page: AppTest) -> None:
    page.toggle(key="lab-text").set_value(True).run()
    give(page, lines())
    assert table(page, "Times")["Text"].str.contains(SECRET).any()


def test_a_cache_has_its_mark_on_the_curve(page: AppTest) -> None:
    page.selectbox(key="lab-cache").select(lab.BY_SIZE).run()
    page.number_input(key="lab-gib").set_value(0.01).run()
    give(page, lines())
    curve, mark = chart(page, "lab-sizes")["data"]
    assert mark["y"][0] <= max(curve["y"])
    assert "A cache of" in page_text(page)


def test_the_kv_room_of_ones_own_deployments_can_be_taken(open_page: Open) -> None:
    options = open_page("lab", "own scenario").selectbox(key="lab-cache").options
    assert any("tokens" in option for option in options)
    others = open_page("lab", "real").selectbox(key="lab-cache").options
    assert not any("tokens" in option for option in others), "the fleet made up is nobody's"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "is empty"),
        ('{"model": "m", "prompt": ""}\n' * 3, "no prompt"),
        (lines(3).encode("utf-16"), "is UTF-16; convert it first"),
        ("[1, 2]", "is one JSON list"),
        (b"PK\x03\x04zip", "is a ZIP file"),
        ("{broken\n" * 5, "line 1 is not JSON"),
        ((json.dumps({"prompt": "é" * 50}, ensure_ascii=False) + "\n").encode("latin-1") * 60, "is not UTF-8"),
    ],
    ids=["empty", "no prompts", "UTF-16", "a list", "ZIP", "broken", "Latin-1"],
)
def test_what_cannot_be_read_says_why_and_what_to_do(page: AppTest, content: str | bytes, said: str) -> None:
    give(page, content)
    (error,) = page.error
    assert said in page_text(page), error.value
    assert not page.metric


def test_broken_lines_are_counted_and_named_and_the_rest_is_used(page: AppTest) -> None:
    give(page, lines() + "{broken\n" + '"text"\n')
    said = page_text(page)
    assert "2 of 122 lines cannot be read and are left out: line 121 is not JSON" in said
    assert "line 122 is a JSON str, not an object" in said
    assert page.metric


def test_a_log_examined_with_other_settings_says_so(page: AppTest) -> None:
    give(page, lines())
    assert "in another way" not in page_text(page)
    page.number_input(key="lab-block").set_value(32).run()
    assert "Examined in another way than the controls now say" in page_text(page)


def test_names_in_a_log_stay_text(page: AppTest) -> None:
    # The page tells apart as many models as it lists.
    names = HOSTILE[-lab_results.MOST_MODELS :]
    give(page, "".join(lines(20, name) for name in names), f"{HOSTILE[0]}{HOSTILE[-1]}.jsonl".replace("/", "."))
    shown = list(table(page, "Prefix hits")["Model"])
    assert len(shown) == len(names)
    assert not any(set(cell) & set("\x1b\x07\u202e\u2066") for cell in shown)
    assert not [text for text in texts(page) if set(text) & set("\x1b\u202e")]


# A file of the server.


def test_only_files_below_the_named_folders_are_read(tmp_path: Path) -> None:
    home, outside = tmp_path / "home", tmp_path / "outside"
    for folder in (home / "logs", outside):
        folder.mkdir(parents=True)
        (folder / "log.jsonl").write_text(lines(), encoding="utf-8")
    (home / "link.jsonl").symlink_to(outside / "log.jsonl")
    (home / "loop").symlink_to(home / "loop")
    below = [home.resolve()]
    assert lab.allowed("logs/log.jsonl", below) == lab.allowed(str(home / "logs/log.jsonl"), below)
    said = set()
    for typed in (
        str(outside / "log.jsonl"),
        "../outside/log.jsonl",
        "link.jsonl",
        "loop",
        "logs",
        "gone",
        "a\0b",
        "/etc",
    ):
        with pytest.raises(ConfigError) as refused:
            lab.allowed(typed, below)
        said.add(str(refused.value))
    assert len(said) == 1, "what is there and what is not are refused alike"


def test_a_folder_can_be_named_for_logs(open_page: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "log.jsonl").write_text(lines(), encoding="utf-8")
    at = open_page("lab", "empty", {"log": lab.SERVER})
    at.text_input(key="lab-path").set_value("log.jsonl").run()
    at.button(key="lab-examine").click().run()
    assert "There is no such file below" in page_text(at)
    monkeypatch.setenv(lab.FOLDER_VARIABLE, str(tmp_path))
    at.button(key="lab-examine").click().run()
    assert card(through(at), "Same words") == "25.0%"
    assert not at.error


# The work goes on beside the page.


@pytest.fixture
def endless(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lab reads until it is told to stop; the names that it was begun with."""
    begun: list[str] = []

    def reads(
        path: Path, options: LabOptions, on_progress: Callable, cancelled: Callable, content: object
    ) -> LabReport:
        begun.append(path.name)
        on_progress(path.name, 2_000, 0.25)
        while not cancelled():
            time.sleep(0.01)
        raise Cancelled("stopped")

    monkeypatch.setattr(lab_job, "examined", reads)
    monkeypatch.setattr(jobs, "SOON_S", 0.05)
    return begun


def test_a_log_that_takes_long_shows_progress_goes_on_through_reruns_and_is_cancelled(
    page: AppTest, endless: list[str]
) -> None:
    page.file_uploader[0].set_value(("large.jsonl", lines().encode(), "")).run()
    page.button(key="lab-examine").click().run()
    for _ in range(3):
        page.run()
    assert endless == ["large.jsonl"], "a rerun does not begin again"
    (bar,) = page.get("progress")
    assert (bar.proto.value, "2,000 lines" in bar.proto.text) == (25, True)
    assert page.button(key="lab-examine").disabled
    page.button(key="lab-cancel").click().run()
    through(page)
    assert "Stopped. Nothing of the log is kept." in page_text(page)
    assert not page.metric


def test_the_lab_itself_stops_when_it_is_told_to() -> None:
    job = job_of(lines(5_000))
    job.stop.set()
    job.run()
    assert job.was_stopped and job.found is None and job.work is None


def test_a_fault_of_ours_tells_where_and_quotes_nothing(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> LabReport:
        raise KeyError(SECRET)

    monkeypatch.setattr(lab_job, "examined", fails)
    job = job_of(lines())
    job.run()
    assert "KeyError" in job.problem and "in fails" in caplog.text
    assert SECRET not in job.problem + caplog.text


def job_of(content: str) -> jobs.Job:
    options = LabOptions(embedder="lexical", is_semantic_wanted=False)
    return lab_job.job_of(("", options), Path("log.jsonl"), BytesIO(content.encode()))
