"""Calibration against fleets with planted constants: coefficients found, back-test, and what the 80 % band covers.

Two days of minutes to calibrate on, the second of them held out; the third is what the band has to cover. Every minute
has 3 % of noise, every day is 1 % off.
"""

from statistics import mean

from costlib.calibration import calibrate
from costlib.fitted import with_ratios
from store.catalog_files import load_catalog
from tests.costlib.simulated_fleet import MINUTES_OF_A_DAY, coefficients, covered_fraction, simulated, stated, upto

PLANTED = {"compute": 0.85, "memory": 0.9, "overhead": 1.3}
FLEETS = (
    ("llama-3.1-8b", "h100-sxm", {}),
    ("llama-3.3-70b", "h100-sxm", {"tensor_parallel_count": 4}),
    ("llama-3.3-70b", "h200-sxm", {"tensor_parallel_count": 2, "weight_precision": "fp8"}),
    ("qwen2.5-7b", "a100-sxm-80gb", {}),
    ("mixtral-8x7b", "h100-sxm", {"tensor_parallel_count": 2}),
)
SEEDS = range(5)


def main() -> None:
    catalog = load_catalog()
    print(f"{'':<32}{'per step':>10}{'prompt':>10}{'sequence':>10}{'context':>10}{'back-test':>11}{'covered':>9}")
    for model, gpu, serving in FLEETS:
        of = stated(catalog, model, gpu, **serving)
        planted = coefficients(of, with_ratios(of.constants, PLANTED))
        errors: dict[str, list[float]] = {name: [] for name in (*planted, "back-test", "covered")}
        for seed in SEEDS:
            load = simulated(of, PLANTED, seed=seed)
            found = calibrate(upto(load, 2 * MINUTES_OF_A_DAY), of, catalog)
            constants = catalog.engine.resolve(of.model, of.gpu, of.serving, fitted=found.fitted)
            for name, seconds in coefficients(of, constants).items():
                errors[name].append(abs(seconds / planted[name] - 1))
            errors["back-test"].append(found.back_test.median_error_ratio if found.back_test else float("nan"))
            errors["covered"].append(covered_fraction(of, constants, load, since=2 * MINUTES_OF_A_DAY))
        means = [mean(values) for values in errors.values()]
        print(f"{f'{model} on {gpu}':<32}" + "".join(f"{value:>10.1%}" for value in means))
    print("Errors are means over seeds of the absolute error against what was planted; of the back-test, of medians.")
