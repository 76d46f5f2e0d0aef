"""`project(scenario, catalog)`: the product. Everything else feeds it or draws it."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from costlib.bands import jointly
from costlib.breakeven import break_even_tokens, commitment_quantile, needed_tokens_per_s, replicas_for, usd_per_mtok
from costlib.catalog import Catalog
from costlib.commitment import pools
from costlib.engine import EngineConstants
from costlib.errors import DomainError
from costlib.estimate import Basis, Estimate, Undefined, weakest
from costlib.kvcache import kv_bytes_per_token, kv_pool_bytes_per_gpu, sequence_bytes_per_gpu, weight_bytes
from costlib.pricing import PriceKind, PurchaseMix, price_at
from costlib.projection import CostParts, DeploymentProjection, Projection, Step, Trace
from costlib.replica import resident_tokens, solve_replica
from costlib.roofline import mfu_fraction, ridge_flop_per_byte, weight_read_s
from costlib.scenario import ApiTokens, Deployment, Scenario, SelfHosted
from costlib.serving import Role
from costlib.units import MS_PER_S, SECONDS_PER_HOUR, TOKENS_PER_MTOK
from costlib.validity import Label
from costlib.workload import Workload


@dataclass(frozen=True, slots=True)
class _Priced:
    result: DeploymentProjection
    low_gpus_count: int
    high_gpus_count: int
    low_usd_per_hour: float
    high_usd_per_hour: float
    basis: Basis
    steps: tuple[Step, ...]
    warnings: tuple[str, ...]


def project(scenario: Scenario, catalog: Catalog, constants: EngineConstants | None = None) -> Projection:
    """Price a scenario: GPUs, dollars, unit costs and latencies, with every intermediate value.

    Equation   $ per month = sum over deployments of  whole replicas x GPUs x $ per GPU-hour x hours, or of
               tokens x API price; and of the services beside the models
               replicas = max(min_replicas, ceil(peak rate / (replica capacity x target_busy)))
    Returns    a Projection; usd_per_month is a range, P10 to P90: step times within their back-tested band,
               demand within its own
    Valid for  decoder text models in steady state at the peak hour; a fixed fleet, no autoscaling
    Raises     DoesNotFit, DomainError, ConfigError naming the deployment
    Source     docs/method.md
    Example    examples live in tests/scenarios; each is run by the test suite and by `permillion whatif`
    """
    priced = [_price(deployment, scenario, catalog, constants) for deployment in scenario.deployments]
    fleet = Trace("fleet", weakest(scenario.demand_basis, *(p.basis for p in priced)))
    priced, unused = _with_commitments(priced, scenario)
    parts = [p.result for p in priced]
    hours = scenario.hours_per_month
    services = _services(scenario, fleet)
    usd_per_hour = fleet(
        "usd_per_hour", sum(p.usd_per_hour for p in parts) + unused.mid + services.mid, "sum of deployments, and beside"
    )
    usd_per_month = fleet("usd_per_month", usd_per_hour * hours, "USD/h x hours per month")
    input_tokens = _answered_tokens(scenario, lambda work: work.mean_prompt_tokens)
    output_tokens = _answered_tokens(scenario, lambda work: work.mean_output_tokens)
    tokens = fleet("tokens_per_month", input_tokens + output_tokens, "answered requests x (prompt + output tokens)")
    wrong_answers = sum(d.beside.wrong_answers_usd_per_hour for d in scenario.deployments) * hours
    cost = CostParts(
        prefill_usd_per_month=sum(p.cost.prefill_usd_per_month for p in parts),
        decode_usd_per_month=sum(p.cost.decode_usd_per_month for p in parts),
        idle_usd_per_month=sum(p.cost.idle_usd_per_month for p in parts) + unused.mid * hours,
        services_usd_per_month=services.mid * hours,
    )
    blended = _per_mtok(cost.total_usd_per_month, tokens)
    steps = [step for p in priced for step in p.steps]
    warnings = [warning for p in priced for warning in p.warnings]
    if unused.mid:
        fleet("unused_commitment_usd_per_hour", unused.mid, "committed GPUs that nothing runs on x their price")
        warnings.append(
            f"${unused.mid * hours:,.0f} a month of what is committed buys nothing here and stays payable until "
            f"{max(one.ends_on for one in scenario.commitments)}."
        )
    if wrong_answers:
        fleet("wrong_answers_usd_per_month", wrong_answers, "wrong answers x what each loses; not part of the bill")
        warnings.append(f"Wrong answers are expected to lose ${wrong_answers:,.0f} a month, beside the bill.")
    if scenario.target_usd_per_mtok is not None:
        warnings += _against_target(scenario, usd_per_month, parts, fleet)
    # Idle and services are spread over input and output in proportion to what each uses: both are fully loaded.
    busy_usd = cost.prefill_usd_per_month + cost.decode_usd_per_month
    loaded = cost.total_usd_per_month / busy_usd if busy_usd else 0.0
    per_input = _per_mtok(cost.prefill_usd_per_month * loaded, input_tokens)
    per_output = _per_mtok(cost.decode_usd_per_month * loaded, output_tokens)
    for key, value, equation in (
        ("usd_per_mtok_blended", blended, "USD per month / answered tokens, input + output"),
        ("usd_per_mtok_input", per_input, "prefill share of busy USD, with its idle and services / input tokens"),
        ("usd_per_mtok_output", per_output, "decode share of busy USD, with its idle and services / output tokens"),
    ):
        if not isinstance(value, Undefined):
            fleet(key, value, equation)
    gpus = int(fleet("gpus_count", sum(p.gpus_count for p in parts), "whole replicas x GPUs each"))
    hosted = [p for p in parts if p.busy_fraction is not None]
    hosted_usd = sum(p.usd_per_hour for p in hosted)
    return Projection(
        scenario_key=scenario.key,
        usd_per_month=Estimate(
            low=min(usd_per_hour, sum(p.low_usd_per_hour for p in priced) + unused.low + services.low) * hours,
            mid=usd_per_month,
            high=max(usd_per_hour, sum(p.high_usd_per_hour for p in priced) + unused.high + services.high) * hours,
            basis=fleet.basis,
        ),
        usd_per_hour=usd_per_hour,
        usd_per_mtok_blended=blended,
        usd_per_mtok_input=per_input,
        usd_per_mtok_output=per_output,
        gpus_count=gpus,
        needed_gpus_ratio=fleet(
            "needed_gpus_ratio", sum(p.needed_gpus_ratio for p in parts), "GPUs the peak needs, before whole replicas"
        ),
        gpu_hours_per_month=fleet("gpu_hours_per_month", gpus * hours, "GPUs x hours per month"),
        tokens_per_month=tokens,
        busy_fraction=sum(p.usd_per_hour * (p.busy_fraction or 0.0) for p in hosted) / hosted_usd
        if hosted_usd
        else Undefined(reason="no paid GPUs in this scenario"),
        cost=cost,
        wrong_answers_usd_per_month=wrong_answers,
        deployments=tuple(parts),
        steps=(*steps, *fleet.steps),
        warnings=tuple(warnings),
    )


def _with_commitments(priced: list[_Priced], scenario: Scenario) -> tuple[list[_Priced], Estimate]:
    """Every deployment at what its GPUs cost with the commitments; and what these cost unused [USD/h]."""
    low = mid = high = 0.0
    for pool in pools(scenario.commitments, scenario.as_of):
        mine = [p for p in priced if p.result.gpu_key == pool.gpu_key]
        counts = [sum(p.low_gpus_count for p in mine), sum(p.result.gpus_count for p in mine),
                  sum(p.high_gpus_count for p in mine)]  # fmt: skip
        spent = [sum(p.low_usd_per_hour for p in mine), sum(p.result.usd_per_hour for p in mine),
                 sum(p.high_usd_per_hour for p in mine)]  # fmt: skip
        low_ratio, ratio, high_ratio = (float(pool.used_ratio(n, s)) for n, s in zip(counts, spent, strict=True))
        # Fewer GPUs than expected leave more of it unused.
        of_low, of_mid, of_high = (float(pool.unused_usd_per_hour(n)) for n in counts)
        low, mid, high = low + of_low, mid + of_mid, high + of_high
        priced = [
            replace(
                p,
                result=replace(p.result, usd_per_hour=p.result.usd_per_hour * ratio, cost=p.result.cost.times(ratio)),
                low_usd_per_hour=p.low_usd_per_hour * low_ratio,
                high_usd_per_hour=p.high_usd_per_hour * high_ratio,
            )
            if p.result.gpu_key == pool.gpu_key
            else p
            for p in priced
        ]
    return priced, Estimate(low=min(low, mid), mid=mid, high=max(mid, high), basis=Basis.ASSUMED)


def usd_per_gpu_hour(purchase: PurchaseMix, scenario: Scenario, catalog: Catalog) -> float:
    """Effective price of a GPU-hour: the stated one, or the shares' weighted mean of catalogue prices in force."""
    if purchase.stated_usd_per_gpu_hour is not None:
        return purchase.stated_usd_per_gpu_hour
    return sum(
        share * price_at(catalog.gpu_prices, key, scenario.as_of).usd_per_gpu_hour for key, share in purchase.shares
    )


