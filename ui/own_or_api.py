"""Own fleet or API: where one becomes cheaper than the other, for one model, at its real mix of tokens."""

from dataclasses import dataclass

import numpy as np
import streamlit as st

from costlib.breakeven import SelfHosting, api_usd_per_mtok, crossings, needed_tokens_per_s
from costlib.errors import PermillionError
from costlib.estimate import Undefined
from costlib.pricing import TokenPrice, price_at
from costlib.projection import DeploymentProjection
from costlib.scenario import Deployment, SelfHosted
from costlib.units import MEGA, SECONDS_PER_HOUR
from store.books import Books
from ui import charts, data, text
from ui.money_charts import break_even
from ui.theme import palette

POINTS_COUNT = 240
SPAN_RATIO = 10_000  # of the most tokens on the chart to the fewest
DEFAULT_OPERATIONS_USD = 8000  # half of an engineer: domain_math §8.6 has 4,000 to 20,000


@dataclass(frozen=True, slots=True, kw_only=True)
class _Mix:
    """A month's tokens of one model, by class."""

    computed: float
    cached: float
    output: float

    @property
    def total(self) -> float:
        return self.computed + self.cached + self.output


def panel(found: Books, today: data.Today) -> None:
    solved, problem = data.solve(today, {})
    if solved is None:
        st.caption(text.label(problem, text.A_PARAGRAPH))
        return
    owned = {item.key: item for item in solved.today.deployments if item.capacity_tokens_per_s and item.gpus_count}
    if not owned:
        st.info("No deployment of the scenario runs on GPUs whose capacity is known, so there is nothing to compare.")
        return
    left, middle, right, last = st.columns(4)
    key = left.selectbox("Deployment", list(owned), format_func=text.plain, key="own")
    deployment = owned[key]
    prices = _prices(today, deployment.model_key)
    names = {price.key: price for price in prices}
    api_key = middle.selectbox(
        "API price", list(names), format_func=lambda name: _label(names[name]), key="api",
        help="Of the same model where the catalogue has one, else of every model it knows.",
    )  # fmt: skip
    operations = right.number_input(
        "Operations, USD a month", min_value=0, max_value=int(MEGA), value=DEFAULT_OPERATIONS_USD, step=500, key="ops",
        help="People and tools that an API would not need. Assumed: half of an engineer.",
    )  # fmt: skip
    busy = last.slider("Replicas filled to", 10, 100, 70, 5, format="%d%%", key="fill", help="Headroom for the peak.")
    try:
        _compare(found, today, deployment, names[api_key], float(operations), busy / text.PERCENT)
    except PermillionError as error:
        st.error(text.label(error, text.A_PARAGRAPH), icon=":material/error:")


