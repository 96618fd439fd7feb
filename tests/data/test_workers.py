"""The loader's threads: the same batches in the same order, errors as they were, and no thread left behind."""
from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinynet as tn
from tinynet.data import DataLoader, Dataset, IterableDataset, RandomSampler, Subset, TensorDataset
from tinynet.data.transforms import Compose, RandomCrop, RandomHorizontalFlip


class Uneven(Dataset):
    """The squares; some come late."""

    def __init__(self, n): self.n = n
    def __len__(self): return self.n

    def __getitem__(self, i):
        time.sleep(0.002 * (i % 3 == 0))
        return i * i


class Stream(IterableDataset):
    def __init__(self, n): self.n, self.readers = n, set()
    def __len__(self): return self.n

    def __iter__(self):
        for i in range(self.n):
            self.readers.add(threading.get_ident())
            yield i


class Failing(Dataset):
    def __init__(self, error, at=5): self.error, self.at = error, at
    def __len__(self): return 100

    def __getitem__(self, i):
        if i == self.at:
            raise self.error
        return i


def workers():
    return [thread for thread in threading.enumerate() if thread.name.startswith("tinynet.data worker")]


@pytest.fixture(autouse=True)
def no_thread_is_left():
    assert workers() == []
    yield
    end = time.monotonic() + 5
    while workers() and time.monotonic() < end:
        time.sleep(0.02)  # they end by themselves, but not at once
    assert workers() == []


def values(loader):
    return [batch.tolist() for batch in loader]


# --- the same as without ------------------------------------------------------------------------------------
@given(st.integers(0, 30), st.integers(1, 7), st.booleans(), st.integers(1, 4), st.integers(1, 3))
def test_batches_and_order_are_those_of_no_worker(n, size, drop_last, num_workers, factor):
    for dataset in (range(n), Stream(n)):
        alone = DataLoader(dataset, size, drop_last=drop_last)
        together = DataLoader(dataset, size, drop_last=drop_last, num_workers=num_workers, prefetch_factor=factor)
        for _ in range(2):
            assert values(together) == values(alone)
        assert len(together) == len(alone)
    assert workers() == []


@pytest.mark.parametrize("persistent", [False, True])
@pytest.mark.parametrize("num_workers", [1, 3])
def test_late_samples_do_not_change_the_order(num_workers, persistent):
    loader = DataLoader(Uneven(40), 3, num_workers=num_workers, persistent_workers=persistent)
    for _ in range(2):
        assert [i for batch in loader for i in batch.tolist()] == [i * i for i in range(40)]


@pytest.mark.parametrize("num_workers", [0, 2])
def test_shuffling_follows_the_loaders_generator(num_workers):
    data = Subset(TensorDataset(tn.arange(50)), list(range(5, 45)))

    def epochs(seed):
        loader = DataLoader(data, 8, True, num_workers=num_workers, generator=tn.Generator().manual_seed(seed))
        return [[i for x, in loader for i in x.tolist()] for _ in range(2)]

    before = tn.random.default_generator.get_state()
    first, second = epochs(3)
    assert epochs(3) == [first, second] != epochs(4) and first != second
    assert sorted(first) == sorted(second) == list(range(5, 45))
    alone = DataLoader(data, 8, True, generator=tn.Generator().manual_seed(3))
    assert [i for x, in alone for i in x.tolist()] == first
    assert (tn.random.default_generator.get_state() == before).all()


@pytest.mark.parametrize("num_samples, replacement", [(100, False), (100, True), (25, False)])
def test_reading_ahead_does_not_mix_with_what_the_consumer_draws(num_samples, replacement):
    """Dropout draws from the same generator, while the loader is already some batches ahead."""
    def run(num_workers):
        tn.manual_seed(0)
        sampler = RandomSampler(range(30), replacement, num_samples)
        return [(batch.tolist(), tn.rand(2).tolist()) for batch in
                DataLoader(range(30), 4, sampler=sampler, num_workers=num_workers)]

    assert run(0) == run(1) == run(3)