def _price(deployment: Deployment, scenario: Scenario, catalog: Catalog, constants: EngineConstants | None) -> _Priced:
    if isinstance(deployment.supply, ApiTokens):
        return _price_api(deployment, deployment.supply, scenario)
    try:
        return _price_hosted(deployment, deployment.supply, scenario, catalog, constants)
    except DomainError as error:
        raise type(error)(f"{deployment.key}: {error}") from error


def _price_api(deployment: Deployment, api: ApiTokens, scenario: Scenario) -> _Priced:
    work = deployment.workload
    trace = Trace(deployment.key, work.basis)
    prefill = work.requests_per_s * work.mean_prompt_tokens / TOKENS_PER_MTOK * api.usd_per_mtok_input
    decode = work.requests_per_s * work.mean_output_tokens / TOKENS_PER_MTOK * api.usd_per_mtok_output
    per_hour = trace("usd_per_hour", (prefill + decode) * SECONDS_PER_HOUR, "tokens per hour x API price")
    month_s = SECONDS_PER_HOUR * scenario.hours_per_month
    result = DeploymentProjection(
        key=deployment.key,
        model_key=deployment.model_key,
        gpu_key=None,
        replicas_count=0,
        gpus_count=0,
        needed_gpus_ratio=0.0,
        usd_per_hour=per_hour,
        cost=CostParts(
            prefill_usd_per_month=prefill * month_s, decode_usd_per_month=decode * month_s, idle_usd_per_month=0.0
        ),
        demand_tokens_per_s=work.total_tokens_per_s,
    )
    low, high = per_hour * work.demand_low_ratio, per_hour * work.demand_high_ratio
    return _Priced(result, 0, 0, low, high, work.basis, tuple(trace.steps), ())


