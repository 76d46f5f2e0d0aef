"""The shipped catalogue: it loads, cites its sources, gives the known answers and avoids the data sheets' traps."""

import tomllib
from collections.abc import Mapping
from datetime import date
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from costlib.capacity import plain_name
from costlib.catalog import Catalog, catalog_from
from costlib.hardware import GpuSpec, Precision
from costlib.models import AttentionKind, AttentionLayers, ModelSpec
from costlib.pricing import GpuPrice, PriceKind, TokenPrice, price_at

CATALOG_FOLDER = Path(__file__).parents[2] / "data" / "catalog"
GIB = 2**30


def documents(folder: str) -> dict[str, Mapping[str, Any]]:
    """The TOML files of one catalogue folder, by file stem."""
    return {
        path.stem: tomllib.loads(path.read_text(encoding="utf-8")) for path in (CATALOG_FOLDER / folder).glob("*.toml")
    }


@cache
def catalog() -> Catalog:
    return catalog_from(documents("gpus"), documents("models"), documents("prices"), documents("instances"), {})


def every_price() -> tuple[GpuPrice | TokenPrice, ...]:
    return (*catalog().gpu_prices, *catalog().token_prices)


def every_entry() -> tuple[GpuSpec | ModelSpec | GpuPrice | TokenPrice, ...]:
    return (*catalog().gpus, *catalog().models, *every_price())


def gpu(key: str) -> GpuSpec:
    return catalog().gpu(key)


def model(key: str) -> ModelSpec:
    return catalog().model(key)


def peaks(key: str) -> dict[Precision, float]:
    return dict(gpu(key).dense_flop_per_s)


def ridge(key: str) -> float:
    """Dense bf16 FLOP per byte of memory traffic at which compute and memory take equally long."""
    return peaks(key)[Precision.BF16] / gpu(key).hbm_bytes_per_s


def cached_elements_per_token(group: AttentionLayers) -> int:
    """What one more token adds to the cache in this group of layers, before any window is full."""
    match group.kind:
        case AttentionKind.LINEAR:
            return 0
        case AttentionKind.MLA:
            return group.layers_count * (group.latent_rank_count + group.rope_dim_count)
        case _:
            return group.layers_count * 2 * group.kv_heads_count * group.head_dim_count


def kv_bytes_per_token_bf16(spec: ModelSpec) -> int:
    return 2 * sum(cached_elements_per_token(group) for group in spec.attention)


def every_gpu() -> list[str]:
    return sorted(documents("gpus"))


def every_model() -> list[str]:
    return sorted(documents("models"))


def groups_of(key: str, kind: AttentionKind) -> list[AttentionLayers]:
    return [group for group in model(key).attention if group.kind is kind]


class TestWhatShips:
    def test_enough_gpus_and_models(self) -> None:
        assert len(catalog().gpus) >= 16
        assert len(catalog().models) >= 14

    def test_every_way_of_buying_gpu_hours_has_prices(self) -> None:
        kinds = [price.kind for price in catalog().gpu_prices]
        assert kinds.count(PriceKind.ON_DEMAND) >= 20
        assert kinds.count(PriceKind.RESERVED) >= 2
        assert kinds.count(PriceKind.SPOT) >= 3

    def test_token_prices_of_several_providers(self) -> None:
        assert len(catalog().token_prices) >= 15
        assert len({price.provider for price in catalog().token_prices}) >= 3

    def test_a_provider_is_its_file(self) -> None:
        for stem, document in documents("prices").items():
            assert document["provider"] == stem

    def test_no_key_serves_two_offers(self) -> None:
        """One key is one offer through time: provider, GPU, place, instance and kind stay the same."""
        by_key = sorted(catalog().gpu_prices, key=lambda price: price.key)
        for key, entries in groupby(by_key, key=lambda price: price.key):
            history = list(entries)
            offers = {(p.provider, p.gpu_key, p.region, p.kind, p.instance_type) for p in history}
            assert len(offers) == 1, key
            assert len({p.valid_from for p in history}) == len(history), key

    def test_a_token_key_is_used_once_per_day(self) -> None:
        entries = [(price.key, price.valid_from) for price in catalog().token_prices]
        assert len(set(entries)) == len(entries)

    def test_price_keys_start_with_the_provider(self) -> None:
        for price in every_price():
            assert price.key.startswith(f"{price.provider}-"), price.key


