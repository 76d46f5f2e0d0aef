"""`policies.toml` in the folder that PERMILLION_HOME names: how its deployments are scaled now.

docs/capacity.md shows every key, data/demo/policies.toml those of the sample.
"""

from collections.abc import Iterable
from pathlib import Path

from costlib.autoscale_file import policies_from
from costlib.autoscale_policy import Policy
from costlib.errors import UnknownKey
from store.catalog_files import DATA, read_toml
from store.home import Home

FILE_NAME = "policies.toml"
SAMPLE_POLICIES = DATA / "demo" / FILE_NAME
Written = tuple[tuple[str, Policy], ...]  # each with the deployment it is of; "" is of all


def policies_in_force(home: Home, is_sample: bool, deployments: Iterable[str]) -> Written:
    """What the home's policies.toml says, or that of the sample where data are the sample's and the home has no file;
    nothing without either. Raises ConfigError, UnknownKey or DomainError naming the file and the place in it."""
    own = home.path / FILE_NAME
    if own.exists():
        return policies_of(own, deployments)
    return policies_from(read_toml(SAMPLE_POLICIES), FILE_NAME) if is_sample else ()


def policies_of(path: Path, deployments: Iterable[str]) -> Written:
    """The policies of a file, which may name these deployments. Raises as `policies_in_force`."""
    found, known = policies_from(read_toml(path), path.name), list(deployments)
    for place, (of, _) in enumerate(found, 1):
        if of and of not in known:
            raise UnknownKey("deployment", of, known, f"{path.name}, policy {place}")
    return found


def policies_for(key: str, written: Written) -> tuple[Policy, ...]:
    """Those that are of one deployment."""
    return tuple(policy for of, policy in written if of in ("", key))
