"""What the next days will cost: requests x tokens per request x mix of classes x price per million tokens, and a rest.

Each factor is continued by itself (`smoothing.py`), so that a launch, a new price or a plan that ends can be said of
the factor it acts on. `backtest.py` says how far forecasts of the past were off.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, timedelta
from decimal import Decimal
from enum import StrEnum

import numpy as np

from costlib.allocation import CENT
from costlib.books import TokenClass
from costlib.errors import DomainError
from costlib.smoothing import DRAWS, LEAST_DAYS, Array, smooth
from costlib.units import TOKENS_PER_MTOK

TAILS = (0.1, 0.5, 0.9)
_ZERO = 0.01  # of the usual value: added before taking the logarithm of a series that has zeros
_LEAST_SPREAD = 0.02  # log change of tokens from day to day, below which nothing is learnt of how the bill follows
_SPARSE = 0.2  # of the days: an item charged on fewer is one of the calendar
_FOLLOWS = 0.5  # of a change in tokens: below it the bill is one of capacity, and forecast as a whole
_ALL = "all"  # classes of tokens at one price
Amounts = Sequence[Decimal | None]
Counts = Sequence[int | None]


class Driver(StrEnum):
    REQUESTS = "requests"
    TOKENS_PER_REQUEST = "tokens_per_request"
    MIX = "mix"  # the share of one class of tokens
    PRICE = "price"  # money per million tokens
    REST = "rest"  # cost of no tokens: idle, hosts, storage, support
    COST = "cost"  # everything


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Whole days of one product or model from `first` on, in one currency; None where a day is not known.

    `cost` holds `cost_of`: what the tokens of each class cost. The rest is continued by itself. Without `cost_of` all
    tokens have one price; without `tokens` the cost is continued as it is. `items` are parts of `cost` that recur,
    by name, such as services: those that are charged once a month are not taken for spend of every day.
    """

    key: str
    first: date
    cost: Amounts
    requests: Counts | None = None
    tokens: Mapping[TokenClass, Counts] = field(default_factory=dict)
    cost_of: Mapping[TokenClass, Amounts] = field(default_factory=dict)
    items: Mapping[str, Amounts] = field(default_factory=dict)

    def __post_init__(self) -> None:
        others: list[Amounts | Counts] = [*self.tokens.values(), *self.cost_of.values(), *self.items.values()]
        others += [] if self.requests is None else [self.requests]
        if any(len(other) != len(self.cost) for other in others):
            raise DomainError(f"{self.key!r}: every series needs one value for each of the {len(self.cost)} days.")
        if self.cost_of and set(self.cost_of) != set(self.tokens):
            raise DomainError(f"{self.key!r}: classes with a cost and classes with tokens are not the same.")

    @property
    def end(self) -> date:
        """The first day that is to be forecast."""
        return self.first + timedelta(days=len(self.cost))


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """Something known of the future: from `day` to before `until` a driver is multiplied, or an amount comes on top.

    `amount` is of each day, or of `day` alone when `is_once`. `key` "" is every product. A price or a mix can be of
    one class of tokens only.
    """

    day: date
    what: str
    on: Driver = Driver.COST
    times_ratio: float = 1.0
    amount: Decimal = Decimal(0)
    is_once: bool = False
    until: date | None = None
    key: str = ""
    token_class: TokenClass | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.times_ratio < float("inf") or not self.amount.is_finite():
            raise DomainError(f"{self.what!r}: a factor from 0 up and a finite amount, not {self.times_ratio}.")
        if self.amount and self.on not in (Driver.COST, Driver.REST):
            raise DomainError(f"{self.what!r}: an amount is added to cost, not to {self.on}.")
        if self.until is not None and self.until <= self.day:
            raise DomainError(f"{self.what!r}: ends on {self.until}, before it begins on {self.day}.")

    def holds_on(self, day: date) -> bool:
        return day == self.day if self.is_once else self.day <= day and (self.until is None or day < self.until)


