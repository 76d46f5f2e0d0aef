"""The whole lab on one log: what it reports, what it never says, and the link that it gives."""

import io
import json
from pathlib import Path
from typing import Any

import pytest

from costlib.errors import Cancelled, ConfigError
from costlib.estimate import Basis, Undefined
from costlib.jsonable import jsonable
from costlib.levers import lever as lever_of
from lab.link import link_of, settings_of
from lab.report import LabOptions, LabReport, examined
from lab.text import report_text
from store.catalog_files import SAMPLE_SCENARIO, load_catalog, load_scenario
from tests.store.builders import NOON
from ui.links import VERSION, query

SECRET = "Xanthippe"
LEXICAL = LabOptions(embedder="lexical")


def requests(count: int = 200) -> list[dict[str, Any]]:
    """Instructions of 400 letters that all share, and every fourth question asked before."""
    system = f"You help {SECRET} with her bills. " * 12
    return [
        {
            "messages": [
                {"role": "system", "content": system},
                {"role": "user", "content": f"{SECRET} asks: what was bill {number - number % 4 // 3}?"},
            ],
            "model": "a-70b" if number % 5 == 0 else "a-8b",
            "tenant": "t",
            "timestamp": 1_793_491_200 + number,
            "output": f"It was {number} dollars, {SECRET}.",
            "max_tokens": 100,
            "usage": {"prompt_tokens": 120, "completion_tokens": 9},
        }
        for number in range(count)
    ]


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in requests()) + "{broken\n", encoding="utf-8")
    return path


@pytest.fixture
def found(log: Path) -> LabReport:
    return examined(log, LEXICAL)


def test_everything_is_measured_in_one_pass(found: LabReport) -> None:
    assert (found.requests_count, found.lines_count, found.broken_count, found.format_key) == (200, 201, 1, "plain")
    assert found.token_basis is Basis.CALIBRATED
    assert found.prompt_tokens == pytest.approx(200 * 120, rel=0.05)
    assert found.exact.hit_fraction == 0.15  # every fourth question, less the 20 that went to another model
    assert isinstance(found.prefix.hit_fraction, float) and 0.75 < found.prefix.hit_fraction < 1
    assert found.repeats.repeated_fraction > 0.5
    assert found.outputs.mean_tokens == 9
    assert found.turns.conversations_count == 200


def test_nothing_of_a_prompt_or_an_answer_is_in_report_or_text(found: LabReport) -> None:
    for text in (json.dumps(jsonable(found)), report_text(found), repr(found)):
        assert SECRET not in text and "dollars" not in text


def test_text_that_repeats_is_shown_only_when_asked_for(log: Path) -> None:
    assert SECRET in report_text(examined(log, LabOptions(embedder="lexical", show_text=True)))


def test_the_link_sets_what_is_known_well_enough(found: LabReport) -> None:
    assert found.link.startswith("?v=2&prefix_caching.enabled=true&prefix_caching.hit_fraction=")
    assert "semantic_cache" not in found.link, "shared words are no meaning"
    assert {reading.lever for reading in found.readings if not reading.is_pulled} >= {"semantic_cache"}


def test_every_value_is_one_that_its_lever_takes(found: LabReport) -> None:
    scenario = load_scenario(SAMPLE_SCENARIO, NOON.date()).today
    for key, values in found.settings.items():
        lever_of(key).check_values(values, scenario, load_catalog())


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"prefix_caching": {"enabled": True, "hit_fraction": 0.62}},
        {"exact_cache": {"enabled": True, "hit_fraction": 0.05}, "semantic_cache": {"wrong_fraction": 0.015}},
        {
            "predictive_routing": {
                "enabled": True, "share_fraction": 0.33, "kept_length_ratio": 1.35, "misrouted_fraction": 0.125,
            }
        },
    ],
)  # fmt: skip
def test_the_link_is_spelt_as_the_page_spells_it(settings: dict[str, dict[str, Any]]) -> None:
    scenario = load_scenario(SAMPLE_SCENARIO, NOON.date()).today
    assert VERSION == 2
    assert link_of(settings) == query(settings, scenario, load_catalog())


def test_a_lever_whose_main_figure_is_not_known_stays_at_rest(found: LabReport) -> None:
    wrong_only = [one for one in found.readings if one.param == "wrong_fraction"]
    assert settings_of(tuple(wrong_only)) == {}


def test_a_tokenizer_file_needs_its_extra_or_a_file_that_it_reads(log: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="tokenizer"):
        examined(log, LabOptions(tokenizer=tmp_path / "missing.json"))


@pytest.mark.parametrize(
    "settings",
    [{"block_tokens": 0}, {"cache_tokens": 16}, {"threshold": 0.0}, {"threshold": 1.5}, {"bytes_per_token": 0.0}],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        LabOptions(**settings)


def test_an_upload_is_read_where_it_lies_in_memory(log: Path, found: LabReport) -> None:
    assert examined(Path(log.name), LEXICAL, content=io.BytesIO(log.read_bytes())) == found


def test_without_the_semantic_cache_the_reason_is_told(log: Path) -> None:
    found = examined(log, LabOptions(is_semantic_wanted=False))
    assert isinstance(found.semantic, Undefined)
    assert "not asked for" in report_text(found)


def test_it_can_be_stopped(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text('{"prompt": "a"}\n' * 3_000, encoding="utf-8")
    with pytest.raises(Cancelled):
        examined(path, LEXICAL, cancelled=lambda: True)


def test_a_log_of_numbers_without_a_word_is_examined_too(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    path.write_text("".join(json.dumps({"prompt": [*range(64), n]}) + "\n" for n in range(20)), encoding="utf-8")
    found = examined(path, LEXICAL)
    assert isinstance(found.prefix.hit_fraction, float) and found.prefix.hit_fraction > 0.9
    assert isinstance(found.routing, Undefined)
    assert report_text(found)
