"""Prices of houses, from a table of facts on them: `tinynet train housing`.

A line (linear regression), or a small network (--network mlp). Any other table will do that has numbers to predict:
--csv FILE --target COLUMN. Columns of words become 0s and 1s; a number that is missing counts as the mean of its
column, in the rows to train with, of course: those to test with decide nothing. Every fifth row tests.
"""
from __future__ import annotations

import os
from typing import Any

import numpy as np

import tinynet as tn
from tinynet.data.csvfile import EDITS, hints_as
from tinynet.kinds import check_kind
from tinynet.metrics import to_numpy
from tinynet.recipes import Recipe, Run, regression


def data(run: Run) -> tuple[Any, Any]:
    """The facts and the prices of four houses of five, drawn at random, and of the fifth. The facts have mean 0 and
    standard deviation 1 where they are trained with; 0 then stands for a missing one."""
    table = read(run)
    order = tn.randperm(len(table), generator=tn.Generator().manual_seed(run.seed))
    tested, trained = order[:len(table) // 5], order[len(table) // 5:]
    if len(tested) < 2:
        raise ValueError(f"there are {len(table)} rows: it takes 10, of which every fifth tests, as R² needs two")
    x, y = table.tensors
    scaler = tn.data.StandardScaler()
    run.options["features"] = len(table.features)
    if run.evaluating:
        check_kind("options", run.options, {"facts": {}, "mean": 0.0, "deviation": 1.0})
        scaler.load_state_dict(run.options["facts"])
    else:
        prices = y[trained]
        run.options |= {"facts": scaler.fit(x[trained]).state_dict(), "mean": prices.mean().item(),
                        "deviation": prices.std(correction=0).item() or 1.0}
    x = scaler.transform(x).nan_to_num(0.0)
    return tn.data.TensorDataset(x[trained], y[trained]), tn.data.TensorDataset(x[tested], y[tested])


def read(run: Run) -> tn.data.Table:
    """The table. ValueError if it is not said what to predict, or if that is no number."""
    csv, target = run.data or run.options["csv"], run.options["target"]
    if csv is None:
        return tn.data.datasets.housing()
    with hints_as(EDITS):
        table = tn.data.read_csv(csv, target, one_hot=True, missing="nan")
    if target is None:
        names = ", ".join(dict.fromkeys(name.partition("=")[0] for name in table.features))
        raise ValueError(f"say which column of {csv} is to be predicted: --target, with one of {names}")
    if table.classes is not None:
        raise ValueError(f"{target} is a column of words ({', '.join(table.classes[:3])}, ...); what is predicted here "
                         "are numbers")
    run.options["csv"], run.source = os.path.abspath(csv), f"{csv}, to predict {target}"
    return table


class Priced(tn.nn.Module):
    """A network among numbers around 0, and what turns its outputs into prices."""

    def __init__(self, inner: Any, mean: float, deviation: float) -> None:
        super().__init__()
        self.inner, self.mean, self.deviation = inner, mean, deviation

    def forward(self, x: Any) -> Any:
        """deviation · inner(x) + mean."""
        return self.inner(x) * self.deviation + self.mean


def network(run: Run) -> Any:
    """features -> price; or features -> 32 -> 32 -> price."""
    n = run.options["features"]
    line = tn.nn.Linear(n, 1)
    mlp = tn.nn.Sequential(tn.nn.Linear(n, 32), tn.nn.ReLU(), tn.nn.Linear(32, 32), tn.nn.ReLU(), tn.nn.Linear(32, 1))
    inner = line if run.options["network"] == "linear" else mlp
    return Priced(inner, run.options["mean"], run.options["deviation"])


def train(run: Run, train_set: Any, test_set: Any) -> tuple[Any, tn.History]:
    """Adam, with a step size that falls to 0; that of the network is a tenth of the line's. The loss is the share of
    the prices' variance that is not explained: 1 - R² of what is trained with."""
    model = run.network()
    optimizer = tn.optim.Adam(model.parameters(), lr=run.lr if run.options["network"] == "linear" else run.lr / 10)
    decay = tn.optim.lr_scheduler.LambdaLR(optimizer, lambda epoch: 1 - epoch / run.epochs)

    def unexplained(predicted: Any, price: Any) -> Any:
        return tn.nn.functional.mse_loss(predicted / model.deviation, price / model.deviation)

    trainer = tn.Trainer(model, unexplained, optimizer, metrics=["r2_score"], scheduler=decay, device=run.device)
    history = trainer.fit(train_set, epochs=run.epochs, batch_size=run.batch_size, validation_data=test_set,
                          callbacks=run.callbacks)
    run.show("comparison", beside(train_set, test_set))
    return model, history


def beside(train_set: Any, test_set: Any) -> list[dict[str, Any]]:
    """What others make of the test set: one who always says the mean, and the line that least squares give, exactly."""
    (x, y), (u, actual) = ([to_numpy(t).astype(np.float64) for t in part.tensors] for part in (train_set, test_set))
    x, u = (np.column_stack([t, np.ones(len(t))]) for t in (x, u))
    line = u @ np.linalg.lstsq(x, y, rcond=None)[0]
    return [{"beside it": name, "RMSE": float(np.sqrt(np.mean((found - actual) ** 2))),
             "R²": tn.metrics.r2_score(actual, found)}
            for name, found in (("always the mean", np.full_like(actual, y.mean())), ("least squares", line))]


def measure(run: Run, model: Any, test_set: Any) -> dict[str, float]:
    """RMSE, mean absolute error and R² of the houses that it has not seen, and a picture of them."""
    predicted, actual = run.predict(model, test_set)
    figure = run.figure(4.8, 4.8)
    ax = tn.viz.plot_predicted_vs_actual(actual, predicted, ax=figure.subplots())
    what = run.options["target"] or "price"
    ax.set(xlabel=f"actual {what}", ylabel=f"predicted {what}")
    run.picture("predicted", figure)
    return regression(run, model, test_set)


OPTIONS: dict[str, dict[str, Any]] = {
    "--csv": {"metavar": "FILE", "help": "table to learn from (default: 546 houses, part of tinynet)"},
    "--target": {"metavar": "COLUMN", "help": "the column of it to predict, from all others"},
    "--network": {"choices": ["linear", "mlp"], "default": "linear", "help": "a line, or a network with two hidden "
                  "layers (default: %(default)s)"},
}
RECIPE = Recipe(data=data, network=network, train=train, measure=measure, source="housing", options=OPTIONS,
                epochs=60, batch_size=32, lr=1e-2,
                examples=["housing --network mlp", "housing --csv housing.csv --target median_house_value"])