class TestSources:
    def test_every_entry_names_a_source_that_can_be_opened(self) -> None:
        for entry in every_entry():
            assert any(source.url.startswith("https://") for source in entry.sources), entry.key

    def test_no_price_starts_after_it_was_read(self) -> None:
        for price in every_price():
            assert all(price.valid_from <= source.retrieved_on for source in price.sources), price.key

    def test_sources_were_read_for_this_catalogue(self) -> None:
        assert all(source.retrieved_on >= date(2026, 1, 1) for entry in every_entry() for source in entry.sources)

    def test_a_missing_cached_rate_is_said_to_be_missing(self) -> None:
        """Cached input at the price of input is either a rate or the lack of one: the note tells."""
        for price in catalog().token_prices:
            if price.usd_per_mtok_cached_input == price.usd_per_mtok_input:
                assert any("no cached rate" in source.note for source in price.sources), price.key

    def test_no_machine_and_no_package_host_is_named(self) -> None:
        for path in CATALOG_FOLDER.rglob("*.toml"):
            text = path.read_text(encoding="utf-8")
            for word in ("/work/", "/home/", "/tmp/", "pypi." + "org", "python" + "hosted", "localhost"):
                assert word not in text, f"{word} in {path.name}"


class TestKnownAnswersOfGpus:
    @pytest.mark.parametrize(("key", "flop_per_byte"), [("a100-sxm-80gb", 153), ("h100-sxm", 295), ("h200-sxm", 206)])
    def test_ridge(self, key: str, flop_per_byte: int) -> None:
        assert ridge(key) == pytest.approx(flop_per_byte, rel=0.005)

    @pytest.mark.parametrize(
        ("key", "gib"), [("a100-sxm-40gb", 40), ("a100-sxm-80gb", 80), ("h100-sxm", 80), ("mi300x", 192)]
    )
    def test_memory_on_an_hbm_sheet_is_binary(self, key: str, gib: int) -> None:
        assert gpu(key).hbm_bytes == gib * GIB

    @pytest.mark.parametrize(
        ("key", "sheet_gb"), [("t4", 16), ("a10g", 24), ("l4", 24), ("l40s", 48), ("rtx-pro-6000-se", 96)]
    )
    def test_memory_of_a_graphics_card_is_what_the_driver_leaves(self, key: str, sheet_gb: int) -> None:
        assert 0.9 * sheet_gb * GIB < gpu(key).hbm_bytes < sheet_gb * GIB

    def test_links(self) -> None:
        assert gpu("a100-sxm-80gb").link_bytes_per_s == 600e9
        assert gpu("h100-sxm").link_bytes_per_s == 900e9
        assert gpu("b200").link_bytes_per_s == 1800e9

    @pytest.mark.parametrize("key", ["t4", "a10g", "l4", "l40s", "rtx-pro-6000-se"])
    def test_no_nvlink(self, key: str) -> None:
        assert gpu(key).link_bytes_per_s == 0


