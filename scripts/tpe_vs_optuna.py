"""The regret of Optuna's multivariate TPE on the landscapes of `tpe_regret landscapes`, read from standard input.

Prints a JSON object: for each kind of landscape, the regrets of each landscape at its budgets.
"""

import json
import random
import sys
import warnings

import optuna

warnings.simplefilter("ignore")
optuna.logging.set_verbosity(optuna.logging.ERROR)


def value(landscape, configuration):
    total = sum(own[choice] for own, choice in zip(landscape["effects"], configuration))
    for pair, before, choice in zip(landscape["pairs"], configuration, configuration[1:]):
        total += pair[before][choice]
    return total


def search(landscape, seed):
    noise = random.Random(f"noise {seed}")
    study = optuna.create_study(
        direction="maximize", sampler=optuna.samplers.TPESampler(multivariate=True, seed=seed)
    )
    # The recommended configuration is the one with the highest mean score, as for the samplers it is compared with.
    scores, regrets = {}, []
    for trial_number in range(1, landscape["budgets"][-1] + 1):
        trial = study.ask()
        configuration = tuple(
            trial.suggest_categorical(f"v{variable:02}", range(choices))
            for variable, choices in enumerate(landscape["choices"])
        )
        score = value(landscape, configuration) + noise.gauss(0, landscape["noise"])
        study.tell(trial, score)
        scores.setdefault(configuration, []).append(score)
        if trial_number in landscape["budgets"]:
            best = max(scores, key=lambda key: sum(scores[key]) / len(scores[key]))
            gap = landscape["maximum"] - value(landscape, best)
            regrets.append(gap / (landscape["maximum"] - landscape["mean"]))
    return regrets


def main():
    results = {}
    for line in sys.stdin:
        landscape = json.loads(line)
        runs = results.setdefault(landscape["kind"], [])
        runs.append(search(landscape, seed=len(runs)))
        print(f"\r{landscape['kind']}: {len(runs)}   ", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    json.dump(results, sys.stdout)


main()
