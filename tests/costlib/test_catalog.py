"""The catalogue's parser: strict about keys, kinds and sources, and clear about which entry is wrong."""

from copy import deepcopy
from datetime import date

import pytest

from costlib.catalog import Catalog, catalog_from
from costlib.errors import ConfigError, UnknownKey
from costlib.hardware import Precision
from costlib.models import AttentionKind
from tests.costlib.scenario_builders import SHIPPED, TOY_GPU, TOY_MODEL

SOURCES = [{"title": "a data sheet", "retrieved_on": date(2026, 11, 21)}]
GPU = {
    "name": "G", "vendor": "v", "architecture": "a", "hbm_bytes": 80e9, "hbm_bytes_per_s": 2e12,
    "dense_flop_per_s": {"bf16": 3e14, "fp8": 6e14}, "link_bytes_per_s": 0, "host_link_bytes_per_s": 64e9,
    "board_w": 400, "sources": SOURCES,
}  # fmt: skip
MODEL = {
    "name": "M", "total_params_count": 7e9, "active_params_count": 7e9, "hidden_size_count": 4096, "heads_count": 32,
    "max_context_tokens": 8192, "native_precision": "bf16", "sources": SOURCES,
    "attention": [{"kind": "full", "layers_count": 32, "kv_heads_count": 8, "head_dim_count": 128}],
}  # fmt: skip
PRICE = {
    "key": "p", "gpu_key": "g", "region": "any", "kind": "spot", "usd_per_gpu_hour": 1, "sources": SOURCES,
    "valid_from": date(2026, 1, 1),
}  # fmt: skip


INSTANCES = {"provider": "me", "sources": SOURCES, "gpu": [{"gpu_key": "g", "gpus_count": {"big.8": 8, "slice": 0.5}}]}


def catalog(gpu=GPU, model=MODEL, prices=None, instances=INSTANCES):
    prices = {"gpu_hour": [PRICE]} if prices is None else prices
    return catalog_from({"g": gpu}, {"m": model}, {"me": prices}, {"me": instances}, {})


def without(entry, key):
    return {name: value for name, value in entry.items() if name != key}


def rented(**changes):
    return {**INSTANCES, "gpu": [{**INSTANCES["gpu"][0], **changes}]}


def test_entries_are_typed_and_keyed_by_their_file():
    parsed = catalog()
    assert dict(parsed.gpu("g").dense_flop_per_s) == {Precision.BF16: 3e14, Precision.FP8: 6e14}
    assert parsed.gpu("g").sources[0].retrieved_on == date(2026, 11, 21)
    assert (parsed.model("m").layers_count, parsed.model("m").attention[0].kind) == (32, AttentionKind.FULL)
    assert (parsed.gpu_prices[0].provider, parsed.gpu_prices[0].usd_per_gpu_hour) == ("me", 1.0)
    assert (parsed.instances["big8"].gpu_key, parsed.instances["slice"].gpus_count) == ("g", 0.5)


@pytest.mark.parametrize(
    ("changes", "kind", "message"),
    [
        ({"gpu": {**GPU, "hbm_byte": 1}}, UnknownKey, r"'hbm_byte' in gpus/g.toml. Did you mean 'hbm_bytes'"),
        ({"gpu": without(GPU, "board_w")}, ConfigError, r"gpus/g.toml: board_w missing"),
        ({"gpu": {**GPU, "board_w": "hot"}}, ConfigError, r"gpus/g.toml board_w: expected a finite number, not 'hot'"),
        ({"gpu": {**GPU, "name": 3}}, ConfigError, r"gpus/g.toml name: expected a str, not 3"),
        ({"gpu": {**GPU, "dense_flop_per_s": {"fp8": 1e14}}}, ConfigError, r"needs at least bf16"),
        ({"gpu": {**GPU, "dense_flop_per_s": {"bf16": 1, "fp7": 1}}}, UnknownKey, r"unknown Precision 'fp7'"),
        ({"gpu": without(GPU, "sources")}, ConfigError, r"gpus/g.toml g: needs at least one \[\[sources\]\]"),
        (
            {"gpu": {**GPU, "sources": [{**SOURCES[0], "fields": ["hbm_bytes"]}]}},
            ConfigError,
            r"no source covers board_w, dense_flop_per_s, hbm_bytes_per_s",
        ),
        ({"gpu": {**GPU, "sources": [{"title": "x"}]}}, ConfigError, r"\[\[sources\]\]: retrieved_on missing"),
        ({"model": without(MODEL, "attention")}, ConfigError, r"models/m.toml: needs at least one \[\[attention\]\]"),
        ({"model": {**MODEL, "heads_count": 31.5}}, ConfigError, r"heads_count: expected a whole number, not 31.5"),
        ({"prices": {"gpu_hour": [{**PRICE, "gpu_key": "h"}]}}, UnknownKey, r"unknown GPU 'h'"),
        ({"prices": {"gpu_hours": []}}, UnknownKey, r"'gpu_hours' in prices/me.toml. Did you mean 'gpu_hour'"),
        ({"prices": {"gpu_hour": [{**PRICE, "kind": "lease"}]}}, UnknownKey, r"Known: on_demand, reserved, spot"),
        ({"prices": {"gpu_hour": [{**PRICE, "valid_from": "today"}]}}, ConfigError, r"expected a date, not 'today'"),
        ({"instances": rented(gpu_key="h")}, UnknownKey, r"unknown GPU 'h'"),
        ({"instances": rented(gpu_keys="g")}, UnknownKey, r"instances/me.toml \[\[gpu\]\]. Did you mean 'gpu_key'"),
        ({"instances": rented(gpus_count={"x": 0})}, ConfigError, r"instances/me.toml x: .* more than 0 GPUs, not 0"),
        ({"instances": rented(gpus_count={"x": "8"})}, ConfigError, r"gpus_count: expected a finite number, not '8'"),
        ({"instances": rented(gpus_count=8)}, ConfigError, r"instances/me.toml \[gpu.gpus_count\]: expected a table"),
        ({"instances": rented(gpus_count={"nd8 a": 1, "ND8_a": 2})}, ConfigError, r"me ND8_a is me nd8 a again"),
        ({"instances": without(INSTANCES, "sources")}, ConfigError, r"big.8: needs at least one \[\[sources\]\]"),
        ({"instances": {**INSTANCES, "gpus": []}}, UnknownKey, r"'gpus' in instances/me.toml. Did you mean 'gpu'"),
    ],
)
def test_a_wrong_entry_is_refused_by_file_and_key(changes, kind, message):
    with pytest.raises(kind, match=message):
        catalog(**deepcopy(changes))


def test_a_users_entry_stands_in_front_of_the_shipped_one():
    own = Catalog(gpus=(TOY_GPU,), models=(TOY_MODEL,))
    merged = SHIPPED.with_entries(own)
    assert merged.gpu("toy-gpu") is TOY_GPU
    assert merged.model("toy-10b") is TOY_MODEL
    assert len(merged.gpus) == len(SHIPPED.gpus) + 1
    assert SHIPPED.with_entries(Catalog()) == SHIPPED


def test_unknown_entries_are_answered_with_the_nearest():
    with pytest.raises(UnknownKey, match=r"unknown GPU 'h100-sxm5'. Did you mean 'h100-sxm'"):
        SHIPPED.gpu("h100-sxm5")
    with pytest.raises(UnknownKey, match=r"unknown model 'mixtral-8x7'. Did you mean 'mixtral-8x7b'"):
        SHIPPED.model("mixtral-8x7")