@dataclass(frozen=True, slots=True, kw_only=True)
class DayAhead:
    """One day to come: one in ten is below `p10`, one in ten above `p90`. To the cent."""

    on: date
    p10: Decimal
    p50: Decimal
    p90: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """Spend from `first` on. `draws` are draws x days; `drivers` hold P50 of each driver that was continued, by day."""

    key: str
    first: date
    draws: Array
    drivers: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    follows_fraction: float | None = None  # how much of a change in tokens the bill follows; None: not known
    steps: tuple[Step, ...] = ()

    @property
    def days(self) -> tuple[DayAhead, ...]:
        low, middle, high = np.quantile(self.draws, TAILS, axis=0)
        return tuple(
            DayAhead(on=self.first + timedelta(days=n), p10=cents(low[n]), p50=cents(middle[n]), p90=cents(high[n]))
            for n in range(self.draws.shape[1])
        )


def forecast(
    history: History, ahead_days: int, steps: Iterable[Step] = (), *, seed: int = 0, draws_count: int = DRAWS
) -> Forecast:
    """The next `ahead_days` of a product.

    Equation   cost = requests x tokens per request x sum over classes of share x price / 10^6 + rest, in every draw
    Symbols    log of requests, tokens per request, share and price [currency per million tokens] and the rest as it is
               [currency] are continued by `smooth`, their errors drawn from the same days of the past
    Returns    Forecast; the same for the same `seed`. Where the bill follows less than half of a change in tokens, as
               that of a fleet of one size does, the sum of cost is continued as well and prices are what it leaves.
               A step on requests or tokens moves the bill by factor^(share of a change that it followed in the past)
    Valid for  14 whole days and more. Days not yet billed in full belong out of the history, not into it as they are
    Raises     DomainError for less
    Example    $2 a day, and a plan of $30 on the first of the month
    >>> history = History(key="chat", first=date(2026, 10, 10), cost=[Decimal(2)] * 21)
    >>> plan = Step(day=date(2026, 11, 1), what="plan", amount=Decimal(30), is_once=True)
    >>> [str(day.p50) for day in forecast(history, 3, [plan]).days]
    ['2.00', '32.00', '2.00']
    """
    if len(history.cost) < LEAST_DAYS or all(cost is None for cost in history.cost):
        raise DomainError(
            f"{history.key!r}: {len(history.cost)} days cannot be continued; a forecast needs {LEAST_DAYS} whole days."
        )
    days = [history.end + timedelta(days=n) for n in range(ahead_days)]
    by_calendar, items = _by_calendar(history, days[-1] + timedelta(days=1))
    regular = _array(history.cost) - by_calendar
    tracks = [*_tracks(history, regular), *([_cost(Driver.COST, regular)] if history.tokens else [])]
    made = smooth(np.array([track.seen for track in tracks]), ahead_days, draws_count, seed)
    drawn = {track.name: track.back(made.draws[n]) for n, track in enumerate(tracks)}
    whole, follows = drawn.pop(Driver.COST, None), _follows(history, regular)
    if whole is not None and follows is not None and follows < _FOLLOWS:
        _scale(drawn, whole)
    mine = (*(step for step in steps if step.key in ("", history.key)), *items)
    for step in mine:
        _act(step, drawn, days, 1.0 if follows is None else follows)
    total = _spend(drawn)
    for step in mine:
        now = np.array([step.holds_on(day) for day in days], dtype=float)
        if step.on is Driver.COST:
            total *= np.where(now > 0, step.times_ratio, 1.0)
        total += now * float(step.amount)
    return Forecast(
        key=history.key,
        first=history.end,
        draws=total,
        drivers={name: tuple(np.median(values, axis=0).tolist()) for name, values in drawn.items()},
        follows_fraction=follows,
        steps=mine,
    )


def together(forecasts: Sequence[Forecast], key: str = "") -> Forecast:
    """The sum of forecasts over the same days, draw by draw: what drives several products drives their sum.

    >>> one = forecast(History(key="a", first=date(2026, 10, 1), cost=[Decimal(2)] * 14), 1)
    >>> str(together([one, one]).days[0].p50)
    '4.00'
    """
    if not forecasts or len({(one.first, one.draws.shape) for one in forecasts}) != 1:
        raise DomainError("forecasts are added over the same days and draws; make them of histories with one end.")
    return Forecast(
        key=key,
        first=forecasts[0].first,
        draws=np.sum([one.draws for one in forecasts], axis=0),
        steps=tuple(step for one in forecasts for step in one.steps),
    )


