# %% [lesson]
# title: Shrink and ship
# goal: Make a trained network many times smaller in three ways, know what each costs in accuracy, and hand it to
#   somebody who has no tinynet.
# time: 75 minutes
# needs: Lessons 6 (softmax, cross-entropy) and 7 (layers, Adam)
# seconds: ci 12, laptop 52

# %% [markdown]
# ## Predict first
#
# Below, a network with some fifty thousand numbers or more learns to read digits. Then we set some of its weights to
# **zero**: those nearest to zero anyway. **How many can go before it reads worse? A tenth? Half? Nine tenths?** Write
# down a number.
#
# It matters. The network in a phone's camera or a hearing aid must fit into little memory and answer in a few
# thousandths of a second. Networks are trained large, because large ones learn more easily, and shrunk afterwards.

# %%
try:
    parts = [tn.data.datasets.mnist(train=train, download=False) for train in (True, False)]
except RuntimeError:
    parts = [tn.data.datasets.digits(train=train) for train in (True, False)]  # these come with tinynet

most = tn.learn.sized(ci=(1000, 500), laptop=(10_000, 5000), full=(60_000, 10_000))
(images, labels), (test_images, test_labels) = ((part.tensors[0][:n].flatten(1), part.tensors[1][:n])
                                                for part, n in zip(parts, most, strict=True))
pixels = images.shape[1]
print(f"{len(images):,} images of {pixels} pixels to train with, {len(test_images):,} to test with")

# %%
from itertools import pairwise

from tqdm.auto import tqdm

from tinynet import nn


def network(*sizes):
    layers = [layer for a, b in pairwise(sizes) for layer in (nn.Linear(a, b), nn.ReLU())]
    return nn.Sequential(*layers[:-1])


def train(model, loss, steps, among=None, lr=2e-3, after=None, what="steps"):
    """Steps of Adam on batches of the images (or of the first `among`); loss(scores, rows) -> one number."""
    optimizer, rng = tn.optim.Adam(model.parameters(), lr=lr), np.random.default_rng(0)
    for _ in tqdm(range(steps), desc=what, leave=False):
        rows = tn.tensor(rng.choice(among or len(images), 64, replace=False))
        optimizer.zero_grad()
        loss(model(images[rows]), rows).backward()
        optimizer.step()
        if after is not None:
            after()
    return model


def from_labels(scores, rows):
    return nn.functional.cross_entropy(scores, labels[rows])


def accuracy(model):
    with tn.no_grad():
        return tn.metrics.accuracy(test_labels, model(test_images).argmax(1))


steps = tn.learn.sized(ci=250, laptop=2500, full=10_000)
large = train(network(pixels, 256, 128, 10), from_labels, steps, what="the large network")
trained = {name: t.clone() for name, t in large.state_dict().items()}
count = sum(p.numel() for p in large.parameters())
print(f"{count:,} numbers, {tn.compress.size_in_bytes(large):,} bytes; {accuracy(large):.1%} of the test images right")

# %% [markdown]
# ## Way 1: prune
#
# Look at the weights themselves:

# %%
weights = tn.cat([layer.weight.detach().flatten() for layer in large if isinstance(layer, nn.Linear)]).numpy()
fig, ax = plt.subplots()
ax.hist(weights, bins=201, range=(-0.25, 0.25), color="0.6")
for share, style in ((0.5, "-"), (0.8, "--"), (0.95, ":")):
    limit = np.quantile(np.abs(weights), share)
    for side in (-limit, limit):
        ax.axvline(side, color="black", linestyle=style, linewidth=1.5,
                   label=f"{share:.0%} lie between" if side > 0 else None)
ax.set(xlabel="weight", ylabel="how many weights", title="Most weights are close to zero")
ax.legend()
plt.show()

# %% [markdown]
# (A step on either side of the middle is where they began: the first layer's weights are drawn from between two
# numbers, and many hardly moved.) A weight of $0.01$ changes the sum it stands in by next to nothing. So: set the
# weights of least *magnitude* to zero.
#
# ## Exercise 1: which may stay?
#
# Make the **mask** of a weight matrix: True for each weight that stays, False for those that go. Exactly
# $\text{round}(\text{share} \cdot n)$ of the $n$ weights go, even where many weights are equal. `w.flatten()` is one
# long row, `.argsort()` of it gives the places of its numbers from the least to the greatest, and
# `mask.reshape(w.shape)` brings the shape back.