def _compare(
    found: Books,
    today: data.Today,
    deployment: DeploymentProjection,
    price: TokenPrice,
    operations_usd: float,
    busy_fraction: float,
) -> None:
    ours = next(item for item in today.scenario.deployments if item.key == deployment.key)
    mix, is_measured = _mix(found, ours, today.scenario.hours_per_month * SECONDS_PER_HOUR)
    api = api_usd_per_mtok(price, mix.computed, mix.cached, mix.output)
    if isinstance(api, Undefined) or not isinstance(ours.supply, SelfHosted):
        st.info("No tokens of this deployment are known, so there is no mix to price.")
        return
    hosting = SelfHosting(
        usd_per_gpu_hour=deployment.usd_per_hour / deployment.gpus_count,
        gpus_per_replica_count=deployment.gpus_count // deployment.replicas_count,
        capacity_tokens_per_s=deployment.capacity_tokens_per_s or 0.0,
        target_busy_fraction=busy_fraction,
        peak_to_mean_ratio=ours.workload.peak_to_mean_ratio,
        operations_usd_per_month=operations_usd,
        hours_per_month=today.scenario.hours_per_month,
    )
    crossing = crossings(hosting, api)
    stays = crossing.stays_cheaper_tokens_per_month
    high = max(mix.total, hosting.replica_tokens_per_month, 0.0 if isinstance(stays, Undefined) else stays) * 10
    tokens = np.geomspace(high / SPAN_RATIO, high, POINTS_COUNT)
    st.markdown(f"**{_title(hosting, api, mix.total, stays)}**")
    figure = break_even(
        [float(value) for value in tokens],
        [float(value) * api / MEGA for value in tokens],
        [hosting.usd_per_month(float(value)) for value in tokens],
        None if isinstance(stays, Undefined) else stays,
        mix.total,
        palette(),
    )
    charts.draw(figure, "break-even", alt="Cost a month of the API and of an own fleet, by tokens a month")
    needed = needed_tokens_per_s(hosting.usd_per_gpu_hour * hosting.gpus_per_replica_count, api)
    st.caption(
        text.dollars(
            f"{'Measured' if is_measured else 'Assumed'} mix: {text.compact(mix.total)} tokens a month, "
            f"{text.percent(mix.output / mix.total)} output, {text.percent(mix.cached / mix.total)} cached input; the "
            f"API charges ${api:.3f} per 1M of it. One replica carries {text.compact(hosting.capacity_tokens_per_s)} "
            f"tokens/s (engine model) for ${hosting.replica_usd_per_month:,.0f} a month and needs {needed:,.0f} "
            "tokens/s around the clock to cost the same. "
            + (
                f"The API is cheaper at every volume, {stays.reason.removeprefix('never: ')}. "
                if isinstance(stays, Undefined)
                else ""
            )
            + "API prices fell by about a third a year of late; the same quality and latency are taken for granted."
        )
    )


def _title(hosting: SelfHosting, api: float, live: float, stays: float | Undefined) -> str:
    gap = hosting.usd_per_month(live) - live * api / MEGA
    side = "more" if gap > 0 else "less"
    now = text.dollars(
        f"At today's volume the own fleet costs {text.short_money(abs(gap))} a month {side} than the API"
    )
    if isinstance(stays, Undefined):
        return f"{now}, and more at every volume" if gap > 0 else now
    return f"{now}; it stays cheaper from {text.compact(stays)} tokens a month"


def _mix(found: Books, ours: Deployment, month_s: float) -> tuple[_Mix, bool]:
    """The month's measured tokens, at their rate for a whole month; the scenario's where nothing was measured."""
    mine = [server for server in found.servers if server.deployment_key == ours.key and server.observed_s]
    counts = [(server.computed_prompt_tokens, server.cached_prompt_tokens, server.generation_tokens) for server in mine]
    if counts and all(None not in row for row in counts):
        observed_s = max(server.observed_s / max(server.engines_count, 1) for server in mine)
        computed, cached, output = (
            sum(map(float, column)) * month_s / observed_s for column in zip(*counts, strict=True)
        )  # type: ignore[arg-type]
        if computed + cached + output:
            return _Mix(computed=computed, cached=cached, output=output), True
    asked = ours.workload.requests_per_s * month_s
    cached = asked * ours.workload.mean_prompt_tokens * _hit_fraction(ours)
    return (
        _Mix(
            computed=asked * ours.workload.mean_prompt_tokens - cached,
            cached=cached,
            output=asked * ours.workload.mean_output_tokens,
        ),
        False,
    )


def _hit_fraction(ours: Deployment) -> float:
    return ours.supply.serving.prefix_hit_fraction if isinstance(ours.supply, SelfHosted) else 0.0


def _prices(today: data.Today, model_key: str) -> list[TokenPrice]:
    keys = sorted({price.key for price in today.catalog.token_prices})
    in_force = []
    for key in keys:
        try:
            in_force.append(price_at(today.catalog.token_prices, key, today.scenario.as_of))
        except PermillionError:
            continue
    return [price for price in in_force if price.model_key == model_key] or in_force


def _label(price: TokenPrice) -> str:
    return text.plain(
        f"{price.provider}: {price.model_key}, ${price.usd_per_mtok_input:g} in, ${price.usd_per_mtok_output:g} out"
    )