def _price_hosted(
    deployment: Deployment,
    hosted: SelfHosted,
    scenario: Scenario,
    catalog: Catalog,
    constants: EngineConstants | None,
) -> _Priced:
    model, gpu, serving = catalog.model(deployment.model_key), catalog.gpu(hosted.gpu_key), hosted.serving
    work = deployment.workload
    constants = constants or catalog.engine.resolve(model, gpu, serving, fitted=hosted.fitted)
    group = serving.gpus_count
    trace = Trace(deployment.key, weakest(work.basis, constants.basis))
    sheet = Basis.ASSUMED  # catalogue figures: sourced, not measured on these machines
    context = resident_tokens(work)
    weights = trace("weights_bytes", weight_bytes(model, serving), "parameters x bytes each, or as stated", sheet)
    trace("weight_read_s", weight_read_s(weights, gpu, group), "W / (M g)", sheet)
    trace("ridge_flop_per_byte", ridge_flop_per_byte(gpu), "C / M at bf16", sheet)
    trace("kv_bytes_per_token", kv_bytes_per_token(model, serving.kv_precision), "sum of 2 L H_kv d b", sheet)
    trace("resident_tokens", context, "E[in] + E[out] (1 + cv^2)/2", work.basis)
    one_sequence = sequence_bytes_per_gpu(model, serving, context)
    trace("kv_per_sequence_bytes", one_sequence, "KV bytes x resident tokens, per GPU")
    pool = trace("kv_pool_bytes", kv_pool_bytes_per_gpu(model, gpu, serving), "HBM x util - reserve - W/G, per GPU")

    replica = solve_replica(model, gpu, serving, work, constants, deployment.max_tpot_s)
    for bound, limit in replica.limits:
        trace(f"batch_by_{bound}_count", limit, "sequences this limit allows")
    trace("batch_count", replica.batch_count, f"the least of them: {replica.bound}")
    if serving.speculation.draft_tokens:
        trace("step_tokens", replica.step_tokens, "(1 - a^(k + 1)) / (1 - a)", sheet)
    trace("prefill_s", replica.prefill_s, "n/l step(0, l prompt tokens), one prompt alone")
    trace("dense_compute_fraction", float(constants.dense_compute_fraction), "share of C reached", constants.basis)
    trace("bandwidth_fraction", float(constants.bandwidth_fraction), "share of M reached", constants.basis)
    trace("decode_step_s", float(replica.decode_step_s[-1]), "p (m^q + c^q)^(1/q) + links + fixed, largest batch")
    trace("step_s", float(replica.step_s[-1]), "step with B/O prompts in it, at the largest batch")
    stated = hosted.stated_tokens_per_s
    capacity = stated / work.tokens_per_request if stated else replica.capacity_requests_per_s
    trace("capacity_requests_per_s", capacity, "stated" if stated else "B / (O x step)")
    capacity_tokens = trace("capacity_tokens_per_s", capacity * work.tokens_per_request, "requests/s x tokens each")
    computed_tokens = capacity * (work.mean_prompt_tokens * (1 - serving.reused_fraction) + work.mean_output_tokens)
    mfu = mfu_fraction(model, computed_tokens, gpu, serving.weight_precision, group)
    trace("mfu_fraction", mfu, "2 P_a X / (C g), at capacity")
    price = trace("usd_per_gpu_hour", usd_per_gpu_hour(hosted.purchase, scenario, catalog), "purchase mix", sheet)
    _trace_commitment(hosted.purchase, scenario, catalog, trace)
    trace("full_use_usd_per_mtok", usd_per_mtok(price * group, capacity_tokens), "p g 10^6 / (3600 X), no idle")

    peak = work.requests_per_s * work.peak_to_mean_ratio

    def fleet_size(requests_per_s: float) -> int:
        return replicas_for(peak, requests_per_s, serving.target_busy_fraction, serving.min_replicas_count)

    replicas = fleet_size(capacity)
    trace("replicas_count", replicas, "max(min, ceil(peak / (capacity x target busy)))")
    per_hour = trace("usd_per_hour", replicas * group * price, "replicas x GPUs x USD per GPU-hour")
    mean_load = work.requests_per_s / (replicas * capacity) if replicas else 0.0
    busy = trace("busy_fraction", min(1.0, mean_load), "mean / capacity")
    month = per_hour * scenario.hours_per_month
    per_replica = peak / replicas if replicas else 0.0
    running = replica.running_count(per_replica)
    # A stated capacity already is what it is; the engine model's is only known to within its band.
    band, label = step_band(deployment, hosted, constants, replica.batch_count, catalog)
    # More demand than expected takes as much more capacity as slower steps do.
    demand = (work.demand_low_ratio, work.demand_high_ratio)
    edges = demand if stated else jointly(band, demand)
    most, least = (capacity / ratio if stated else replica.capacity_if(ratio) for ratio in edges)
    result = DeploymentProjection(
        key=deployment.key,
        model_key=model.key,
        gpu_key=gpu.key,
        replicas_count=replicas,
        gpus_count=replicas * group,
        needed_gpus_ratio=peak / (capacity * serving.target_busy_fraction) * group,
        usd_per_hour=per_hour,
        cost=CostParts(
            prefill_usd_per_month=month * busy * replica.prefill_share_fraction,
            decode_usd_per_month=month * busy * (1 - replica.prefill_share_fraction),
            idle_usd_per_month=month * (1 - busy),
        ),
        capacity_tokens_per_s=capacity_tokens,
        demand_tokens_per_s=work.total_tokens_per_s,
        busy_fraction=busy,
        bound=replica.bound,
        tpot_s=None
        if stated or serving.role == Role.PREFILL
        else trace("tpot_s", replica.tpot_s(per_replica), "interval between tokens at the peak hour's batch"),
        ttft_s=None
        if stated or serving.role == Role.DECODE
        else trace("ttft_s", replica.ttft_s(per_replica), "front + M/D/1 wait and prefill + running step"),
        running_count=running,
        kv_usage_fraction=min(1.0, running / serving.data_parallel_attention_count * one_sequence / pool),
    )
    warnings: tuple[str, ...] = (f"{deployment.key}: {label.reason}.",) if label and label.reason else ()
    if replica.misses_tpot and deployment.max_tpot_s is not None:
        warnings += (
            f"{deployment.key}: one sequence at a time already takes {replica.interval_s[0] * MS_PER_S:.0f} ms per "
            f"token, slower than max_tpot_s {deployment.max_tpot_s * MS_PER_S:.0f} ms; priced at batch 1.",
        )
    return _Priced(
        result,
        fleet_size(most) * group,
        fleet_size(least) * group,
        fleet_size(most) * group * price,
        fleet_size(least) * group * price,
        trace.basis if label is None else weakest(trace.basis, label.basis),
        tuple(trace.steps),
        warnings,
    )