class TestTrapsOfDataSheets:
    @pytest.mark.parametrize("key", every_gpu())
    def test_every_sheet_warns(self, key: str) -> None:
        assert gpu(key).trap.endswith(".")

    @pytest.mark.parametrize(
        ("key", "precision", "sparse_headline"),
        [
            ("l4", Precision.BF16, 242e12),
            ("l40s", Precision.BF16, 733e12),
            ("l40s", Precision.FP8, 1466e12),
            ("a100-sxm-80gb", Precision.BF16, 624e12),
            ("h100-sxm", Precision.BF16, 1979e12),
            ("h100-sxm", Precision.FP8, 3958e12),
            ("h100-pcie", Precision.FP8, 3026e12),
            ("h200-sxm", Precision.FP8, 3958e12),
            ("b200", Precision.FP8, 9000e12),
            ("b200", Precision.FP4, 18000e12),
            ("rtx-pro-6000-se", Precision.FP4, 4000e12),
            ("mi300x", Precision.FP8, 5229e12),
        ],
    )
    def test_peaks_are_dense(self, key: str, precision: Precision, sparse_headline: float) -> None:
        assert peaks(key)[precision] < 0.55 * sparse_headline

    def test_h100_fp8_is_below_two_petaflops(self) -> None:
        assert peaks("h100-sxm")[Precision.FP8] < 2.0e15

    @pytest.mark.parametrize("key", every_gpu())
    def test_fp8_is_at_most_twice_bf16_and_fp4_at_most_twice_fp8(self, key: str) -> None:
        """A sparse figure beside a dense one would show as a factor of four. B300's FP4 is truly 3.1 times its fp8."""
        rates = peaks(key)
        if Precision.FP8 in rates:
            assert rates[Precision.FP8] <= 2.05 * rates[Precision.BF16]
        if Precision.FP4 in rates and key != "b300":
            assert rates[Precision.FP4] <= 2.05 * rates[Precision.FP8]

    def test_h200_computes_as_h100_does(self) -> None:
        assert peaks("h200-sxm") == peaks("h100-sxm")
        assert gpu("h200-sxm").hbm_bytes_per_s > gpu("h100-sxm").hbm_bytes_per_s

    def test_mi325x_computes_as_mi300x_does(self) -> None:
        assert peaks("mi325x") == peaks("mi300x")

    @pytest.mark.parametrize("key", ["t4", "a10g", "a100-sxm-40gb", "a100-sxm-80gb", "a100-pcie-80gb"])
    def test_before_ada_there_is_no_fp8(self, key: str) -> None:
        assert not gpu(key).computes_in(Precision.FP8)
        assert gpu(key).peak_flop_per_s(Precision.FP8) == peaks(key)[Precision.BF16]

    @pytest.mark.parametrize("key", every_gpu())
    def test_only_blackwell_and_cdna4_compute_in_fp4(self, key: str) -> None:
        newest = gpu(key).architecture.startswith("Blackwell") or gpu(key).architecture == "CDNA 4"
        assert gpu(key).computes_in(Precision.FP4) == newest

    @pytest.mark.parametrize("key", every_gpu())
    def test_int4_is_weight_only_everywhere(self, key: str) -> None:
        assert not gpu(key).computes_in(Precision.INT4)

    def test_a10g_is_not_a10(self) -> None:
        assert peaks("a10g")[Precision.BF16] == pytest.approx(70e12, rel=0.05)
        assert gpu("a10g").board_w == 300

    def test_b300_gave_up_int8_and_kept_fp4(self) -> None:
        assert peaks("b300")[Precision.INT8] < 0.05 * peaks("b200")[Precision.INT8]
        assert peaks("b300")[Precision.FP4] == 14e15

    def test_the_server_card_is_slower_than_the_workstation_card(self) -> None:
        assert gpu("rtx-pro-6000-se").hbm_bytes_per_s == pytest.approx(1.597e12)

    def test_h100_nvl_and_gb200_are_one_gpu(self) -> None:
        assert gpu("h100-nvl").hbm_bytes < 100 * GIB
        assert gpu("gb200").hbm_bytes < 200 * GIB