def calendar_items(first: date, items: Mapping[str, Amounts], until: date) -> tuple[Step, ...]:
    """Charges that come by the calendar, such as support on the first of a month, as steps up to before `until`.

    Returns    for each such item a step on its day of every month to come, with its newest amount
    Valid for  items charged on at most a fifth of the days, each on the same day of its month: twice, or once on the
               first of a month. Others stay what they are
    Example
    >>> support = [Decimal(950 if n in (0, 30) else 0) for n in range(40)]
    >>> steps = calendar_items(date(2026, 9, 1), {"Support": support, "GPU": [Decimal(10)] * 40}, date(2026, 12, 1))
    >>> [(str(step.day), step.what, str(step.amount)) for step in steps]
    [('2026-11-01', 'Support', '950')]
    """
    steps = []
    for name, amounts in sorted(items.items()):
        charged = [(first + timedelta(days=n), amount) for n, amount in enumerate(amounts) if amount]
        if not _is_monthly(charged, len(amounts)):
            continue
        on, newest = charged[-1]
        ahead = (first + timedelta(days=n) for n in range(len(amounts), (until - first).days))
        steps += [Step(day=day, what=name, amount=newest, is_once=True) for day in ahead if day.day == on.day]
    return tuple(sorted(steps, key=lambda step: (step.day, step.what)))


def _is_monthly(charged: Sequence[tuple[date, Decimal]], days_count: int) -> bool:
    days = {day.day for day, _ in charged}
    return len(days) == 1 and len(charged) <= max(1.0, _SPARSE * days_count) and (len(charged) > 1 or days == {1})


def _by_calendar(history: History, until: date) -> tuple[Array, tuple[Step, ...]]:
    """What the calendar charged on each day of the past, and what it will."""
    past = np.zeros(len(history.cost))
    for amounts in history.items.values():
        charged = [(history.first + timedelta(days=n), amount) for n, amount in enumerate(amounts) if amount]
        if _is_monthly(charged, len(amounts)):
            past += np.array([float(amount or 0) for amount in amounts])
    return past, calendar_items(history.first, history.items, until)


def cents(amount: float) -> Decimal:
    return Decimal(str(amount)).quantize(CENT)


# One driver as it is smoothed


@dataclass(frozen=True, slots=True)
class _Track:
    name: str
    seen: Array  # as smoothed
    added: Array | None = None  # what was added before the logarithm; None: none was taken

    def back(self, drawn: Array) -> Array:
        if self.added is None:
            return drawn
        return np.maximum(np.exp(np.minimum(drawn, _highest(self.seen))) - self.added, 0.0)


def _highest(seen: Array) -> float:
    """A thousand times what was ever seen: no draw of a wild series becomes infinite."""
    return float(np.nanmax(seen) + np.log(1000))


def _log(name: str, values: Array) -> _Track:
    positive = values[np.isfinite(values) & (values > 0)]
    added = np.array(_ZERO * np.median(positive) if len(positive) and np.nanmin(values) <= 0 else 0.0)
    return _Track(name, np.log(values + added), added) if len(positive) else _Track(name, values)


def _cost(name: str, values: Array) -> _Track:
    """Cost may be zero or, for credits, below."""
    return _log(name, values) if np.nanmin(values) > 0 else _Track(name, values)


def _tracks(history: History, cost: Array) -> list[_Track]:
    if not history.tokens:
        return [_cost(Driver.REST, cost)]
    tokens = {str(token_class): _array(counts) for token_class, counts in history.tokens.items()}
    of_class = {str(token_class): _array(amounts) for token_class, amounts in history.cost_of.items()}
    whole = np.sum(list(tokens.values()), axis=0)
    if not of_class:
        name = next(iter(tokens)) if len(tokens) == 1 else _ALL
        tokens, of_class = {name: whole}, {name: cost}
    works = whole > 0  # not on days that are not known
    if works.sum() < LEAST_DAYS:
        return [_cost(Driver.REST, cost)]
    rest = cost - np.where(works, np.nan_to_num(np.sum(list(of_class.values()), axis=0)), 0.0)
    tracks = []
    requests = None if history.requests is None else _array(history.requests)
    if requests is not None and ((requests > 0) >= works).all() and np.isfinite(requests[works]).all():
        tracks = [_log(Driver.REQUESTS, requests), _log(Driver.TOKENS_PER_REQUEST, _over(whole, requests))]
    else:
        tracks = [_log(Driver.TOKENS_PER_REQUEST, whole)]
    for name, counts in tokens.items():
        if len(tokens) > 1:
            tracks.append(_log(f"{Driver.MIX} {name}", _over(counts, whole)))
        price = _over(of_class[name] * TOKENS_PER_MTOK, counts)
        tracks.append(_log(f"{Driver.PRICE} {name}", np.where(price > 0, price, np.nan)))
    if np.isfinite(rest).any() and np.nanmax(np.abs(rest)) > float(CENT) / 2:
        tracks.append(_cost(Driver.REST, rest))
    return [track for track in tracks if np.isfinite(track.seen).any()]