@pytest.mark.parametrize("data", ["map", "stream", "single", "bulk"])
def test_transforms_are_the_same_with_any_number_of_workers(data):
    images, labels = tn.rand(20, 2, 6, 6), tn.arange(20)

    class Samples(IterableDataset):
        def __iter__(self): return iter(zip(images, labels, strict=True))

    transform = Compose([RandomCrop(6, padding=2), RandomHorizontalFlip()])
    pairs = TensorDataset(images, labels)
    options = {"map": {"dataset": pairs, "batch_size": 6, "shuffle": True}, "stream": {"dataset": Samples(),
               "batch_size": 6}, "single": {"dataset": [(images, labels)] * 4, "batch_size": None},
               "bulk": {"dataset": pairs, "batch_size": None, "sampler": [[1, 2], [3], [4, 5]]}}[data]

    def epochs(num_workers):
        tn.manual_seed(5)
        loader = DataLoader(**options, collate_fn=transform, num_workers=num_workers)
        return [[(x.tolist(), y.tolist()) for x, y in loader] for _ in range(2)]

    first, second = epochs(0)
    assert epochs(1) == epochs(3) == [first, second] and first != second


def test_every_batch_is_transformed_in_its_own_way():
    same = TensorDataset(tn.rand(1, 1, 3, 3).repeat(40, 1, 1, 1))
    loader = DataLoader(same, 1, collate_fn=RandomCrop(3, padding=1), generator=tn.Generator().manual_seed(0))
    assert len({str(x.tolist()) for x, in loader}) == 9


# --- what the threads do ------------------------------------------------------------------------------------
def test_batches_are_made_ahead_and_not_further():
    begun = []

    class Counted(Dataset):
        def __len__(self): return 100

        def __getitem__(self, i):
            begun.append(i)
            return i

    iterator = iter(DataLoader(Counted(), 1, num_workers=2, prefetch_factor=3))
    assert begun == [] and workers() == []  # nothing happens before it is asked for
    next(iterator)
    time.sleep(0.2)
    assert len(workers()) == 2 and sorted(begun) == list(range(7))  # the one that was asked for and 2 x 3 ahead
    next(iterator)
    time.sleep(0.2)
    assert sorted(begun) == list(range(8))
    del iterator


def test_threads_work_at_the_same_time():
    meet = threading.Barrier(3, timeout=10)

    class Meeting(Dataset):
        def __len__(self): return 6
        def __getitem__(self, i): return meet.wait() >= 0 and i

    assert values(DataLoader(Meeting(), 1, num_workers=3)) == [[i] for i in range(6)]


def test_a_stream_is_read_once_by_one_thread():
    stream = Stream(50)
    assert values(DataLoader(stream, 4, num_workers=3)) == values(DataLoader(Stream(50), 4))
    assert len(stream.readers) == 1 and threading.get_ident() not in stream.readers


def test_workers_that_persist_are_the_same_threads_until_the_loader_goes():
    seen = []

    class Who(Dataset):
        def __len__(self): return 40

        def __getitem__(self, i):
            time.sleep(0.001)
            return seen.append(threading.get_ident()) or i

    started = []
    loader = DataLoader(Who(), 2, num_workers=2, persistent_workers=True, worker_init_fn=started.append)
    for _ in range(3):
        for _ in loader:
            assert len(workers()) == 2
    for _ in loader:
        break
    assert len(set(seen)) == 2 and sorted(started) == [0, 1] and len(workers()) == 2
    both = list(zip(loader, loader, strict=True))  # two at a time share the threads
    assert all(a.tolist() == b.tolist() for a, b in both) and len(workers()) == 2
    del loader


def test_worker_init_fn_is_called_in_each_thread_before_its_first_sample():
    ready = threading.local()

    class Prepared(Dataset):
        def __len__(self): return 20
        def __getitem__(self, i): return ready.number * 0 + i

    def start(number): ready.number = number

    assert values(DataLoader(Prepared(), 5, num_workers=2, worker_init_fn=start))[0] == [0, 1, 2, 3, 4]


