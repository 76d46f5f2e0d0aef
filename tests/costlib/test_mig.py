"""MIG: only placements decide what is legal, and the parts of a GPU cost what the GPU costs."""

from collections import Counter
from dataclasses import replace
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.errors import ConfigError, DomainError, UnknownKey
from costlib.mig import SLACK, as_gpu, commands, dollars, layouts, like_for_like_ratio, mig_table_from, profile_of
from store.catalog_files import DATA, read_toml
from store.mig_files import load_mig_table
from tests.costlib.scenario_builders import CATALOG

TABLE = load_mig_table()
CUT = {gpu.key: layouts(gpu, TABLE) for gpu in CATALOG.gpus if gpu.mig}
A100 = CATALOG.gpu("a100-sxm-80gb")
every_gpu = pytest.mark.parametrize("key", sorted(CUT))
DOCS = {path.stem: read_toml(path) for path in (DATA / "mig").glob("*.toml")}


def keys(gpu: str) -> set[tuple[str, ...]]:
    return {tuple(sorted(layout.profile_keys)) for layout in CUT[gpu]}


def test_every_gpu_with_profiles_has_a_geometry_and_no_other():
    named = [key for geometry in TABLE.geometries for key in geometry.gpu_keys]
    assert sorted(named) == sorted(CUT)
    assert set(CUT) >= {"a100-sxm-40gb", "a100-sxm-80gb", "a30", "h100-sxm", "gh200", "h200-sxm", "b200"}


def test_an_a100_has_the_19_layouts_that_are_often_quoted_and_59_with_the_wide_small_slice():
    """6 ways to fill the left half, 3 the right, and the whole: without 1g.20gb, which came with driver R525."""
    counted = Counter("1g.20gb" in layout.profile_keys for layout in CUT["a100-sxm-80gb"])
    assert counted == {False: 19, True: 59}


@pytest.mark.parametrize(
    ("gpu", "legal"),
    [
        # The lesson, S76: one 7g, two 3g, seven 1g; and those it leaves out.
        ("a100-sxm-80gb", ("7g.80gb",)),
        ("a100-sxm-80gb", ("3g.40gb", "3g.40gb")),
        ("a100-sxm-80gb", ("1g.10gb",) * 7),
        ("a100-sxm-80gb", ("1g.20gb",) * 4),
        ("a100-sxm-80gb", ("3g.40gb", "4g.40gb")),
        ("h100-sxm", ("1g.10gb", "2g.20gb", "2g.20gb", "2g.20gb")),
        ("h200-sxm", ("1g.18gb", "1g.18gb", "2g.35gb", "3g.71gb")),  # 3-2-1-1, an example of NVIDIA's guide
        ("a30", ("1g.6gb", "1g.6gb", "2g.12gb")),
        ("rtx-pro-6000-se", ("1g.24gb", "1g.24gb", "2g.48gb")),
    ],
)
def test_known_layouts_are_found(gpu, legal):
    assert legal in keys(gpu)


@pytest.mark.parametrize(
    ("gpu", "illegal"),
    [
        ("a100-sxm-80gb", ("1g.10gb",) * 8),  # eight eighths of memory are there, an eighth seventh is not
        ("a100-sxm-80gb", ("4g.40gb", "4g.40gb")),
        ("a100-sxm-80gb", ("2g.20gb",) * 4),  # 2g begins at 0, 2 and 4 only
    ],
)
def test_shares_that_add_up_need_not_be_a_layout(gpu, illegal):
    assert illegal not in keys(gpu)


@every_gpu
def test_no_layout_overlaps_and_nothing_fits_in_what_is_left(key):
    for layout in CUT[key]:
        taken = [at for one in layout.instances for at in one.taken]
        assert len(set(taken)) == len(taken)
        assert max(taken) < layout.geometry.memory_slices_count
        assert layout.unused_compute_fraction >= -1e-12, "placements alone keep compute within the GPU"
        assert not any(layout.able(profile) for profile in layout.gpu.mig)


@every_gpu
def test_each_layout_is_listed_once(key):
    assert len({tuple((one.profile.key, one.start) for one in layout.instances) for layout in CUT[key]}) == len(
        CUT[key]
    )


@pytest.mark.parametrize("key", ["a100-sxm-80gb", "a30", "rtx-pro-6000-se"])
@given(price=st.decimals(min_value=0, max_value=100, places=6))
def test_instances_and_what_none_can_use_cost_what_the_gpu_costs(key, price):
    for layout in CUT[key]:
        parts = dollars(layout, price)
        assert sum(part.usd_per_hour for part in parts) == price
        assert [part.name for part in parts] == [*layout.profile_keys, SLACK]
        assert all(part.usd_per_hour >= 0 for part in parts)
        assert sum(part.memory_fraction for part in parts) == pytest.approx(1)
        assert sum(part.compute_fraction for part in parts) == pytest.approx(1)


