"""Accepted calibrations: one file each, never changed. The newest of a deployment as it now is counts."""

import json
import types
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from hashlib import sha256
from typing import Any, Union, get_args, get_origin, get_type_hints

import pandas as pd

from costlib.calibration import Calibration
from costlib.catalog import Catalog
from costlib.engine import EngineConstants
from costlib.errors import ConfigError, DomainError
from costlib.fitted import Setup
from costlib.jsonable import jsonable
from costlib.scenario import Deployment, Scenario, SelfHosted
from costlib.suspects import Stated
from store.durable import write_text
from store.home import Home
from store.read import Snapshot

FORMAT = 1
_STAMP = "%Y%m%dT%H%M%S%fZ"
_SHORT = 12  # characters of a digest
_CHANGED = {
    "labels_sha256": "the labels of its servers",
    "published_sha256": "the published constants",
    "is_sample": "sample or real data",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """What a calibration is of. When any of this changes, it is of something else and is made again."""

    deployment: str
    setup: Setup
    vllm: str  # releases that its servers can be; "" where they do not tell
    labels_sha256: str  # of its servers
    published_sha256: str  # of the constants that the fitted ratios are to
    is_sample: bool

    def change(self, now: "Identity") -> str:
        """What changed since, in words; "" when nothing did."""
        before, after = _flat(self), _flat(now)
        return ", ".join(
            _CHANGED.get(name) or f"{name} was {before[name] or 'unknown'} and is {after[name] or 'unknown'}"
            for name in before
            if before[name] != after[name]
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Kept:
    """One accepted calibration."""

    identity: Identity
    made_at: datetime
    calibration: Calibration


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """What servers say of themselves: `Snapshot.targets()` and `Snapshot.engines()`."""

    targets: pd.DataFrame
    engines: pd.DataFrame
    is_sample: bool

    @classmethod
    def by(cls, snapshot: Snapshot) -> "Told":
        return cls(targets=snapshot.targets(), engines=snapshot.engines(), is_sample=snapshot.is_sample)


def identity_of(deployment: Deployment, catalog: Catalog, told: Told) -> Identity:
    """What `deployment` is now. Raises DomainError for an API, and for what its GPU cannot do."""
    stated = Stated.of(deployment, catalog)
    mine = told.targets[told.targets["deployment_key"] == deployment.key]
    facts = told.engines.loc[told.engines["target_key"].isin(mine["target_key"]), "facts"]
    releases = {_release(of) for of in facts if "vllm_at_least" in of}
    return Identity(
        deployment=deployment.key,
        setup=Setup.of(stated.model.key, stated.gpu.key, stated.serving),
        vllm=", ".join(sorted(releases)),
        labels_sha256=_digest(sorted({json.dumps(dict(of), sort_keys=True) for of in mine["labels"]})),
        published_sha256=_digest(
            [f"{field.name} {getattr(stated.constants, field.name)}" for field in fields(EngineConstants)]
        ),
        is_sample=told.is_sample,
    )


def _release(facts: Mapping[str, str]) -> str:
    below = facts.get("vllm_below")
    return f"{facts['vllm_at_least']} " + (f"to before {below}" if below else "or newer")


def _digest(lines: list[str]) -> str:
    return sha256("\n".join(lines).encode()).hexdigest()


def keep(home: Home, identity: Identity, calibration: Calibration, now: datetime) -> str:
    """Writes an accepted calibration beside the earlier ones; returns the file's name."""
    home.make()
    kept = Kept(identity=identity, made_at=now, calibration=calibration)
    name = f"{now.astimezone(UTC).strftime(_STAMP)}-{_digest([identity.deployment])[:_SHORT]}.json"
    if (home.calibrations / name).exists():
        raise ConfigError(f"{name} exists in {home.calibrations}, and a calibration is never changed; try again.")
    write_text(home.calibrations / name, json.dumps({"format": FORMAT, **jsonable(kept)}, indent=1) + "\n")
    return name


def newest(home: Home, now: Identity) -> tuple[Kept | None, str]:
    """The newest calibration of the deployment as it is `now`; without one why, and "" when there never was any."""
    why = ""
    for path in sorted(home.calibrations.glob(f"*-{_digest([now.deployment])[:_SHORT]}.json"), reverse=True):
        try:
            kept = _kept(json.loads(path.read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
            why = why or f"{path.name} cannot be read: {str(error)[:200].rstrip('.')}. Calibrate again."
            continue
        change = kept.identity.change(now)
        if not change:
            return kept, ""
        why = why or (
            f"the calibration of {kept.made_at:%Y-%m-%d %H:%M} UTC is not used, because it is of something else: "
            f"{change}. Run `permillion calibrate --deployment {now.deployment}`."
        )
    return None, why


def with_calibrations(scenario: Scenario, catalog: Catalog, home: Home, told: Told) -> tuple[Scenario, tuple[str, ...]]:
    """`scenario` with what was found of each deployment that is as it was calibrated; and why others are not used."""
    notes: list[str] = []

    def calibrated(deployment: Deployment) -> Deployment:
        hosted = deployment.supply
        if not isinstance(hosted, SelfHosted):
            return deployment
        try:
            kept, why = newest(home, identity_of(deployment, catalog, told))
        except DomainError:
            return deployment  # what cannot run is said where it is priced
        notes.extend([f"{deployment.key}: {why}"] if why else [])
        return (
            deployment if kept is None else replace(deployment, supply=replace(hosted, fitted=kept.calibration.fitted))
        )

    deployments = tuple(calibrated(deployment) for deployment in scenario.deployments)
    return replace(scenario, deployments=deployments), tuple(notes)


# Writing and reading --------------------------------------------------------------------------------------------------


def _flat(of: Identity) -> dict[str, Any]:
    setup = {field.name: getattr(of.setup, field.name) for field in fields(of.setup)}
    return {**setup, **{field.name: getattr(of, field.name) for field in fields(of) if field.name != "setup"}}


def _kept(document: Any) -> Kept:
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise ValueError(f"it is not of format {FORMAT}")
    found: Kept = _as(Kept, {name: value for name, value in document.items() if name != "format"})
    return found


def _as(kind: Any, value: Any) -> Any:
    """`value` of a JSON document as `kind`. Raises TypeError or ValueError for what it is not."""
    if get_origin(kind) in (Union, types.UnionType):
        (inner,) = (part for part in get_args(kind) if part is not type(None))
        return None if value is None else _as(inner, value)
    if get_origin(kind) is tuple:
        return tuple(_as(get_args(kind)[0], item) for item in value)
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        return kind(**{name: _as(hints[name], item) for name, item in dict(value).items()})  # type: ignore[operator]
    if kind is datetime:
        return datetime.fromisoformat(value)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return kind(value)
    if kind is float and isinstance(value, int | float):
        return float(value)
    if not isinstance(value, kind):
        raise TypeError(f"{str(value)[:40]!r} is no {kind.__name__}")
    return value