# --- errors -------------------------------------------------------------------------------------------------
class OfOnesOwn(Exception):
    def __init__(self, a, b): super().__init__(a, b)  # cannot be made from a message


@pytest.mark.parametrize("error", [KeyError("k"), OfOnesOwn(1, 2), SystemExit(3), MemoryError()])
@pytest.mark.parametrize("persistent", [False, True])
def test_an_error_is_raised_as_it_was_and_where_it_belongs(error, persistent):
    seen = []
    loader = DataLoader(Failing(error), 2, num_workers=2, persistent_workers=persistent)
    with pytest.raises(type(error)) as caught:
        for batch in loader:
            seen.append(batch.tolist())
    assert caught.value is error and seen == [[0, 1], [2, 3]]
    frames = [frame.name for frame in traceback.extract_tb(error.__traceback__)]
    assert frames[-1] == "__getitem__" and "test_an_error_is_raised_as_it_was_and_where_it_belongs" in frames
    assert persistent or workers() == []
    loader.dataset.at = 50  # the next epoch is none the worse
    with pytest.raises(type(error)):
        assert len([seen.append(batch) for batch in loader]) > 20
    error.__traceback__ = None
    del loader, caught


def test_errors_of_streams_samplers_collating_and_starting():
    class Broken(IterableDataset):
        def __iter__(self):
            yield 1
            raise OfOnesOwn(1, 2)

    def bad_sampler():
        yield 0
        raise OfOnesOwn(1, 2)

    def fail(_): raise OfOnesOwn(1, 2)

    for loader in (DataLoader(Broken(), 2, num_workers=2),
                   DataLoader(range(3), 2, num_workers=2, sampler=bad_sampler()),
                   DataLoader(range(3), 2, num_workers=2, collate_fn=fail),
                   DataLoader(range(3), 2, num_workers=2, worker_init_fn=fail),
                   DataLoader(range(3), 2, num_workers=2, persistent_workers=True, worker_init_fn=fail)):
        with pytest.raises(OfOnesOwn):
            list(loader)


def test_a_batch_that_does_not_come_in_time():
    stuck = threading.Event()

    class Stuck(Dataset):
        def __len__(self): return 10
        def __getitem__(self, i): return i if i < 4 else stuck.wait(60)

    iterator = iter(DataLoader(Stuck(), 2, num_workers=1, timeout=0.3))
    assert next(iterator).tolist() == [0, 1] and next(iterator).tolist() == [2, 3]
    began = time.monotonic()
    with pytest.raises(RuntimeError, match=r"DataLoader timed out after 0\.3 seconds"):
        next(iterator)
    assert 0.25 < time.monotonic() - began < 5
    stuck.set()


def test_a_timeout_error_of_the_data_set_is_its_own():
    with pytest.raises(TimeoutError, match="the network"):
        list(DataLoader(Failing(TimeoutError("the network")), 2, num_workers=1, timeout=20))


@pytest.mark.parametrize("options, error, message", [
    ({"num_workers": -1}, ValueError, "num_workers option should be non-negative, got -1"),
    ({"num_workers": 1.5}, TypeError, r"num_workers is a number of threads, got 1\.5"),
    ({"timeout": -1}, ValueError, "timeout option should be non-negative"),
    ({"prefetch_factor": 2}, ValueError, "let num_workers > 0"),
    ({"prefetch_factor": 0, "num_workers": 1}, ValueError, "prefetch_factor option should be positive, got 0"),
    ({"persistent_workers": True}, ValueError, "persistent_workers option needs num_workers > 0"),
    ({"multiprocessing_context": "fork", "num_workers": 1}, ValueError, "the workers are threads"),
])
def test_the_loader_refuses(options, error, message):
    with pytest.raises(error, match=message):
        DataLoader(range(3), **options)


def test_a_timeout_needs_a_worker():
    with pytest.raises(AssertionError, match="timeout=3 needs num_workers > 0"):
        iter(DataLoader(range(3), timeout=3))


