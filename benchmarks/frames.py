"""Frames of mixed columns: rows that are drawn, likelihoods, and imputed values.

    python benchmarks/frames.py --folder ../shared/tables
    python benchmarks/frames.py --parts synthesis --models skvae tvae --tables adult
    python benchmarks/frames.py --parts synthesis --models ctgan --save ctgan
    python benchmarks/frames.py --parts imputation --no-forest

The tables are adult.csv.gz and wine_quality.csv.gz of the folder, from UCI, with text as
categories; a fifth of the rows is held out. The peers TVAE and CTGAN are those of the package
`ctgan` at their defaults, which cannot take missing values: they are given the rows without.
"skvae" is VAETransformer(latent_dim=10), and "longer" one of a larger network and batches.

"synthesis": as many rows are drawn as there are training rows. QualityReport of SDMetrics, with
its column shapes and its pair trends; a HistGradientBoosting model that is trained on drawn
rows and tested on held-out ones (Adult's income: macro F1, F1 of the smaller class and ROC AUC;
wine's quality: R2); the ROC AUC of such a classifier that tells drawn from training rows, in
three folds; the share of drawn rows that are training rows, and the distance of a row to the
closest training row, at its 5th percentile and its median, in standardised numbers and
indicators; seconds, CPU seconds and added memory of fit. "real" are the training rows, and the
held-out ones where drawn rows are compared with training rows.

"likelihood": nats per held-out row of Adult, of independent columns, of the model, and of the
same model with all columns as numbers: categories as codes. With normal marginals these have
probabilities as in the model; without, they have densities, which may be above 1.

"imputation": 30 % of the cells of 10,000 rows of Adult are hidden at random. The accuracy of
the categories, and the squared error of the numbers, standardised.
"""

import argparse
import warnings

import numpy as np
import pandas as pd
import torch
from _frame_imputers import hide, imputers
from _frames import MODELS, TARGETS, categories, load, synthesize
from _machine import describe_machine
from _results import Table, add_option, save
from sklearn.compose import make_column_transformer
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import f1_score, r2_score, roc_auc_score
from sklearn.model_selection import cross_val_predict
from sklearn.neighbors import NearestNeighbors
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skvae import VAETransformer
from skvae.data.marginals import NormalScores
from skvae.likelihoods import Gaussian

N_CLOSEST = 5000  # rows whose closest training row is looked for


def quality(rows, train):
    """Return SDMetrics' score, and the two of which it is the mean."""
    # Only this part of the benchmark needs the package.
    from sdmetrics.reports.single_table import QualityReport

    plain = dict.fromkeys(categories(train), object)
    kinds = {
        each: {"sdtype": "categorical" if each in plain else "numerical"} for each in train
    }
    report = QualityReport()
    tables = (train.astype(plain), rows.astype(plain))
    report.generate(*tables, {"columns": kinds}, verbose=False)
    parts = report.get_properties().set_index("Property").Score
    return {"quality": report.get_score(), "shapes": parts.iloc[0], "pairs": parts.iloc[1]}


def downstream(rows, test, target):
    """Return scores on real rows of a model that was trained on these rows."""
    features, truth = test.drop(columns=target), test[target]
    if target not in categories(test):
        model = HistGradientBoostingRegressor(random_state=0)
        predicted = model.fit(rows.drop(columns=target), rows[target]).predict(features)
        return {"R2": r2_score(truth, predicted)}
    model = HistGradientBoostingClassifier(random_state=0)
    rare = truth.value_counts().index[-1]
    model.fit(rows.drop(columns=target), rows[target] == rare)
    p = model.predict_proba(features)[:, 1]
    return {
        "macro F1": f1_score(truth == rare, p > 0.5, average="macro"),
        "F1": f1_score(truth == rare, p > 0.5),
        "ROC AUC": roc_auc_score(truth == rare, p),
    }


def detection(rows, train):
    """Return the ROC AUC of a classifier that tells as many drawn from real rows."""
    n = min(len(rows), len(train))
    both = pd.concat([part.sample(n, random_state=0) for part in (train, rows)])
    is_drawn = np.repeat([False, True], n)
    model = HistGradientBoostingClassifier(random_state=0)
    p = cross_val_predict(model, both, is_drawn, cv=3, method="predict_proba")[:, 1]
    return {"detected": roc_auc_score(is_drawn, p)}


def closeness(rows, train):
    """Return the share of copies, and quantiles of the distance to the closest training row."""
    names = categories(train)
    encode = make_column_transformer(
        (OneHotEncoder(sparse_output=False, handle_unknown="ignore"), names),
        remainder=StandardScaler(),
    )
    neighbors = NearestNeighbors(n_neighbors=1).fit(encode.fit_transform(train))
    few = rows.sample(min(N_CLOSEST, len(rows)), random_state=0)
    distance = neighbors.kneighbors(encode.transform(few))[0]
    copies = rows.astype(object).merge(train.drop_duplicates().astype(object))
    low, median = np.quantile(distance, [0.05, 0.5])
    return {"copies": len(copies) / len(rows), "closest 5%": low, "closest": median}