# %%
@tn.exercise("14.keep")
def keep(w, share):
    """A tensor of bools like w: False at the share of weights of least magnitude, True at the others."""
    # BEGIN SOLUTION
    order = w.abs().flatten().argsort()
    mask = tn.ones(w.numel(), dtype=tn.bool)
    mask[order[:round(share * w.numel())]] = False
    return mask.reshape(w.shape)
    # END SOLUTION

# %%
tn.check("14.keep")

# %% [markdown]
# Prune each layer by the same share, and measure. Then let the network **recover**: train it a little more, setting the
# pruned weights back to zero after each step. Those that are left learn to do the work of those that went.

# %%
layers = [layer for layer in large if isinstance(layer, nn.Linear)]
shares = tn.learn.sized(ci=(0.5, 0.9), laptop=(0.5, 0.7, 0.8, 0.9, 0.95, 0.98))
pruned = {}  # share -> (accuracy at once, accuracy after recovery, the weights)
for share in shares:
    large.load_state_dict(trained)
    masks = [keep(layer.weight.detach(), share) for layer in layers]

    def set_to_zero(masks=masks):
        with tn.no_grad():
            for layer, mask in zip(layers, masks, strict=True):
                layer.weight.mul_(mask.to(tn.float32))

    set_to_zero()
    at_once = accuracy(large)
    train(large, from_labels, steps // 4, after=set_to_zero, what=f"{share:.0%} pruned")
    pruned[share] = at_once, accuracy(large), {name: t.clone() for name, t in large.state_dict().items()}
large.load_state_dict(trained)

fig, ax = plt.subplots()
for k, (name, style) in enumerate((("at once", "o--"), ("after some more training", "s-"))):
    ax.plot([100 * s for s in pruned], [100 * found[k] for found in pruned.values()], style, label=name)
ax.axhline(100 * accuracy(large), color="0.5", linestyle=":", label="nothing pruned")
ax.set(xlabel="weights set to zero (%)", ylabel="test images right (%)", title="Most of the network was not needed")
ax.legend(loc="lower left")
plt.show()
for share, (at_once, later, _) in pruned.items():
    print(f"{share:4.0%} pruned: {at_once:6.1%} at once, {later:6.1%} later")

# %% [markdown]
# What number did you write down?
#
# One question is left: **is the file any smaller?** A zero takes four bytes, as any other number does. It gets smaller
# if the zeros are stored cleverly. The cheapest way is to compress the file, as a `.zip` does:

# %%
import zlib


def zipped(state):
    """The bytes of all weights, compressed."""
    return sum(len(zlib.compress(t.numpy().tobytes(), 9)) for t in state.values())


print(f"nothing pruned: {zipped(trained):,} bytes compressed")
for share, (_, _, state) in pruned.items():
    print(f"{share:14.0%}: {zipped(state):,}")

# %% [markdown]
# Weights that were learnt are nearly random digits, and hardly compress; zeros do. (Nor is it *faster*: multiplying by
# zero takes as long as by anything else, unless whole rows or channels are zero, or the processor knows about sparse
# matrices.)
#
# ## Way 2: eight bits
#
# A `float32` has 32 bits, with 7 digits of precision. Does a weight need 7 digits? Instead keep, for each row of a
# weight matrix, one number, the **scale**, and for each weight a whole number from $-127$ to $127$, which fits into 8
# bits:
#
# $$w \approx q \cdot \text{scale} \qquad \text{scale} = \max |w| \,/\, 127 \qquad q = \text{round}(w / \text{scale})$$
#
# A quarter of the memory; and the error is at most half a step:

# %%
row = layers[0].weight.detach()[0]
scale = row.abs().max() / 127
print(f"the largest weight is {row.abs().max().item():.4f}, so a step is {scale.item():.5f}; some weights:")
for w in row[200 % pixels:].tolist()[:4]:
    q = round(w / scale.item())
    print(f"  {w:9.5f} -> {q:4} -> {q * scale.item():9.5f}, off by {abs(w - q * scale.item()):.5f}")

# %% [markdown]
# ## Exercise 2: to int8
#
# For a whole matrix, with a scale for each row. Beware of a row in which all is zero (after pruning there are some).
# `tn.where(condition, a, b)` takes $a$ where the condition holds and $b$ elsewhere.

# %%
@tn.exercise("14.to_int8")
def to_int8(w):
    """(q, scale) for a matrix w: q like w, of dtype tn.int8, and scale, one number for each row, (rows, 1)."""
    # BEGIN SOLUTION
    #? largest = ...
    #? scale = ...
    #? return ..., scale
    largest = w.abs().amax(1, keepdim=True)
    scale = tn.where(largest > 0, largest / 127, 1.0)
    return (w / scale).round().to(tn.int8), scale
    # END SOLUTION

# %%
tn.check("14.to_int8")

# %% [markdown]
# `tn.compress.quantize` does it for a whole network, and goes a step further: what goes *into* each layer becomes whole
# numbers too. For that it must know how large those get, so it is shown some images (**calibration**). Then all the
# products and sums are of whole numbers, for which a chip needs far less room and energy.

# %%
eight = tn.compress.quantize(large, images[:200])
q, scale = to_int8(layers[0].weight.detach())
print(eight[0])
print(f"its weights are your numbers: {bool((eight[0].weight == q).all())}")
print(f"before {accuracy(large):.2%}, {tn.compress.size_in_bytes(large):,} bytes")
print(f"after  {accuracy(eight):.2%}, {tn.compress.size_in_bytes(eight):,} bytes")

# %% [markdown]
# Here is the layer, as it runs. Find the whole numbers, the sum of their products, and the two scales that bring it
# back:

# %%
import inspect

print(inspect.getsource(tn.compress.QuantizedLinear.forward))

# %% [markdown]
# ## Way 3: a small network with a teacher
#
# Why not train a small network in the first place? Often one can. But small networks need more help, and labels are
# dear. Suppose that only the first 100 images have labels. The large network was trained long ago, on other people's
# labelled data, and can be asked about *any* image. It says more than a label:

# %%
with tn.no_grad():
    teacher_scores = large(images)
chances = (teacher_scores / 2).softmax(-1)  # at temperature 2, see below
doubtful = int((chances.amax(1) - 0.6).abs().argmin())
fig, (left, right) = plt.subplots(1, 2, figsize=(6.4, 2.4), width_ratios=(1, 2))
left.imshow(images[doubtful].reshape(2 * (round(pixels**0.5),)).numpy(), cmap="gray_r")
left.set(title=f"label: {labels[doubtful].item()}", xticks=[], yticks=[])
right.bar(range(10), chances[doubtful].numpy(), color="0.5")
right.set(xlabel="digit", ylabel="probability", xticks=range(10), title="What the teacher thinks")
plt.show()

# %% [markdown]
# "Perhaps this, but it looks like that one, too" is a better lesson than a bare label. To let the small voices be
# heard, divide the scores by a **temperature** $T$ before the softmax, as in lessons 12 and 13. With $p$ the teacher's
# probabilities and $q$ the student's, both at temperature $T$, how far $q$ is from $p$ is measured by
#
# $$\text{KL}(p, q) = \sum_c p_c\,(\log p_c - \log q_c)$$
#
# It is $0$ if they agree and positive otherwise. Where there are labels as well, both are mixed:
#
# $$\text{loss} = \alpha\,T^2\,\text{KL}(p, q) + (1 - \alpha)\,\text{cross-entropy}(\text{student}, \text{labels})$$
#
# Dividing the scores by $T$ makes the slopes smaller, by about $T^2$ altogether. The factor $T^2$ makes up for it, so
# that one can try other temperatures without changing the learning rate.
#
# ## Exercise 3: the loss of distillation
#
# Scores have a row for each image. Take the mean over the images. The teacher's numbers are *given*: no gradient may go
# to them (`.detach()`). `nn.functional.log_softmax(x, -1)` is the logarithm of the probabilities, and
# `nn.functional.cross_entropy(scores, labels)` is what it says.

# %%
@tn.exercise("14.distillation_loss")
def distillation_loss(student, teacher, labels, temperature, alpha):
    """alpha T² KL(p, q) + (1 - alpha) cross-entropy; scores of student and teacher (N, classes), labels (N,)."""
    # BEGIN SOLUTION
    #? log_p = ...
    #? log_q = ...
    #? apart = ...
    #? return ...
    log_p = nn.functional.log_softmax(teacher.detach() / temperature, -1)
    log_q = nn.functional.log_softmax(student / temperature, -1)
    apart = (log_p.exp() * (log_p - log_q)).sum(-1).mean()
    return alpha * temperature**2 * apart + (1 - alpha) * nn.functional.cross_entropy(student, labels)
    # END SOLUTION

# %%
tn.check("14.distillation_loss")

# %% [markdown]
# Three students with 16 hidden features, from the same start and with as many steps. The first has 100 labels. The
# second has **no label at all**: only the teacher's scores, of all images. The third, for comparison, has all labels.
# **Predict the order.**

# %%
def from_teacher(scores, rows):
    return distillation_loss(scores, teacher_scores[rows], labels[rows], 2.0, 1.0)  # alpha = 1: labels do not count


students = {}
for name, loss, among in (("100 labels", from_labels, 100), ("teacher, no labels", from_teacher, None),
                          ("all labels", from_labels, None)):
    tn.manual_seed(1)
    students[name] = train(network(pixels, 16, 10), loss, steps, among, lr=5e-3, what=name)
    print(f"student, {name:20} {accuracy(students[name]):.1%}")
small = students["teacher, no labels"]
larger = count / sum(p.numel() for p in small.parameters())
print(f"the teacher                   {accuracy(large):.1%}, with {larger:.0f} times as many numbers")

# %% [markdown]
# Compare the first two. The images are what carries the knowledge over: each is a question that the teacher answers.
# Where all images have labels, as for the third, there is little left for the teacher to add on data as easy as these.
#
# ## All together
#
# The ways combine: a pruned network can be put into eight bits and the file compressed, a student likewise. The picture
# that decides what is shipped has size to the right, and accuracy upwards. **One wants the upper left corner.**

# %%
share = tn.learn.sized(ci=0.9, laptop=0.8)
large.load_state_dict(pruned[share][2])
eight_pruned = tn.compress.quantize(large, images[:200])
large.load_state_dict(trained)
eight_small = tn.compress.quantize(small, images[:200])
candidates = [("large", zipped(trained), accuracy(large), "o"),
              ("int8", zipped(eight.state_dict()), accuracy(eight), "s")]
candidates += [(f"{s:.0%} pruned", zipped(state), after, "^") for s, (_, after, state) in pruned.items() if s >= 0.8]
candidates += [(f"{share:.0%} pruned, int8", zipped(eight_pruned.state_dict()), accuracy(eight_pruned), "D"),
               ("student", zipped(small.state_dict()), accuracy(small), "v"),
               ("student, int8", zipped(eight_small.state_dict()), accuracy(eight_small), "P")]
candidates.sort(key=lambda candidate: candidate[1])
fig, ax = plt.subplots(figsize=(7, 4))
for k, (name, size, right, marker) in enumerate(candidates):
    ax.semilogx(size / 1024, 100 * right, marker, color="black", markersize=7)
    ax.annotate(name, (size / 1024, 100 * right), (0, 7 if k % 2 else -14), textcoords="offset points", ha="center",
                fontsize=8)
rights = sorted(100 * right for _, _, right, _ in candidates)
ax.set(xlabel="size, compressed (KiB)", ylabel="test images right (%)", title="Accuracy against size",
       ylim=(max(rights[0], rights[-1] - 9) - 1, rights[-1] + 1))
ax.margins(x=0.12)
plt.show()
for name, size, right, _ in candidates:
    print(f"{name:20} {size / 1024:7.1f} KiB  {right:.2%}  {zipped(trained) / size:5.1f} times smaller")

# %% [markdown]
# ## How fast is it?
#
# Size can be counted; time must be measured, and is easily measured wrong. The first runs are slow (memory is fetched,
# kernels are made ready), and now and then the machine does something else in the middle of a run. So: some runs to
# **warm up**, which do not count; then many, each by itself; and of their times the **median**, the one in the middle,
# which a single slow run cannot move.
#
# ## Exercise 4: latency
#
# `clock()` gives the time in seconds, as `time.perf_counter` does. `np.median(list)` is the median.

# %%
@tn.exercise("14.latency")
def latency(run, clock, warmup, times):
    """The median seconds of run(), over so many times, after `warmup` runs that do not count."""
    # BEGIN SOLUTION
    for _ in range(warmup):
        run()
    seconds = []
    for _ in range(times):
        start = clock()
        run()
        seconds.append(clock() - start)
    return np.median(seconds)
    # END SOLUTION

# %%
tn.check("14.latency")

# %%
import time

print("milliseconds for      one image   256 images")
for name, model in (("large", large), ("large, int8", eight), ("student", small), ("student, int8", eight_small)):
    with tn.no_grad():
        one, many = (latency(lambda model=model, n=n: model(images[:n]), time.perf_counter, 5, 40) for n in (1, 256))
    print(f"{name:20} {one * 1e3:10.3f} {many * 1e3:12.3f}")

# %% [markdown]
# Two surprises. For one image the student gains far less than its size promises: what takes the time there is Python,
# not the multiplications. And int8 is **slower** here: the source above says why. NumPy has no fast product of 8-bit
# numbers, so tinynet multiplies them as `float64`, which gives exactly what a chip would give, but not its speed. Eight
# bits are for where they are shipped *to*. Never believe that something is faster before it was measured where it will
# run.
#
# ## Ship it
#
# Somebody else should run it, without your code. Two files do that. **safetensors** holds the weights. It is so simple
# that you can read it by hand: 8 bytes that say how long the header is; the header, which is JSON; and the numbers.

# %%
import json
import tempfile
from pathlib import Path

folder = tempfile.TemporaryDirectory()
file = Path(folder.name) / "student.safetensors"
tn.io.save_safetensors(small.state_dict(), file)
raw = file.read_bytes()
length = int.from_bytes(raw[:8], "little")
header = json.loads(raw[8:8 + length])
print(f"{len(raw):,} bytes, of which {length} are the header:")
for name, entry in header.items():
    print(f"  {name}: {entry}")
begin, end = header["2.bias"]["data_offsets"]
by_hand = np.frombuffer(raw[8 + length:][begin:end], np.float32)
print("2.bias, read by hand, is right:", np.array_equal(by_hand, small[2].bias.detach().numpy()))

# %% [markdown]
# It says nothing about what is done with the weights. **ONNX** does: it holds the computation too, step by step, and
# runs in other programs and languages, in browsers and on phones. tinynet runs the network once, and writes down each
# step it sees. (It needs the package `onnx`, and `onnxruntime` to run the file; without them the cell says so.)

# %%
try:
    tn.onnx.export(small, images[:1], Path(folder.name) / "student.onnx")
    import onnx
    import onnxruntime

    file = str(Path(folder.name) / "student.onnx")
    for node in onnx.load(file).graph.node:
        print(f"  {node.op_type}({', '.join(node.input)}) -> {', '.join(node.output)}")
    session = onnxruntime.InferenceSession(file)
    theirs = session.run(None, {"input": test_images.numpy()})[0]
    with tn.no_grad():
        print(f"another program's scores differ by at most {np.abs(theirs - small(test_images).numpy()).max():.1e}")
except ImportError as missing:
    print(f"left out: {missing}")
folder.cleanup()

# %% [markdown]
# ## Read the engine
#
# `tn.compress` has what you wrote. Its pruning lets the weights of all layers compete with one another, and marks them
# by a mask that stays through training:

# %%
print(inspect.getsource(tn.compress.prune_magnitude).split('"""')[2])
print(inspect.getsource(tn.compress.distillation_loss).split('"""')[2])

# %% [markdown]
# ## What would break?
#
# 1. Prune by `w` instead of `w.abs()`: the half of the weights that are *lowest*. What happens to the accuracy?
# 2. Recover without setting the weights back to zero after each step. What do you get?
# 3. One weight of a row is $100$ times as large as the others. What becomes of the others in int8?
# 4. Calibrate with images that are all black. What does `quantize` then do with real ones?
# 5. A student with $T = 100$, or with $T = 0.1$.
#
# <details><summary>Answers</summary>
#
# 1. All the negative weights go, large ones too. What is left knows only what speaks *for* a digit; at once, it is near
#    guessing.
# 2. A trained network, not a pruned one: after the first step hardly a weight is zero, as Adam moves every one.
# 3. They have two or three levels left, or are all 0: the scale is set by the largest. That is why there is a scale for
#    each row, and why those who shrink language models fight with such outliers.
# 4. The range is found to be $[0, 0]$, and all that comes later is cut off to it: the network is blind. Calibration
#    images must be like those that will come.
# 5. At 100 all classes look nearly alike and rounding matters; at 0.1 the probabilities are 0 and 1, and the teacher
#    gives bare labels.
#
# </details>
#
# ## Further reading
#
# - G. Hinton, O. Vinyals and J. Dean, *Distilling the Knowledge in a Neural Network* (2015).
# - S. Han, J. Pool, J. Tran and W. Dally, *Learning both Weights and Connections for Efficient Neural Networks* (2015).
# - J. Frankle and M. Carbin, *The Lottery Ticket Hypothesis* (2019): why large networks can be pruned so far.
# - B. Jacob et al., *Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference*
#   (2018).
# - The ONNX operators, https://onnx.ai/onnx/operators: what a network can be written down in.