def _scale(drawn: dict[str, Array], whole: Array) -> None:
    """Prices and rest such that every draw of the drivers makes that of the whole cost."""
    made = _spend(drawn)
    times = np.divide(whole, made, out=np.ones_like(whole), where=np.abs(made) > 1e-9)
    for name in drawn:
        if name.startswith((Driver.PRICE, Driver.REST)):
            drawn[name] = drawn[name] * times


def _spend(drawn: Mapping[str, Array]) -> Array:
    classes = [name.split()[1] for name in drawn if name.startswith(Driver.PRICE)]
    rest = drawn.get(Driver.REST)
    if not classes:
        assert rest is not None
        return rest.copy()
    whole = drawn[Driver.TOKENS_PER_REQUEST] * drawn.get(Driver.REQUESTS, 1.0)
    shares = {name: drawn[f"{Driver.MIX} {name}"] for name in classes if f"{Driver.MIX} {name}" in drawn}
    scale = np.sum(list(shares.values()), axis=0) if shares else 1.0
    of_classes = [shares.get(name, 1.0) * drawn[f"{Driver.PRICE} {name}"] for name in classes]
    spend: Array = whole * np.sum(of_classes, axis=0) / (np.maximum(scale, 1e-12) * TOKENS_PER_MTOK)
    return spend if rest is None else spend + rest


def _act(step: Step, drawn: dict[str, Array], days: Sequence[date], follows_fraction: float) -> None:
    """A step on a driver; one on cost acts on the sum."""
    factor = np.array([step.times_ratio if step.holds_on(day) else 1.0 for day in days])
    if step.on is Driver.COST or (factor == 1).all():
        return
    names = [name for name in drawn if name.split()[0] == step.on]
    if step.token_class is not None:
        names = [name for name in names if name.endswith(f" {step.token_class}")]
    is_volume = step.on in (Driver.REQUESTS, Driver.TOKENS_PER_REQUEST)
    if is_volume:  # where requests are not known, all tokens are one driver
        names = names or [Driver.TOKENS_PER_REQUEST]
    if not names or names[0] not in drawn:
        if not step.key:  # of every product that has such a driver
            return
        raise DomainError(f"{step.what!r}: {step.key!r} has no {step.on} to act on; say it of the cost.")
    for name in names:
        drawn[name] = drawn[name] * factor
    if is_volume:
        for name in drawn:
            if name.startswith(Driver.PRICE):
                drawn[name] = drawn[name] * np.where(factor > 0, factor, 1.0) ** (follows_fraction - 1)


def _follows(history: History, cost: Array) -> float | None:
    """Log change of cost for a log change of tokens from one day to the next, 0 to 1; None when tokens hardly move."""
    if not history.tokens:
        return None
    tokens = np.sum([_array(counts) for counts in history.tokens.values()], axis=0)
    both = (cost > 0) & (tokens > 0)
    x, y = (np.diff(np.log(np.where(both, values, np.nan))) for values in (tokens, cost))
    known = np.isfinite(x) & np.isfinite(y)
    if known.sum() < LEAST_DAYS // 2 or x[known].std() < _LEAST_SPREAD:
        return None
    return float(np.clip((x[known] @ y[known]) / (x[known] @ x[known]), 0.0, 1.0))


def _over(above: Array, below: Array) -> Array:
    return np.asarray(np.divide(above, below, out=np.full(len(above), np.nan), where=below > 0))


def _array(values: Sequence[Decimal | int | float | None]) -> Array:
    return np.array([np.nan if value is None else float(value) for value in values])
