"""GPU-seconds of input, cached input and output by each method, against fleets whose step times are known.

Errors are of a class' GPU-seconds. The naive split, by prefill time and summed time per token, knows no cached input.
"""

from costlib.books import Bucket
from costlib.token_split import naive_input_fraction, splits
from tests.costlib.planted_fleet import FLEETS, Planted, planted

CLASSES = (Bucket.INPUT, Bucket.CACHED_INPUT, Bucket.OUTPUT)


def main() -> None:
    print(f"{'':<40}{'':<16}{'input':>9}{'cached':>9}{'output':>9}")
    for name, (steps, kinds, load) in FLEETS.items():
        fleet = planted(steps, kinds, load)
        true = fleet.gpu_seconds()
        print(f"{name:<40}{'true share':<16}" + "".join(f"{true[bucket] / fleet.busy_s:>9.1%}" for bucket in CLASSES))
        for method, shares in _by_method(fleet).items():
            seconds = {bucket: share * fleet.facts.busy_s for bucket, share in shares.items()}
            errors = (
                f"{seconds[bucket] / true[bucket] - 1:>+9.1%}" if bucket in seconds and true[bucket] else f"{'':>9}"
                for bucket in CLASSES
            )
            print(f"{'':<40}{method:<16}" + "".join(errors))


def _by_method(fleet: Planted) -> dict[str, dict[Bucket, float]]:
    found = {str(split.method): dict(split.shares) for split in splits(fleet.windows, fleet.facts) if split.usable}
    of_input = naive_input_fraction(fleet.facts.prefill_s or 0.0, fleet.summed_time_per_token_s)
    return {**found, "naive": {Bucket.INPUT: of_input, Bucket.OUTPUT: 1 - of_input}}