def step_band(
    deployment: Deployment, hosted: SelfHosted, constants: EngineConstants, batch_count: int, catalog: Catalog
) -> tuple[tuple[float, float], Label | None]:
    """Least and most of measured over modelled step time, and how an answer at this batch is known where it is fitted.

    Beyond what a calibration has seen, the published band counts too where it is wider.
    """
    band = constants.step_low_ratio, constants.step_high_ratio
    if hosted.fitted is None or constants.basis is not Basis.CALIBRATED:
        return band, None
    work, serving = deployment.workload, hosted.serving
    label = hosted.fitted.validity.label(
        batch_count=batch_count,
        context_tokens=resident_tokens(work),
        input_per_output_ratio=work.mean_prompt_tokens * (1 - serving.reused_fraction) / work.mean_output_tokens,
    )
    if label.basis is Basis.EXTRAPOLATED:
        published = catalog.engine.resolve(
            catalog.model(deployment.model_key), catalog.gpu(hosted.gpu_key), hosted.serving
        )
        band = min(band[0], published.step_low_ratio), max(band[1], published.step_high_ratio)
    return band, label


def _answered_tokens(scenario: Scenario, each: Callable[[Workload], float]) -> float:
    month_s = SECONDS_PER_HOUR * scenario.hours_per_month
    return month_s * sum(
        (d.workload.requests_per_s * d.workload.answered_fraction + d.beside.cached_requests_per_s) * each(d.workload)
        for d in scenario.deployments
    )


