"""Trainings to run (`tinynet train NAME`) and to read: a network, its data, and the few lines that train it.

How a recipe is written. A module `my_net.py` in this folder is the recipe `my-net`; the command finds it by itself. The
first line of its docstring is its help, up to the ": `tinynet train my-net`." that it ends with (keep it below 70
characters). It defines, in the order in which they are read:

    def data(run):                          the training set and the test set
    def network(run):                       the model, untrained
    def train(run, train_set, test_set):    (the trained model, its History): optimizer, tn.Trainer, fit()
    def measure(run, model, test_set):      figures by name; mostly one of `classification` and `regression`
    RECIPE = Recipe(data=data, ...)         these four, and the defaults of --epochs, --batch-size and --lr

`mnist_cnn` is the plainest. All that recipes share stands in `frame` and `report`, once:

- `run` has what the command line says: `epochs batch_size lr seed device data`, and by name in `run.options` those
  options that the recipe adds (`Recipe(options={"--images": {"metavar": "FOLDER", "help": ...}})`: the keywords are
  argparse's, and give a default). The random numbers are seeded already.
- The data set is named (`Recipe(source="mnist")`: one of tn.data.datasets, looked for in `run.data`), or data() says in
  `run.source` where its data come from.
- train() calls `run.network()`, gives the Trainer `device=run.device` and fit() `callbacks=run.callbacks`, which take
  the time, note the model, which Ctrl-C then keeps (who writes the loop himself sets `run.trained`), and write the
  table of the epochs. Figures of the epochs that the History has become the curves.
- What network() must know of the data (the classes, a vocabulary), data() puts into `run.options`. The checkpoint keeps
  these, and `tinynet evaluate` calls data(), network() and measure() again, with the options as they were then and with
  `run.evaluating` True. Only what tn.save takes may be among them; and data() must not draw what it drew before by
  chance: use a Generator seeded with run.seed for that.
- `run.predict(model, data_set)` gives all outputs and targets, and takes the time per sample.
- What else there is to print, train() and measure() hand over: `run.show("sample", text)`, or a table as a list of rows
  (dicts). What is drawn: `run.picture("samples", figure)`; figures come from `tn.viz` with Axes of `run.figure(...)`.
  Progress goes to stderr (`run.say`), the report to stdout, once, by the frame.
"""
from __future__ import annotations

from tinynet.recipes.frame import Recipe, Run, cook, every
from tinynet.recipes.report import classification, regression

__all__ = ["Recipe", "Run", "classification", "cook", "every", "regression"]