class TestMig:
    @pytest.mark.parametrize(
        "key", ["a100-sxm-40gb", "a100-sxm-80gb", "h100-pcie", "h100-sxm", "h100-nvl", "h200-sxm", "gh200", "b200"]
    )
    def test_seven_slices(self, key: str) -> None:
        """Compute in sevenths, memory and its bandwidth in eighths; seven of the smallest leave an eighth of memory."""
        smallest = gpu(key).mig[0]
        assert smallest.max_instances_count == 7
        assert smallest.compute_fraction == pytest.approx(1 / 7)
        assert smallest.hbm_bandwidth_fraction == 1 / 8
        for profile in gpu(key).mig:
            assert profile.compute_fraction * 7 == pytest.approx(round(profile.compute_fraction * 7))
            assert profile.hbm_bandwidth_fraction * 8 == round(profile.hbm_bandwidth_fraction * 8)

    @pytest.mark.parametrize("key", every_gpu())
    def test_a_full_set_is_not_more_than_the_gpu(self, key: str) -> None:
        for profile in gpu(key).mig:
            count = profile.max_instances_count
            assert count * profile.compute_fraction <= 1 + 1e-9
            assert count * profile.hbm_bytes <= gpu(key).hbm_bytes
            assert count * profile.hbm_bandwidth_fraction <= 1

    @pytest.mark.parametrize("key", every_gpu())
    def test_the_name_of_a_profile_tells_its_memory(self, key: str) -> None:
        for profile in gpu(key).mig:
            named_gib = float(profile.key.split(".")[1].removesuffix("gb"))
            assert profile.hbm_bytes / GIB == pytest.approx(named_gib, rel=0.05)

    @pytest.mark.parametrize("key", ["t4", "a10g", "l4", "l40s", "mi300x", "mi325x", "mi355x"])
    def test_no_mig_where_there_is_none(self, key: str) -> None:
        assert gpu(key).mig == ()


class TestKnownAnswersOfModels:
    @pytest.mark.parametrize(
        ("key", "expected_bytes"), [("llama-3.1-8b", 131_072), ("llama-3.3-70b", 327_680), ("deepseek-v3", 70_272)]
    )
    def test_cache_of_one_token(self, key: str, expected_bytes: int) -> None:
        assert kv_bytes_per_token_bf16(model(key)) == expected_bytes

    @pytest.mark.parametrize(
        ("key", "billions"),
        [
            ("llama-3.1-8b", 8.03),
            ("llama-3.3-70b", 70.55),
            ("llama-3.1-405b", 405.85),
            ("mixtral-8x7b", 46.7),
            ("qwen3-32b", 32.8),
            ("qwen3-30b-a3b", 30.5),
            ("qwen3-235b-a22b", 235.1),
            ("deepseek-v3", 671.0),
            ("gpt-oss-120b", 116.8),
            ("gpt-oss-20b", 20.9),
        ],
    )
    def test_parameters(self, key: str, billions: float) -> None:
        assert model(key).total_params_count / 1e9 == pytest.approx(billions, rel=0.002)

    @pytest.mark.parametrize(
        ("key", "billions"),
        [
            ("mixtral-8x7b", 12.88),
            ("qwen3-30b-a3b", 3.3),
            ("qwen3-235b-a22b", 22.2),
            ("deepseek-v3", 37),
            ("gpt-oss-120b", 5.1),
        ],
    )
    def test_active_parameters(self, key: str, billions: float) -> None:
        assert model(key).active_params_count / 1e9 == pytest.approx(billions, rel=0.02)

    @pytest.mark.parametrize(
        ("key", "layers"),
        [("llama-3.1-405b", 126), ("deepseek-v3", 61), ("gemma-3-27b", 62), ("qwen3-next-80b-a3b", 48)],
    )
    def test_layers(self, key: str, layers: int) -> None:
        assert model(key).layers_count == layers