def _services(scenario: Scenario, fleet: Trace) -> Estimate:
    """What is paid beside the models [USD/h]. It follows demand, and so its band."""
    low, mid, high = (
        sum(d.beside.services_usd_per_hour * ratio(d.workload) for d in scenario.deployments)
        for ratio in (lambda work: work.demand_low_ratio, lambda work: 1.0, lambda work: work.demand_high_ratio)
    )
    if mid:
        fleet("services_usd_per_hour", mid, "requests x what each costs beside the model", Basis.ASSUMED)
    return Estimate(low=low, mid=mid, high=high, basis=Basis.ASSUMED)


def _per_mtok(usd: float, tokens: float) -> float | Undefined:
    return usd / tokens * TOKENS_PER_MTOK if tokens else Undefined(reason="no tokens are answered in this scenario")


def _trace_commitment(purchase: PurchaseMix, scenario: Scenario, catalog: Catalog, trace: Trace) -> None:
    by_kind = {}
    for key, _ in purchase.shares:
        price = price_at(catalog.gpu_prices, key, scenario.as_of)
        by_kind[price.kind] = price.usd_per_gpu_hour
    reserved, on_demand = by_kind.get(PriceKind.RESERVED), by_kind.get(PriceKind.ON_DEMAND)
    if reserved is not None and on_demand and reserved <= on_demand:
        quantile = commitment_quantile(reserved, on_demand)
        trace("commitment_quantile_fraction", quantile, "1 - reserved / on-demand", Basis.ASSUMED)


def _against_target(
    scenario: Scenario, usd_per_month: float, parts: list[DeploymentProjection], fleet: Trace
) -> list[str]:
    target = scenario.target_usd_per_mtok or 0.0
    hours = scenario.hours_per_month
    needed = fleet("needed_tokens_per_s", needed_tokens_per_s(usd_per_month / hours, target), "p 10^6 / (3600 c)")
    even = fleet("break_even_tokens_per_month", break_even_tokens(usd_per_month, target), "10^6 USD per month / target")
    capacities = [p.capacity_tokens_per_s * p.replicas_count for p in parts if p.capacity_tokens_per_s]
    if not capacities:
        return []
    most = fleet("capacity_tokens_per_month", sum(capacities) * SECONDS_PER_HOUR * hours, "replicas x capacity x month")
    if most >= even:
        return []
    return [
        f"never breaks even: matching ${target:g} per M tokens takes {needed:,.0f} tok/s around the clock "
        f"({even / TOKENS_PER_MTOK:,.0f} M a month); this fleet makes at most {most / TOKENS_PER_MTOK:,.0f} M."
    ]
