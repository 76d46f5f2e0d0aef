"""What alert rules look at: where the month lands, the newest billed day, and the balance of the newest whole week."""

from datetime import timedelta

from costlib.alerts import Signal, Watched, signals_of
from costlib.allocation import usd_per_mtok_of
from costlib.billing import exact_sum
from costlib.books import CostBasis
from costlib.estimate import Undefined
from costlib.kpis import Facts, kpi
from costlib.slices import Slice
from store.books import books_between, scenario_of
from store.budgets_file import Planned, load_budgets, load_steps
from store.home import Home
from store.outlooks import to_come
from store.read import Snapshot
from store.reviews import newest_week, slices_of, weeks

BASIS = CostBasis.EFFECTIVE  # one commitment that is paid at once is no alarm


def signals(snapshot: Snapshot, home: Home) -> tuple[Signal, ...]:
    """The figures that alerts.toml can watch, as of this snapshot, in the currency with the most money; none before the
    first bill.

    Raises    ConfigError for a file beside the store that cannot be read
    """
    known = weeks(snapshot)
    charged_to = snapshot.status().charges_to
    if not known or charged_to is None:
        return ()
    scenario, _ = fleet = scenario_of(home, snapshot)
    names = {} if scenario is None else scenario.product_names
    week = newest_week(snapshot)
    found = books_between(snapshot, home, week.start, week.end, BASIS, fleet=fleet)
    balance = found.balances[0]
    plans = Planned(budgets=load_budgets(home), steps=load_steps(home))  # of this home: an alarm is of no sample
    outlook, unusual = to_come(snapshot, known[0], BASIS, balance.currency, scenario, plans)
    newest = (charged_to - timedelta(days=1)).date()
    facts = Facts(balance=balance)
    shares = (
        (Watched.IDLE_SHARE, "idle_share", "idle, not matched or committed and not used"),
        (Watched.UNALLOCATED_SHARE, "unallocated_share", "without an owner"),
        (Watched.PER_MTOK, "cost_per_mtok", f"{balance.currency} per million tokens"),
    )
    made = []
    for watched, name, words in shares:
        value = kpi(name, facts)
        known_value = None if isinstance(value, Undefined) else float(value)
        made.append(Signal(on=watched, scope="", value_ratio=known_value, text=f"{words}, {week.name}"))
    by_product: dict[str, list[Slice]] = {}
    for part in slices_of(found, balance):
        by_product.setdefault(names.get(part.item.deployment_key, part.item.deployment_key), []).append(part)
    for product, parts in sorted(by_product.items()):
        cost = usd_per_mtok_of(
            exact_sum(part.cost for part in parts), sum(sum(p.tokens.values()) for p in parts) or None
        )
        if product and not isinstance(cost, Undefined):
            text = f"{balance.currency} per million tokens, {week.name}"
            made.append(Signal(on=Watched.PER_MTOK, scope=product, value_ratio=float(cost), text=text))
    return (*signals_of(outlook, [one for one in unusual if one.on == newest]), *made)