class TestAttentionLayouts:
    @pytest.mark.parametrize("key", every_model())
    def test_each_kind_says_what_it_needs_and_no_more(self, key: str) -> None:
        for group in model(key).attention:
            heads = group.kv_heads_count > 0 and group.head_dim_count > 0
            match group.kind:
                case AttentionKind.FULL:
                    assert heads and group.window_tokens == 0
                case AttentionKind.SLIDING:
                    assert heads and 0 < group.window_tokens < model(key).max_context_tokens
                case AttentionKind.MLA:
                    assert group.latent_rank_count > 0 and group.rope_dim_count > 0
                case AttentionKind.LINEAR:
                    assert group.state_bytes > 0

    @pytest.mark.parametrize("key", every_model())
    def test_query_heads_share_kv_heads_evenly(self, key: str) -> None:
        for group in model(key).attention:
            if group.kv_heads_count:
                assert model(key).heads_count % group.kv_heads_count == 0

    def test_mistral_v03_has_no_window(self) -> None:
        assert groups_of("mistral-7b-v0.3", AttentionKind.SLIDING) == []

    @pytest.mark.parametrize("key", ["gpt-oss-120b", "gpt-oss-20b"])
    def test_gpt_oss_alternates(self, key: str) -> None:
        (sliding,), (full,) = groups_of(key, AttentionKind.SLIDING), groups_of(key, AttentionKind.FULL)
        assert sliding.layers_count == full.layers_count
        assert sliding.window_tokens == 128

    def test_gemma_has_five_sliding_layers_to_one_full(self) -> None:
        (sliding,), (full,) = (
            groups_of("gemma-3-27b", AttentionKind.SLIDING),
            groups_of("gemma-3-27b", AttentionKind.FULL),
        )
        assert full.layers_count == (sliding.layers_count + full.layers_count) // 6
        assert sliding.window_tokens == 1024

    def test_the_hybrid_keeps_a_state_of_constant_size(self) -> None:
        """Gated DeltaNet in 16 bit: 32 heads of 128 x 128, and three past tokens of 8,192 convolution channels."""
        (linear,) = groups_of("qwen3-next-80b-a3b", AttentionKind.LINEAR)
        assert linear.layers_count == 36
        assert linear.state_bytes == 2 * (32 * 128 * 128 + 3 * 8192)
        assert kv_bytes_per_token_bf16(model("qwen3-next-80b-a3b")) == 12 * 2 * 2 * 256 * 2

    def test_native_precisions(self) -> None:
        assert model("deepseek-v3").native_precision is Precision.FP8
        assert model("gpt-oss-120b").native_precision is Precision.FP4
        assert model("llama-3.1-8b").native_precision is Precision.BF16


class TestParameters:
    @pytest.mark.parametrize("key", every_model())
    def test_no_token_passes_more_than_all(self, key: str) -> None:
        assert 0 < model(key).active_params_count <= model(key).total_params_count

    @pytest.mark.parametrize("key", every_model())
    def test_experts_are_stated_fully_or_not_at_all(self, key: str) -> None:
        spec = model(key)
        assert (spec.experts_count > 0) == (spec.active_experts_count > 0)
        assert spec.active_experts_count <= spec.experts_count
        if spec.is_moe:
            assert spec.active_params_count < 0.3 * spec.total_params_count
        else:
            assert spec.active_params_count > 0.95 * spec.total_params_count


