"""The words of the trial balance: what was charged, what the servers did, and the lines that every dollar ends on."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from enum import StrEnum

from costlib.estimate import Basis


class CostBasis(StrEnum):
    """Billed is the invoice; effective spreads commitments over their use. The two never meet in one sum."""

    BILLED = "billed"
    EFFECTIVE = "effective"


class TokenClass(StrEnum):
    INPUT = "input"  # computed prompt tokens
    CACHED_INPUT = "cached_input"  # prompt tokens found in the prefix cache
    OUTPUT = "output"


class Bucket(StrEnum):
    """Where a dollar can end. Exactly one of these, in the order in which they are shown."""

    INPUT = "input"
    CACHED_INPUT = "cached_input"
    OUTPUT = "output"
    PREEMPTION = "preemption"  # work done twice, because requests were put back
    REJECTED_DRAFT = "rejected_draft"  # speculation that was not accepted
    WARM_IDLE = "warm_idle"  # the server was up and ran no request
    START_AND_DRAIN = "start_and_drain"  # billed before the first and after the last measurement of a server
    UNMEASURED = "unmeasured"  # a server's GPU time of which nothing is known
    UNALLOCATED_GPU = "unallocated_gpu"  # GPUs that no server is matched to
    COMMITMENT_WASTE = "commitment_waste"  # reserved and not used
    COMMITMENT_PURCHASE = "commitment_purchase"  # paid now, used later; only billed cost has it
    API = "api"  # tokens bought from a provider that does not say of which class
    HOST = "host"  # CPU, memory and everything else that computes without a GPU
    NETWORK = "network"
    STORAGE = "storage"
    OTHER_SERVICE = "other_service"
    SUPPORT_AND_LICENCE = "support_and_licence"
    CREDIT = "credit"
    CORRECTION = "correction"  # of an earlier period, refunds among them
    TAX = "tax"
    ROUNDING = "rounding"


@dataclass(frozen=True, slots=True, kw_only=True)
class ChargeGroup:
    """Charges of one billing month that agree in everything said here, summed. Texts are as billed, "" where absent.

    `billed` and the other costs are None when a charge of the group has none of that kind.
    """

    currency: str
    billed: Decimal
    effective: Decimal | None = None
    list_cost: Decimal | None = None
    contracted: Decimal | None = None
    rows_count: int = 1
    provider: str = ""
    billing_account: str = ""
    invoice_id: str = ""
    charge_category: str = "Usage"
    charge_class: str = ""
    pricing_category: str = ""
    commitment_id: str = ""
    commitment_type: str = ""
    commitment_status: str = ""
    capacity_status: str = ""
    service_category: str = ""
    service_name: str = ""
    sku_meter: str = ""
    sku_id: str = ""
    sku_price_details: Mapping[str, str] = field(default_factory=dict)  # InstanceType, GpuCount, ...
    resource_id: str = ""
    resource_name: str = ""
    resource_type: str = ""
    region: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    description: str = ""  # of one of the charges
    pricing_quantity: Decimal | None = None
    pricing_unit: str = ""
    consumed_quantity: Decimal | None = None
    consumed_unit: str = ""
    model: str = ""  # x_Model
    token_class: str = ""  # x_TokenClass
    first_start: datetime | None = None  # of the charge periods, aware UTC
    last_end: datetime | None = None

    def cost(self, basis: CostBasis) -> Decimal | None:
        return self.billed if basis is CostBasis.BILLED else self.effective


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerUse:
    """What one server did for one model in the month, from its counters. None: not exported, or nothing measured."""

    target_key: str
    deployment_key: str
    model_key: str
    labels: Mapping[str, str] = field(default_factory=dict)  # as Snapshot.targets() has them
    gpus_count: int | None = None  # that one engine of it occupies; None: take what is billed
    engines_count: int = 1
    observed_s: float = 0.0  # engine-seconds
    busy_s: float = 0.0
    first_at: datetime | None = None
    last_at: datetime | None = None
    computed_prompt_tokens: int | None = None
    cached_prompt_tokens: int | None = None
    generation_tokens: int | None = None
    requests_count: int | None = None  # finished, however
    requests_stop_count: int | None = None  # by how they finished
    requests_length_count: int | None = None
    requests_abort_count: int | None = None
    requests_error_count: int | None = None
    preemptions_count: int | None = None
    draft_tokens: int | None = None
    accepted_tokens: int | None = None
    prefill_s: float | None = None
    decode_s: float | None = None
    estimated_flop: float | None = None
    estimated_bytes: float | None = None
    peak_fraction: float | None = None  # largest busy share of an hour


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamUse:
    """What a gateway says one team asked of one model. Cached prompt tokens are not among `input_tokens`."""

    model_key: str
    team: str
    input_tokens: int = 0
    cached_input_tokens: int = 0
    output_tokens: int = 0
    requests_count: int = 0


NO_TEAM = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """Part of the bill: one bucket of one owner. Keys are "" where a line has no such owner."""

    bucket: Bucket
    amount: Decimal
    basis: Basis = Basis.MEASURED
    deployment_key: str = ""
    model_key: str = ""
    team: str = NO_TEAM
    provider: str = ""
    tokens: int | None = None  # that `amount` paid for, on lines of a token class
    note: str = ""


class IdlePolicy(StrEnum):
    """Who is shown the cost of idling."""

    OWN_LINE = "own_line"  # nobody: it stays a line of its own
    PROPORTIONAL = "proportional"  # by busy cost
    PEAK_SHARE = "peak_share"  # by the largest hour of each model, which is what capacity is bought for
    RESERVED_SHARE = "reserved_share"  # by the share that owners.toml reserves for each


@dataclass(frozen=True, slots=True, kw_only=True)
class TrialBalance:
    """One month in one currency: every charge on exactly one line. `residual` is total less the sum of the lines: 0."""

    month: str  # YYYY-MM
    currency: str
    basis: CostBasis
    total: Decimal
    lines: tuple[Line, ...]
    residual: Decimal
    gpu_hours: float | None = None
    matched_gpu_hours: float | None = None
    method: str = ""  # how busy cost was split into token classes, and why that method
    bands: Mapping[str, tuple[float, float]] = field(default_factory=dict)  # share per class: least, most
    notes: tuple[str, ...] = ()