def synthesis(table, args):
    """Print the figures of drawn rows and return them as a table."""
    train, test = load(args.folder, table)
    target, complete = TARGETS[table], train.dropna()
    title = f"{table}: {len(train)} rows, {len(complete)} without gaps"
    print(f"\n{title}")
    found = []
    for name in ("real", *args.models):
        found.append([])
        for seed in range(1 if name == "real" else args.seeds):
            if name == "real":
                rows, trained, took = test.dropna(), train, (0.0, 0.0, 0.0)
            else:
                rows, *took = synthesize(name, train, seed)
                trained = rows
            figures = {
                **quality(rows, complete),
                **downstream(trained, test, target),
                **detection(rows, complete),
                **closeness(rows, complete),
                **dict(zip(("seconds", "CPU s", "MiB"), took, strict=True)),
            }
            if name == "real":
                print("".ljust(14) + "".join(f"{each[:11]:>12s}" for each in figures))
            found[-1].append(list(figures.values()))
            label = f"{name}, {seed}" if args.seeds > 1 else name
            line = "".join(f"{value:12.4f}" for value in figures.values())
            print(label.ljust(14) + line, flush=True)
    rows = [
        [name, *zip(*seeds, strict=True)]
        for name, seeds in zip(("real", *args.models), found, strict=True)
    ]
    return Table(f"Drawn rows of {title}", ["rows", *figures], rows)


def as_codes(table):
    """Return all columns as numbers."""
    codes = table.copy()
    for name in categories(table):
        codes[name] = table[name].cat.codes.where(table[name].notna())
    return codes.astype(float)


def independent(train, test):
    """Return the log-likelihood of held-out rows under the training marginals."""
    names = categories(train)
    total = 0.0
    for name in names:
        counts = train[name].value_counts() + 0.5
        values = test[name].dropna()
        total += np.log(counts / counts.sum())[values].sum()
    numbers = [part.drop(columns=names).to_numpy(dtype=float) for part in (train, test)]
    units = NormalScores.of_rows(numbers[0])
    head = Gaussian("per_feature", marginals="normal").head(units).double()
    raw = torch.zeros(numbers[1].shape, dtype=torch.float64)
    with torch.no_grad():
        log_p = head(raw).log_prob(torch.as_tensor(units.to_model(numbers[1]))).numpy()
    return (total + np.sum(log_p + units.log_jacobian_of(numbers[1]))) / len(test)


def likelihood(args):
    """Print held-out log-likelihoods on Adult and return them as a table."""
    train, test = load(args.folder, "adult")
    print("\nadult: nats per held-out row")
    rows = [["independent columns", [independent(train, test)]]]
    print(f"{rows[0][0]:30s}{rows[0][1][0]:10.3f}", flush=True)
    codes = (as_codes(train), as_codes(test))
    cases = {
        "model": ((train, test), "auto"),
        "all numbers, normal marginals": (codes, Gaussian(marginals="normal")),
        "all numbers, as densities": (codes, Gaussian()),
    }
    for label, (parts, likelihood) in cases.items():
        rows.append([label, []])
        for seed in range(args.seeds):
            model = VAETransformer(10, likelihood=likelihood, random_state=seed).fit(parts[0])
            rows[-1][1].append(model.score(parts[1]))
            print(f"{label:30s}{rows[-1][1][-1]:10.3f}", flush=True)
    title = "adult: log-likelihood in nats per held-out row"
    return Table(title, ["columns", "log-likelihood"], rows)


def imputation(args):
    """Print the errors of imputed values on Adult and return them as a table."""
    table = load(args.folder, "adult")[0].head(args.imputed_rows).reset_index(drop=True)
    holes, hidden = hide(table, 0.3)
    names = categories(table)
    numbers = [name for name in table if name not in names]
    scale = table[numbers].std()
    title = f"adult: {len(table)} rows, {hidden.to_numpy().mean():.0%} of the cells hidden"
    print(f"\n{title}")
    rows = []
    print(f"{'':18s} accuracy    MSE    CPU s")
    for label, impute in imputers(not args.no_forest):
        filled, cpu = impute(holes)
        right = (filled[names] == table[names]).to_numpy()[hidden[names].to_numpy()]
        errors = ((filled[numbers] - table[numbers]) / scale).to_numpy(dtype=float)
        mse = np.mean(errors[hidden[numbers].to_numpy()] ** 2)
        rows.append([label, f"{right.mean():.4f}", f"{mse:.4f}", f"{cpu:.1f}"])
        print("{:18s} {:>8s} {:>8s} {:>8s}".format(*rows[-1]), flush=True)
    return Table(title, ["imputer", "accuracy", "mean squared error", "CPU s"], rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--folder", default="../shared/tables")
    parser.add_argument("--tables", nargs="+", choices=TARGETS, default=list(TARGETS))
    parts = ("synthesis", "likelihood", "imputation")
    parser.add_argument("--parts", nargs="+", choices=parts, default=parts)
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--imputed-rows", type=int, default=10_000)
    parser.add_argument("--no-forest", action="store_true")
    add_option(parser)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    print(describe_machine())
    found = []
    if "synthesis" in args.parts:
        found += [synthesis(table, args) for table in args.tables]
    if "likelihood" in args.parts:
        found.append(likelihood(args))
    if "imputation" in args.parts:
        found.append(imputation(args))
    save(__file__, found, args.save)
