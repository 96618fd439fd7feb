"""Training on a GPU: the numbers of the CPU, and nothing comes from there that was not asked for."""

from __future__ import annotations

import copy
from functools import partial

import pytest

import tinynet as tn
from tinynet.optim import SGD, Adagrad, Adam, AdamW, Muon, NAdam, RMSprop

OPTIMIZERS = {"SGD": partial(SGD, lr=0.05, momentum=0.9), "Adam": Adam, "AdamW": AdamW,
              "Adagrad": Adagrad, "RMSprop": RMSprop, "NAdam": NAdam}  # fmt: skip


def without_dropout(model):
    for module in model.modules():
        if isinstance(module, tn.nn.Dropout):
            module.p = 0.0
    return model


@pytest.mark.parametrize("device", ["cuda", "cuda:1"])
@pytest.mark.parametrize("name", ["mlp", "cnn", "gpt", "lstm"])
def test_nothing_comes_from_the_gpu_unasked(gpu, nets, name, device):
    """Of three steps with Adam only the batches go there, and only what item() asks for comes back."""
    make, batch = nets.NETS[name]
    model = make().to(device)
    optimizer = Adam(model.parameters(), lr=1e-3)
    data = [batch() for _ in range(3)]
    nets.step(model, optimizer, *(t.to(device) for t in data[0]), clip=True)  # state is made, mistakes are noted
    gpu.traffic.clear()
    for x, target in data:
        loss = nets.step(model, optimizer, x.to(device), target.to(device), clip=True)
    assert gpu.traffic == {"to device": 6}, "the batches"
    assert isinstance(loss.item(), float)
    assert gpu.traffic["to host"] == 2 and not gpu.traffic["wait"], "the loss, and the notes of what was wrong"


@pytest.mark.parametrize("optimizer", sorted(OPTIMIZERS))
def test_an_optimizer_asks_for_nothing(gpu, nets, optimizer):
    make, batch = nets.NETS["mlp"]
    model = make().to("cuda")
    x, target = (t.to("cuda") for t in batch())
    optimizer = OPTIMIZERS[optimizer](model.parameters())
    for _ in range(3):
        gpu.traffic.clear()
        nets.step(model, optimizer, x, target)
    assert not gpu.traffic


def test_muon_asks_for_nothing(gpu):
    w = tn.nn.Parameter(tn.randn(4, 6, device="cuda"))
    optimizer = Muon([w])
    for _ in range(2):
        (w * w).sum().backward()
        gpu.traffic.clear()
        optimizer.step()
        optimizer.zero_grad()
    assert not gpu.traffic


@pytest.mark.parametrize("name", ["mlp", "cnn", "gpt", "lstm"])
def test_the_same_training_as_on_the_cpu(gpu, nets, name):
    make, batch = nets.NETS[name]
    here = without_dropout(make()).to(tn.float64)
    there = copy.deepcopy(here).to("cuda")
    optimizers = [Adam(model.parameters(), lr=1e-2) for model in (here, there)]
    for _ in range(4):
        x, target = batch()
        x = x.double() if x.is_floating_point() else x
        losses = [nets.step(model, optimizer, x.to(p.device), target.to(p.device))
                  for model, optimizer in zip((here, there), optimizers, strict=True)
                  for p in [next(model.parameters())]]  # fmt: skip
        assert losses[1].device.type == "cuda" and losses[0].item() == pytest.approx(losses[1].item(), rel=1e-9)
    for (path, a), (_, b) in zip(here.state_dict().items(), there.state_dict().items(), strict=True):
        assert tn.allclose(a, b.cpu(), rtol=1e-7, atol=1e-9), path


def test_a_trainer_reads_two_numbers_a_step(gpu, nets):
    """The loss, and one that tells whether it and all gradients are finite."""
    make, batch = nets.NETS["mlp"]
    x, target = batch()
    model = make()
    trainer = tn.Trainer(model, tn.nn.CrossEntropyLoss(), Adam(model.parameters()), device="cuda")
    trainer.fit(x, target, epochs=1, batch_size=4, verbose=False)
    gpu.traffic.clear()
    trainer.fit(x, target, epochs=2, batch_size=2, verbose=False)
    steps = 8
    assert gpu.traffic["to device"] == 2 * steps
    assert gpu.traffic["to host"] == 3 * steps + 4, "of these one for the notes; and the first batch is looked at"
    assert trainer.predict(x).device == tn.device("cuda:0")


def test_a_training_is_saved_and_goes_on(gpu, nets, tmp_path):
    """Bit for bit, dropout's masks too: the stream of the GPU is saved with the others."""
    def trained(epochs, resume_from=None, save=None):
        tn.manual_seed(1)
        make, batch = nets.NETS["mlp"]
        x, target = batch()
        model = make().to("cuda")
        trainer = tn.Trainer(model, tn.nn.CrossEntropyLoss(), Adam(model.parameters()), device="cuda")
        trainer.fit(x, target, epochs=epochs, batch_size=4, verbose=False, resume_from=resume_from)
        if save:
            trainer.save_checkpoint(save)
        return [p.cpu().tolist() for p in model.parameters()]

    path = tmp_path / "half"
    trained(1, save=path)
    assert trained(2, resume_from=path) == trained(2)
    assert tn.load(path)["model"]["0.weight"].device == tn.device("cpu")
    assert tn.load(path, map_location="cuda")["model"]["0.weight"].device == tn.device("cuda:0")


def test_memory_falls_when_a_step_is_over(gpu, nets):
    make, batch = nets.NETS["cnn"]
    model = make().to("cuda")
    x, target = (t.to("cuda") for t in batch())
    optimizer = SGD(model.parameters(), lr=0.1)
    nets.step(model, optimizer, x, target)
    optimizer.zero_grad()
    before = tn.cuda.memory_allocated()
    loss = nets.cross_entropy(model(x), target)
    assert tn.cuda.memory_allocated() > before
    loss.backward()
    optimizer.zero_grad()
    del loss
    assert tn.cuda.memory_allocated() == before