@pytest.mark.parametrize(
    ("shape", "slack"),
    [
        (("1g.10gb",) * 7, Decimal(1) / 16),  # an eighth of the memory (S76)
        (("3g.40gb", "3g.40gb"), Decimal(1) / 14),  # a seventh of the SMs (S76)
        (("1g.20gb",) * 4, Decimal(3) / 14),  # three sevenths of the SMs (S77)
        (("7g.80gb",), Decimal(0)),
    ],
)
def test_slack_is_half_of_the_unused_compute_and_half_of_the_unused_memory(shape, slack):
    layout = next(one for one in CUT["a100-sxm-80gb"] if one.profile_keys == shape)
    assert float(dollars(layout, Decimal("3.50"))[-1].usd_per_hour) == pytest.approx(3.5 * float(slack))


@every_gpu
def test_an_instance_is_its_share_of_the_gpu_and_has_no_link(key):
    gpu = CATALOG.gpu(key)
    whole = as_gpu(gpu, gpu.mig[-1])
    assert whole.hbm_bytes_per_s == gpu.hbm_bytes_per_s
    assert dict(whole.dense_flop_per_s) == dict(gpu.dense_flop_per_s)
    for profile in gpu.mig:
        part = as_gpu(gpu, profile)
        assert part.hbm_bytes == profile.hbm_bytes
        assert part.hbm_bytes_per_s == gpu.hbm_bytes_per_s * profile.hbm_bandwidth_fraction
        assert part.link_bytes_per_s == 0
        assert part.mig == ()


def test_four_of_the_wide_small_slices_have_half_a_terabyte_a_second_each():
    """The lesson, S77: 4/7 of the SMs, and 0.51 TB/s each, not a bandwidth of their own."""
    part = as_gpu(A100, profile_of(A100, "1g.20gb"))
    assert part.hbm_bytes_per_s == pytest.approx(0.51e12, rel=0.005)
    assert 4 * profile_of(A100, "1g.20gb").compute_fraction == pytest.approx(4 / 7)


def test_slices_with_a_smaller_model_gain_1_37_and_not_3_2():
    """The lesson, S77: a 3B on the whole GPU would do 2,333 tok/s where a 7B does 1,000."""
    assert like_for_like_ratio(4 * 800, 1000, 3e9, 7e9) == pytest.approx(1.371, rel=0.001)
    with pytest.raises(DomainError, match="above 0"):
        like_for_like_ratio(0, 1000, 3e9, 7e9)


def test_commands_name_devices_by_uuid_and_create_the_largest_first():
    """The lesson, S78: the device form MIG-GPU-…/0/0 is the one before R470."""
    layout = next(
        one for one in CUT["a100-sxm-80gb"] if one.profile_keys == ("1g.10gb", "1g.10gb", "2g.20gb", "3g.40gb")
    )
    lines = commands(layout, gpu_index=2)
    assert lines[1] == "sudo nvidia-smi mig -i 2 -cgi 3g.40gb:4,2g.20gb:2,1g.10gb:0,1g.10gb:1 -C"
    assert any("CUDA_VISIBLE_DEVICES=MIG-<UUID>" in line for line in lines)
    assert not any("MIG-GPU-" in line for line in lines)
    assert sum("nvidia.com/mig-" in line for line in lines) == 3


def test_a_gpu_without_mig_is_refused_with_those_that_have_it():
    with pytest.raises(DomainError, match=r"NVIDIA L4 has no MIG; these GPUs have: .*h100-sxm"):
        layouts(CATALOG.gpu("l4"), TABLE)
    with pytest.raises(UnknownKey, match=r"unknown MIG profile '9g' in NVIDIA A100 .* Known: .*1g.10gb"):
        profile_of(A100, "9g")


def test_a_profile_that_no_row_places_is_an_error_that_names_both():
    odd = replace(A100.mig[0], key="5g.50gb", compute_fraction=5 / 7, hbm_bandwidth_fraction=5 / 8)
    with pytest.raises(ConfigError, match=r"mig/eighths.toml: no placement of 5 compute and 5 memory slices.*5g.50gb"):
        TABLE.of(A100).of(odd)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"colour": "red"}, r"unknown key 'colour' in mig/x.toml"),
        ({"placements": 3}, r"expected a list of tables"),
        ({"placements": [{"compute_slices_count": 1, "memory_slices_count": 1, "starts": ["0"]}]}, "whole numbers"),
        ({"placements": [{"compute_slices_count": 1, "memory_slices_count": 4, "starts": [5]}]}, "do not lie within 8"),
        ({"sources": []}, "at least one"),
    ],
)
def test_a_wrong_file_is_refused_with_the_place(change, why):
    with pytest.raises(ConfigError, match=why):
        mig_table_from({"x": {**DOCS["eighths"], **change}})
