"""Our commands under the parser of a real vLLM: it takes what we write, and refuses what the table says is gone."""

from datetime import date

import pytest

from collectors.vllm.own_parser import OwnParser, ask
from costlib.compare import apply_levers
from costlib.flag_table import Standing
from costlib.flag_translation import translate
from costlib.flags import commands
from costlib.levers import LEVERS
from store.catalog_files import SAMPLE_SCENARIO, load_scenario
from store.vllm_flags import load_flag_table
from tests.live.servers import vllm_python

PYTHON = vllm_python()
pytestmark = pytest.mark.skipif(not PYTHON, reason="no vLLM for CPUs in .venv-live; ./dev test-live puts it there")
TABLE = load_flag_table()
RELEASE = TABLE.at("0.32.0")  # tests/live/requirements.lock
OLD = (
    "python -m vllm.entrypoints.openai.api_server --model a/b --speculative-model c/d --num-speculative-tokens 5 "
    "--speculative-draft-tensor-parallel-size 1 --use-v2-block-manager --swap-space 4 --enable-chunked-prefill "
    "--max_chunked_prefill_tokens 512 --guided-decoding-backend outlines --disable-log-requests -q gptq_marlin -tp 2"
)


def parsed(*lines: tuple[str, ...]) -> OwnParser:
    told = ask(lines, str(PYTHON))
    assert told.unavailable == ""
    return told


def test_it_takes_what_every_lever_writes_and_what_an_old_line_became() -> None:
    file = load_scenario(SAMPLE_SCENARIO, date(2026, 11, 21))
    written = []
    for lever in LEVERS:
        for param in lever.params:
            options = param.options(file.today, file.catalog) if hasattr(param, "options") else ()
            for value in [{}, *({param.key: option.value} for option in options if not option.blocked)]:
                asked = {**{one.key: True for one in lever.params if one.neutral is False}, **value}
                settings = {lever.key: lever.check_values(asked, file.today, file.catalog)}
                if lever.is_neutral(settings[lever.key]):
                    continue
                if lever.refuse(file.today, settings[lever.key], file.catalog) is None:
                    changed = apply_levers(file.today, settings, file.catalog)
                    written += [one.scenario for one in commands(file.today, changed, file.catalog, RELEASE)]
    lines = sorted({one.words for one in written if one is not None})
    assert len(lines) > 50
    told = parsed(*lines, translate(OLD, RELEASE).words)
    assert told.release.startswith("0.32")
    assert {line: why for line, why in zip([*lines, "old"], told.refusals, strict=True) if why} == {}


def test_it_refuses_what_the_table_says_is_gone() -> None:
    gone = [name for name in TABLE.gone if RELEASE.flag(name).standing is Standing.ABSENT]
    assert len(gone) > 30
    told = parsed(*(("vllm", "serve", "a/b", name, "1") for name in gone))
    assert [name for name, why in zip(gone, told.refusals, strict=True) if not why] == []


def test_it_knows_every_option_of_the_front_end_that_the_table_names() -> None:
    names = sorted(TABLE.frontend)
    told = parsed(*(("vllm", "serve", "a/b", name) for name in names))
    assert [name for name, why in zip(names, told.refusals, strict=True) if "unrecognized" in why] == []