def test_the_arguments_are_kept():
    loader = DataLoader(range(3), num_workers=2, timeout=3, pin_memory=True)
    assert (loader.num_workers, loader.timeout, loader.prefetch_factor, loader.pin_memory) == (2, 3, 2, True)
    assert DataLoader(range(3)).prefetch_factor is None
    with pytest.raises(ValueError, match="persistent_workers attribute should not be set"):
        loader.persistent_workers = True


# --- leaving early ------------------------------------------------------------------------------------------
class Slow(Dataset):
    begun = 0

    def __len__(self): return 1000

    def __getitem__(self, i):
        Slow.begun += 1
        time.sleep(0.1)
        return i


def leave_by_break(loader):
    for _ in loader:
        break


def leave_by_error(loader):
    with pytest.raises(ZeroDivisionError):
        for _ in loader:
            _ = 1 / 0


def leave_by_return_of_a_generator(loader):
    def doubled():
        for batch in loader:
            yield batch * 2

    next(doubled())


def leave_by_close(loader):
    iterator = iter(loader)
    next(iterator)
    iterator.close()


def leave_by_garbage_collection(loader):
    class Holder:
        pass

    holder = Holder()
    holder.iterator, holder.itself = iter(loader), holder
    next(holder.iterator)
    del holder
    gc.collect()


@pytest.mark.parametrize("leave", [leave_by_break, leave_by_error, leave_by_return_of_a_generator, leave_by_close,
                                   leave_by_garbage_collection])
def test_leaving_early_ends_the_threads_and_begins_nothing_more(leave):
    Slow.begun = 0
    leave(DataLoader(Slow(), 1, num_workers=2, prefetch_factor=4))
    assert workers() == []
    assert Slow.begun < 9  # were asked for


def test_leaving_early_with_workers_that_persist_begins_nothing_more():
    Slow.begun = 0
    loader = DataLoader(Slow(), 1, num_workers=2, prefetch_factor=4, persistent_workers=True)
    leave_by_break(loader)
    time.sleep(0.5)
    assert Slow.begun < 9 and len(workers()) == 2
    assert next(iter(loader)).tolist() == [0]
    del loader


@pytest.mark.skipif(sys.platform == "win32", reason="needs a signal to oneself")
def test_ctrl_c_while_waiting_ends_the_threads():
    entered = threading.Event()

    class Waiting(Dataset):
        def __len__(self): return 10

        def __getitem__(self, i):
            entered.set()
            time.sleep(0.1)
            return i

    def interrupt():
        entered.wait(10)
        time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt).start()
    with pytest.raises(KeyboardInterrupt):
        for _ in DataLoader(Waiting(), 5, num_workers=2):
            pass
    assert workers() == []


@pytest.mark.parametrize("options, ending", [("", ""), ("", "sys.exit()"), (", persistent_workers=True", ""),
                                             (", persistent_workers=True", "del iterator, loader")])
def test_the_interpreter_ends_though_a_thread_is_busy(options, ending):
    code = f"""
import sys, time, tinynet as tn
class Slow(tn.data.Dataset):
    def __len__(self): return 1000
    def __getitem__(self, i): return time.sleep(0.01 if i < 3 else 100) or i
loader = tn.data.DataLoader(Slow(), 1, num_workers=1{options})
iterator = iter(loader)
print(next(iterator).item())
{ending}
"""
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (run.returncode, run.stdout, run.stderr) == (0, "0\n", "")


def test_a_batch_is_not_kept_longer_than_its_consumer_keeps_it():
    import weakref

    class Box:
        pass

    class Boxes(Dataset):
        def __len__(self): return 8
        def __getitem__(self, i): return Box()

    alive = []
    loader = DataLoader(Boxes(), 1, num_workers=1, prefetch_factor=1, collate_fn=lambda boxes: boxes[0],
                        persistent_workers=True)
    for box in loader:
        alive.append(weakref.ref(box))
        del box
    time.sleep(0.1)
    assert [ref() for ref in alive] == [None] * 8
    del loader
