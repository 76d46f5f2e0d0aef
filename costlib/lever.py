"""The lever contract. A lever edits the scenario's inputs, never the answer; the model is then solved again.

One file in `costlib/levers/` declares one `LEVER`; its widgets, share link and contract tests then exist.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from typing import Any

from costlib.catalog import Catalog
from costlib.errors import ConfigError, UnknownKey
from costlib.scenario import Scenario
from costlib.sources import Source
from costlib.units import MEGA

Values = Mapping[str, Any]


class Stage(IntEnum):
    """The order in which levers are applied. Attribution does not depend on it; what an edit finds does."""

    REQUESTS = 0  # which of them reach a model at all
    MODEL = 1
    SERVING = 2
    ROUTING = 3
    HARDWARE = 4
    PURCHASE = 5


class Effort(StrEnum):
    """What pulling a lever takes, least first."""

    FLAG = "other flags and a restart"
    CLIENT = "a change in what clients send"
    CHECKPOINT = "another checkpoint and its evaluation"
    SERVICE = "a service beside the models"
    FLEET = "other machines"
    CONTRACT = "another way to buy"


class Work(StrEnum):
    """What a lever leaves alone, and what its saving is therefore counted per: anything that it changes on purpose
    would count its own effect away."""

    TOKENS = "tokens"  # computed, cached and generated, each at its weight
    ASKED_TOKENS = "asked_tokens"  # a prompt token that is cached counts as if it were computed
    REQUESTS = "requests"  # finished ones, however many tokens they take
    OUTSIDE = "outside"  # what clients sent: some of it no longer reaches a server, and only a gateway sees that


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One choice; `blocked` says why it cannot be taken in this scenario."""

    value: str
    label: str
    blocked: str = ""


KEEP = Option(value="keep", label="Keep")  # what each deployment has today: a choice at rest


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """One of several texts. `ordered` ones are drawn as a slider."""

    key: str
    label: str
    options: Callable[[Scenario, Catalog], tuple[Option, ...]]
    neutral: str
    help: str
    ordered: bool = False

    def checked(self, value: Any, scenario: Scenario, catalog: Catalog, where: str) -> str:
        if value != self.neutral:  # what is offered can be costly to find out, and rest is always allowed
            known = [option.value for option in self.options(scenario, catalog)]
            if value not in known:
                raise UnknownKey(self.key, value, known, where)
        return str(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Number:
    """A number from `low` to `high`; `unit` follows the figure. The key says what it is: a `_fraction` is shown as a
    percentage, what has `usd` in it as dollars. `usual` is the range that 80 % of such values are found in, where the
    number is a guess about the world; without it, it is a decision."""

    key: str
    label: str
    low: float
    high: float
    step: float
    neutral: float
    help: str
    unit: str = ""
    usual: tuple[float, float] | None = None

    @property
    def is_share(self) -> bool:
        return self.key.endswith("_fraction")

    @property
    def is_money(self) -> bool:
        return "usd" in self.key.split("_")

    def shown(self, value: float) -> str:
        """The figure as people write it, without its unit: 12 %, $0.05, 2.5."""
        if self.is_share:
            percent = value * 100
            return f"{percent:.1f} %" if round(percent, 1) % 1 else f"{percent:.0f} %"
        return f"${value:,.3g}" if self.is_money else f"{value:,.6g}"

    def checked(self, value: Any, scenario: Scenario, catalog: Catalog, where: str) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or not self.low <= value <= self.high:
            raise ConfigError(
                f"{where}: {self.key} must be a number from {self.low:g} to {self.high:g}, not {value!r}."
            )
        return float(value)


@dataclass(frozen=True, slots=True, kw_only=True)
class Switch:
    """On or off. While it is off, the lever does nothing, whatever its other values."""

    key: str
    label: str
    help: str
    neutral: bool = False

    def checked(self, value: Any, scenario: Scenario, catalog: Catalog, where: str) -> bool:
        if not isinstance(value, bool):
            raise ConfigError(f"{where}: {self.key} must be true or false, not {value!r}.")
        return value


Param = Choice | Number | Switch


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a lever cannot be pulled here, and what would let it."""

    reason: str
    remedy: str


def refuse_unmodelled(scenario: Scenario, remedy: str) -> Refusal | None:
    """A refusal where no deployment is served by the engine model, which is all that a lever of serving can edit."""
    if scenario.modelled:
        return None
    return Refusal(
        reason="no deployment has a modelled capacity: each is bought by the token or states its throughput",
        remedy=remedy,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Monotone:
    """What must hold whatever the scenario: along `values` of `param`, the step `step` only rises, or only falls."""

    param: str
    values: tuple[Any, ...]
    step: str
    rises: bool


# What a lever that changes answers is asked for besides: without an evaluation, its saving is unproven.
EVIDENCE = (
    Number(
        key="accepted_fraction",
        label="Answers still accepted",
        low=0.0,
        high=1.0,
        step=0.001,
        neutral=1.0,
        unit="still accepted",
        help="Of the answers you evaluated with this lever on, how many are as good as today's.",
    ),
    Number(
        key="evaluated_count",
        label="Answers evaluated",
        low=0,
        high=MEGA,
        step=1,
        neutral=0,
        unit="evaluated",
        help="How many answers that share is of. None: the saving is unproven.",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Lever:
    """`key` equals the file's name. `refuse` and `apply` are pure and see values that passed `check_values`.

    One that `changes_answers` takes the two numbers of `EVIDENCE` besides its own. `rollback` says how to go back,
    `saves_per` what its saving is counted per once it is live.
    """

    key: str
    stage: Stage
    label: str
    question: str
    params: tuple[Param, ...]
    refuse: Callable[[Scenario, Values, Catalog], Refusal | None]
    apply: Callable[[Scenario, Values, Catalog], Scenario]
    expect: Monotone
    effort: Effort
    changes_answers: bool
    saves_per: Work = Work.TOKENS
    risks: str
    rollback: str
    sources: tuple[Source, ...]

    @property
    def evidence(self) -> tuple[Number, ...]:
        return EVIDENCE if self.changes_answers else ()

    @property
    def neutral_values(self) -> dict[str, Any]:
        return {param.key: param.neutral for param in (*self.params, *self.evidence)}

    def is_neutral(self, values: Values) -> bool:
        """True when these values ask for no change: its switch is off or, without one, everything is at rest."""
        switches = [param for param in self.params if isinstance(param, Switch)]
        return all(values[param.key] == param.neutral for param in switches or self.params)

    def check_values(self, values: Values, scenario: Scenario, catalog: Catalog) -> dict[str, Any]:
        """`values` completed with neutral ones and checked. Raises ConfigError with the allowed values."""
        where = f"lever {self.key}"
        params = (*self.params, *self.evidence)
        known = {param.key for param in params}
        for key in values:
            if key not in known:
                raise UnknownKey("parameter", key, known, where)
        return {
            param.key: param.checked(values[param.key], scenario, catalog, where)
            if param.key in values
            else param.neutral
            for param in params
        }
