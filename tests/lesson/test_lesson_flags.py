"""What the lesson switches on is on already."""

import pytest

from costlib.flag_translation import Fate, translate
from store.vllm_flags import load_flag_table


@pytest.mark.parametrize(
    "option",
    [pytest.param("--enable-prefix-caching", id="S59"), pytest.param("--enable-chunked-prefill", id="S46")],
)
def test_what_is_on_by_default_need_not_be_asked_for(option: str) -> None:
    now = load_flag_table().at("0.32.0")
    assert now.is_on_by_default(option)
    (found,) = translate(f"vllm serve llama {option}", now).options
    assert found.fate is Fate.NEEDLESS
