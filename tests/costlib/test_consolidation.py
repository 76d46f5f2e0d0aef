"""Sharing GPUs: instances do not make bandwidth, and each way says what it costs those who wait."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costlib.consolidation import TIME_SLICED_RATIO, Way, consolidate, stretches, switch_s
from costlib.errors import DomainError
from costlib.mig import as_gpu, layouts
from costlib.mig_packing import pack, slice_fit
from costlib.pooled import together
from costlib.replica import solve_replica
from costlib.serving import ServingConfig
from store.mig_files import load_mig_table
from tests.conftest import EXPLORES
from tests.costlib.scenario_builders import CATALOG, IDEAL, bought, hosted, work

TABLE = load_mig_table()
H100, A100 = CATALOG.gpu("h100-sxm"), CATALOG.gpu("a100-sxm-80gb")


def calm(key, model="llama-3.2-3b", requests_per_s=0.5, max_tpot_s=0.05, **serving):
    return hosted(
        model, "h100-sxm", work(requests_per_s, 800, 200, peak_to_mean_ratio=2), key=key, max_tpot_s=max_tpot_s,
        **serving,
    )  # fmt: skip


FIVE = [*(calm(f"small-{number}") for number in range(4)), calm("larger", "qwen2.5-7b", 0.8)]
FOUND = consolidate(FIVE, H100, 3.0, CATALOG, TABLE)


def way(found, which):
    return found.way(which)


# What an instance is worth.


@pytest.mark.parametrize("model", ["llama-3.2-3b", "llama-3.1-8b"])
def test_the_same_model_in_all_slices_never_beats_one_pooled_batch(model):
    """Every slice reads the weights for itself: by the data sheet, all of them together serve less than the whole."""
    load, serving = work(1, 800, 200), ServingConfig(max_num_seqs=4096)
    whole = solve_replica(CATALOG.model(model), A100, serving, load, IDEAL, 0.1).capacity_requests_per_s
    tried = 0
    for layout in layouts(A100, TABLE):
        shared = []
        for one in layout.instances:
            try:
                part = solve_replica(CATALOG.model(model), as_gpu(A100, one.profile), serving, load, IDEAL, 0.1)
            except DomainError:
                continue  # the weights do not fit this instance
            shared.append(0.0 if part.misses_tpot else part.capacity_requests_per_s)
        tried += bool(shared)
        assert sum(shared) <= whole * (1 + 1e-9), layout.profile_keys
    assert tried > 10


def test_weight_bound_decoding_in_n_slices_is_n_times_slower_each():
    """Batch of one: an eighth of the bandwidth takes eight times as long (domain_math §8.1)."""
    load = work(0.01, 10, 200)
    model, serving = CATALOG.model("llama-3.2-3b"), ServingConfig(max_num_seqs=1)
    whole = solve_replica(model, A100, serving, load, IDEAL)
    eighth = solve_replica(model, as_gpu(A100, A100.mig[0]), serving, load, IDEAL)
    assert eighth.interval_s[0] / whole.interval_s[0] == pytest.approx(8, rel=0.01)


def test_a_model_that_does_not_fit_says_what_lacks_and_what_would_do():
    fit = slice_fit(calm("c", "qwen2.5-7b"), H100, H100.mig[0], CATALOG)
    assert fit.instances_count == 0
    assert 7e9 < fit.missing_bytes < 9e9
    assert "lack 7.5 GiB of memory: take more memory slices or fewer bits per weight" in fit.why
    four_bit = slice_fit(calm("c", "qwen2.5-7b", weight_precision="int4"), H100, H100.mig[0], CATALOG)
    assert four_bit.instances_count == 1


def test_a_slice_too_slow_for_one_sequence_says_so():
    fit = slice_fit(calm("c", max_tpot_s=0.005), H100, H100.mig[0], CATALOG)
    assert fit.instances_count == 0
    assert fit.missing_bytes == 0
    assert "more than 5 ms: take an instance with more bandwidth" in fit.why


def test_more_traffic_takes_more_instances():
    counts = [
        slice_fit(calm("c", requests_per_s=rate), H100, H100.mig[0], CATALOG).instances_count for rate in (0.5, 3)
    ]
    assert counts[0] == 1 < counts[1]


# Packing.


def test_five_calm_models_fit_one_gpu_whose_parts_cost_what_it_costs():
    [gpu] = FOUND.packing.gpus
    assert sorted(name for name in gpu.tenants if name) == sorted(one.key for one in FIVE)
    assert float(sum(part.usd_per_hour for part in gpu.parts)) == 3.0
    assert not any(gpu.layout.able(profile) for profile in H100.mig), "what is free is shown as instances"
    assert gpu.tenants.count("") == 1
    assert way(FOUND, Way.MIG).usd_per_hour == 3.0
    assert way(FOUND, Way.WHOLE_GPUS).gpus_count == 5
    assert FOUND.saved_usd_per_hour(Way.MIG) == 12.0
    assert FOUND.saved_usd_per_hour(Way.MULTI_LORA) is None


@given(
    rates=st.lists(st.floats(0.05, 6.0), min_size=1, max_size=6),
    models=st.lists(st.sampled_from(["llama-3.2-3b", "qwen2.5-7b", "llama-3.1-8b"]), min_size=6, max_size=6),
)
def test_every_deployment_gets_the_instances_it_needs_and_no_place_is_given_twice(rates, models):
    deployments = [calm(f"d{at}", models[at], rate) for at, rate in enumerate(rates)]
    packed = pack(deployments, H100, 3.0, CATALOG, TABLE)
    placed = [(name, one.profile.key) for gpu in packed.gpus
              for name, one in zip(gpu.tenants, gpu.layout.instances, strict=True) if name]  # fmt: skip
    wanted = [(fit.deployment_key, fit.profile_key) for fit in packed.chosen for _ in range(fit.instances_count)]
    assert sorted(placed) == sorted(wanted)
    for gpu in packed.gpus:
        taken = [at for one in gpu.layout.instances for at in one.taken]
        assert len(taken) == len(set(taken))
        assert any(gpu.tenants)


def test_what_runs_on_no_instance_is_named_with_the_nearest():
    found = pack([calm("big", "llama-3.3-70b")], H100, 3.0, CATALOG, TABLE)
    assert found.gpus == ()
    assert found.why.startswith("big runs on no instance: on 7g.80gb weights, one sequence")
    assert not way(consolidate([calm("big", "llama-3.3-70b")], H100, 3.0, CATALOG, TABLE), Way.MIG).is_able


def test_a_gpu_that_cannot_be_cut_still_compares_the_other_ways():
    found = consolidate(FIVE, CATALOG.gpu("l40s"), 1.0, CATALOG, TABLE)
    assert "has no MIG" in way(found, Way.MIG).why
    assert way(found, Way.SLEEP_1).is_able


# The other ways.


def test_time_slicing_loses_a_quarter_to_switching_and_a_busy_neighbour_halves_the_rest():
    assert stretches([lambda stretch: 9.0]) == [1.0]
    assert stretches([lambda stretch: 9.0, lambda stretch: 9.0]) == pytest.approx([2 / TIME_SLICED_RATIO] * 2)
    assert stretches([lambda stretch: 0.0, lambda stretch: 0.0]) == pytest.approx([1 / TIME_SLICED_RATIO] * 2)
    shared = {one.deployment_key: one.tpot_s for one in way(FOUND, Way.TIME_SLICING).tenants}
    alone = {one.deployment_key: one.tpot_s for one in way(FOUND, Way.WHOLE_GPUS).tenants}
    assert all(shared[key] >= alone[key] for key in alone)
    assert all(one <= 0.05 for one in shared.values()), "the time per token asked for is kept"


def test_adapters_share_one_copy_of_one_base_only():
    refused = way(FOUND, Way.MULTI_LORA)
    assert refused.why == "adapters share one base, and these are 2: Llama 3.2 3B, Qwen2.5 7B"
    same = consolidate(FIVE[:4], H100, 3.0, CATALOG, TABLE)
    assert way(same, Way.MULTI_LORA).gpus_count == 1
    assert together(FIVE[:4]).requests_per_s == pytest.approx(2.0)


def test_sleeping_models_wait_for_their_turn_and_longer_from_disk():
    first, second = way(FOUND, Way.SLEEP_1), way(FOUND, Way.SLEEP_2)
    assert first.gpus_count == second.gpus_count == 1
    for quick, slow in zip(first.tenants, second.tenants, strict=True):
        assert 0 < quick.longest_wait_s < slow.longest_wait_s
    assert "38 GiB of host memory" in first.why


def test_the_wait_is_the_cycle_less_ones_own_turn():
    """sum of switches / (1 - sum of loads) is the cycle in which all turns and switches fit exactly."""
    sharing = way(FOUND, Way.SLEEP_1)
    waits = {one.deployment_key: one.longest_wait_s for one in sharing.tenants}
    heavy, light = waits["larger"], waits["small-0"]
    assert heavy < light, "whoever has more work waits for less of the others'"
    model = CATALOG.model("llama-3.2-3b")
    assert switch_s(model, ServingConfig(), H100, Way.SLEEP_1) < switch_s(model, ServingConfig(), H100, Way.SLEEP_2)


def test_one_model_alone_neither_shares_nor_waits():
    found = consolidate(FIVE[:1], H100, 3.0, CATALOG, TABLE)
    for which in (Way.WHOLE_GPUS, Way.TIME_SLICING, Way.SLEEP_1):
        [tenant] = way(found, which).tenants
        assert tenant.longest_wait_s == 0
        assert tenant.tpot_s == pytest.approx(way(found, Way.WHOLE_GPUS).tenants[0].tpot_s)


@pytest.mark.parametrize("rate", [0.05, 0.5, 2.0, 8.0] if EXPLORES else [0.5, 8.0])
def test_no_way_needs_more_gpus_than_each_model_on_its_own(rate):
    deployments = [replace(one, workload=replace(one.workload, requests_per_s=rate)) for one in FIVE]
    found = consolidate(deployments, H100, 3.0, CATALOG, TABLE)
    most = way(found, Way.WHOLE_GPUS).gpus_count
    for which in (Way.TIME_SLICING, Way.SLEEP_1, Way.SLEEP_2):
        assert way(found, which).gpus_count <= most


def test_too_busy_for_one_gpu_is_said():
    busy = consolidate([calm("hot", requests_per_s=500.0), calm("cold")], H100, 3.0, CATALOG, TABLE)
    assert "give it its own" in way(busy, Way.TIME_SLICING).why
    assert "give it its own" in way(busy, Way.SLEEP_1).why
    assert way(busy, Way.WHOLE_GPUS).gpus_count > 2


def test_nothing_and_what_is_bought_by_the_token_are_refused():
    with pytest.raises(DomainError, match="at least one deployment"):
        consolidate([], H100, 3.0, CATALOG, TABLE)
    with pytest.raises(DomainError, match="api is bought by the token"):
        consolidate([bought("llama-3.3-70b", 0.9)], H100, 3.0, CATALOG, TABLE)
    with pytest.raises(DomainError, match="nothing is asked"):
        together([calm("c", requests_per_s=0.0)])