class TestPrices:
    def test_the_price_of_an_h100_hour(self) -> None:
        assert price_at(catalog().gpu_prices, "aws-h100-sxm-on-demand", date(2026, 11, 21)).usd_per_gpu_hour == 6.88
        assert price_at(catalog().gpu_prices, "lambda-h100-sxm-on-demand", date(2026, 11, 21)).usd_per_gpu_hour == 3.99

    def test_history_is_kept(self) -> None:
        prices = catalog().gpu_prices
        assert price_at(prices, "runpod-h100-sxm-on-demand", date(2026, 9, 1)).usd_per_gpu_hour == 3.29
        assert price_at(prices, "runpod-h100-sxm-on-demand", date(2026, 11, 1)).usd_per_gpu_hour == 3.99

    def test_a_gpu_hour_costs_between_cents_and_tens_of_dollars(self) -> None:
        """A whole instance divided by too few GPUs, or a monthly price, would fall outside."""
        assert all(0.2 < price.usd_per_gpu_hour < 30 for price in catalog().gpu_prices)

    @pytest.mark.parametrize("kind", [PriceKind.RESERVED, PriceKind.SPOT])
    def test_commitment_and_interruption_are_cheaper_than_on_demand(self, kind: PriceKind) -> None:
        prices = catalog().gpu_prices
        pairs = [
            (price, other)
            for price in prices
            if price.kind is kind
            for other in prices
            if (other.kind, other.provider, other.gpu_key) == (PriceKind.ON_DEMAND, price.provider, price.gpu_key)
        ]
        assert pairs
        for price, other in pairs:
            assert price.usd_per_gpu_hour < other.usd_per_gpu_hour, (price.key, other.key)

    @pytest.mark.parametrize(
        ("key", "usd_input", "usd_output"),
        [
            ("together-llama-3.3-70b", 0.88, 0.88),
            ("groq-llama-3.3-70b", 0.59, 0.79),
            ("groq-gpt-oss-120b", 0.15, 0.60),
            ("deepseek-deepseek-v3", 0.27, 1.10),
        ],
    )
    def test_token_prices(self, key: str, usd_input: float, usd_output: float) -> None:
        price = price_at(catalog().token_prices, key, date(2026, 11, 21))
        assert (price.usd_per_mtok_input, price.usd_per_mtok_output) == (usd_input, usd_output)

    def test_cached_input_is_never_dearer_than_input_nor_input_than_output(self) -> None:
        for price in catalog().token_prices:
            assert 0 < price.usd_per_mtok_cached_input <= price.usd_per_mtok_input <= price.usd_per_mtok_output, (
                price.key
            )


class TestInstances:
    @pytest.mark.parametrize(
        ("key", "gpu_key", "gpus_count"),
        [
            ("p4d.24xlarge", "a100-sxm-40gb", 8),
            ("p4de.24xlarge", "a100-sxm-80gb", 8),
            ("p5.48xlarge", "h100-sxm", 8),
            ("ml.p5en.48xlarge", "h200-sxm", 8),
            ("g5.12xlarge", "a10g", 4),
            ("g6e.48xlarge", "l40s", 8),
            ("p6-b300.48xlarge", "b300", 8),
            ("Standard_ND96isr_H100_v5", "h100-sxm", 8),
            ("ND96isr H100 v5", "h100-sxm", 8),
            ("standard_nc40ads_h100_v5", "h100-nvl", 1),
            ("a3-highgpu-8g", "h100-sxm", 8),
            ("a2-megagpu-16g", "a100-sxm-40gb", 16),
            ("g2-standard-48", "l4", 4),
            ("BM.GPU.H100.8", "h100-sxm", 8),
            ("BM.GPU4.8", "a100-sxm-40gb", 8),
            ("gd-8xh100ib-i128", "h100-sxm", 8),
            ("gpu_8x_h100_sxm5", "h100-sxm", 8),
            ("dgx-h100", "h100-sxm", 8),
        ],
    )
    def test_an_instance_type_is_known_in_every_spelling(self, key: str, gpu_key: str, gpus_count: int) -> None:
        found = catalog().instances[plain_name(key)]
        assert (found.gpu_key, found.gpus_count) == (gpu_key, gpus_count)

    def test_every_gpu_is_one_of_the_catalogue_or_said_to_be_none(self) -> None:
        keys = {gpu.key for gpu in catalog().gpus}
        assert {found.gpu_key for found in catalog().instances.values()} - {""} <= keys

    def test_a_machine_has_at_most_sixteen_gpus_and_a_slice_is_part_of_one(self) -> None:
        for found in catalog().instances.values():
            assert 0 < found.gpus_count < 1 or found.gpus_count in (1, 2, 4, 8, 16), found.key

    def test_every_table_names_its_page(self) -> None:
        assert all(source.url for found in catalog().instances.values() for source in found.sources)

    def test_a_price_is_of_the_gpus_that_its_instance_has(self) -> None:
        for price in catalog().gpu_prices:
            if found := catalog().instances.get(plain_name(price.instance_type)):
                assert found.gpu_key == price.gpu_key, price.key
