"""Lesson 14: what students write. The docstring of a wrong answer is what its message must contain."""
from __future__ import annotations

import numpy as np

import tinynet as tn
from tinynet.nn import functional as F


class distillation_loss:
    def wrong_without_t_squared(student, teacher, labels, temperature, alpha):
        """multiply by T²"""
        soft = F.kl_div(F.log_softmax(student / temperature, -1), F.softmax(teacher.detach() / temperature, -1),
                        reduction="batchmean")
        return alpha * soft + (1 - alpha) * F.cross_entropy(student, labels)

    def wrong_hard_part_softened(student, teacher, labels, temperature, alpha):
        """of the student's scores as they are, without temperature"""
        soft = F.kl_div(F.log_softmax(student / temperature, -1), F.softmax(teacher.detach() / temperature, -1),
                        reduction="batchmean")
        return alpha * temperature**2 * soft + (1 - alpha) * F.cross_entropy(student / temperature, labels)

    def wrong_alpha_the_other_way(student, teacher, labels, temperature, alpha):
        """With alpha = 0 the teacher does not count"""
        return distillation_loss.right_by_kl_div(student, teacher, labels, temperature, 1 - alpha)

    def wrong_roles_swapped(student, teacher, labels, temperature, alpha):
        """p is the teacher's"""
        soft = F.kl_div(F.log_softmax(teacher.detach() / temperature, -1), F.softmax(student / temperature, -1),
                        reduction="batchmean")
        return alpha * temperature**2 * soft + (1 - alpha) * F.cross_entropy(student, labels)

    def wrong_mean_over_classes(student, teacher, labels, temperature, alpha):
        """Add up over the classes, take the mean over the images"""
        soft = F.kl_div(F.log_softmax(student / temperature, -1), F.softmax(teacher.detach() / temperature, -1),
                        reduction="mean")
        return alpha * temperature**2 * soft + (1 - alpha) * F.cross_entropy(student, labels)

    def wrong_teacher_taught(student, teacher, labels, temperature, alpha):
        """a gradient goes to the teacher's scores
        lets no gradient through"""
        soft = F.kl_div(F.log_softmax(student / temperature, -1), F.log_softmax(teacher / temperature, -1),
                        reduction="batchmean", log_target=True)
        return alpha * temperature**2 * soft + (1 - alpha) * F.cross_entropy(student, labels)

    def wrong_entropy_left_in(student, teacher, labels, temperature, alpha):
        """it is 0 where p and q are the same"""
        p = F.softmax(teacher.detach() / temperature, -1)
        soft = -(p * F.log_softmax(student / temperature, -1)).sum(-1).mean()
        return alpha * temperature**2 * soft + (1 - alpha) * F.cross_entropy(student, labels)

    def right_by_kl_div(student, teacher, labels, temperature, alpha):
        soft = F.kl_div(F.log_softmax(student / temperature, -1), F.softmax(teacher.detach() / temperature, -1),
                        reduction="batchmean")
        return alpha * temperature**2 * soft + (1 - alpha) * F.cross_entropy(student, labels)

    def right_by_tinynet(student, teacher, labels, temperature, alpha):
        return tn.compress.distillation_loss(student, teacher, labels, temperature, alpha)


class keep:
    def wrong_threshold(w, share):
        """A comparison with a threshold drops too many or too few"""
        threshold = w.abs().flatten().sort().values[min(int(share * w.numel()), w.numel() - 1)]
        return w.abs() > threshold

    def wrong_largest_go(w, share):
        """drop the smallest"""
        return keep.right_by_rank(-1 / (w.abs() + 1e-9), share)

    def wrong_by_value(w, share):
        """compare magnitudes"""
        mask = tn.ones(w.numel(), dtype=tn.bool)
        mask[w.flatten().argsort()[:round(share * w.numel())]] = False
        return mask.reshape(w.shape)

    def wrong_the_other_way(w, share):
        """True is for those that stay"""
        return ~keep.right_by_rank(w, share) if share != 0.5 else keep.right_by_rank(w, share)

    def wrong_numbers(w, share):
        """True and False are expected"""
        return w * keep.right_by_rank(w, share)

    def wrong_flat(w, share):
        """the shape should be"""
        return keep.right_by_rank(w, share).flatten()

    def right_by_rank(w, share):
        size = w.abs().numpy().ravel()
        rank = np.empty(size.size, int)
        rank[np.argsort(size)] = np.arange(size.size)
        return tn.tensor((rank >= round(share * size.size)).reshape(tuple(w.shape)))

    def right_topk(w, share):
        mask = tn.zeros(w.numel(), dtype=tn.bool)
        left = w.numel() - round(share * w.numel())
        if left:
            mask[w.abs().flatten().topk(left).indices] = True
        return mask.view(*w.shape)


class to_int8:
    def wrong_128(w):
        """128 does not fit into"""
        scale = tn.where(w.abs().amax(1, keepdim=True) > 0, w.abs().amax(1, keepdim=True) / 128, 1.0)
        return (w / scale).round().to(tn.int8), scale

    def wrong_one_scale_for_all(w):
        """One scale"""
        scale = w.abs().max() / 127
        return (w / scale).round().to(tn.int8), scale

    def wrong_columns(w):
        """One scale"""
        scale = w.abs().amax(0, keepdim=True) / 127
        return (w / scale).round().to(tn.int8), scale

    def wrong_signed_maximum(w):
        """The scale of a row is its largest magnitude"""
        peak = w.amax(1, keepdim=True)
        scale = tn.where(peak > 0, peak / 127, 1.0)
        return (w / scale).round().to(tn.int8), scale

    def wrong_division_by_zero(w):
        """w / 0 is no number"""
        scale = w.abs().amax(1, keepdim=True) / 127
        return (w / scale).nan_to_num().round().to(tn.int8), scale

    def wrong_cut_off(w):
        """Round to the nearest"""
        scale = tn.where(w.abs().amax(1, keepdim=True) > 0, w.abs().amax(1, keepdim=True) / 127, 1.0)
        return (w / scale + 1e-9 * w.sign()).to(tn.int8), scale

    def wrong_still_floats(w):
        """q should be int8"""
        scale = tn.where(w.abs().amax(1, keepdim=True) > 0, w.abs().amax(1, keepdim=True) / 127, 1.0)
        return (w / scale).round(), scale

    def right_row_by_row(w):
        a = w.numpy()
        scale = np.array([[max(abs(row)) / 127 or 1.0] for row in a])
        return tn.tensor(np.rint(a / scale).astype(np.int8)), tn.tensor(scale)


class latency:
    def wrong_mean(run, clock, warmup, times):
        """The mean would be far off"""
        for _ in range(warmup):
            run()
        start = clock()
        for _ in range(times):
            run()
        return (clock() - start) / times

    def wrong_warmup_counted(run, clock, warmup, times):
        """`warmup` runs that do not count"""
        seconds = []
        for _ in range(times):
            start = clock()
            run()
            seconds.append(clock() - start)
        return np.median(seconds)

    def wrong_the_total(run, clock, warmup, times):
        """Ask the clock before and after each run"""
        for _ in range(warmup):
            run()
        start = clock()
        for _ in range(times):
            run()
        return clock() - start

    def wrong_best(run, clock, warmup, times):
        """take the middle one"""
        return latency.right_in_numpy(run, clock, warmup, times, np.min)

    def wrong_all_measured(run, clock, warmup, times):
        """before the first time"""
        return latency.right_in_numpy(run, clock, 0, times + warmup, np.mean)

    def right_in_numpy(run, clock, warmup, times, which=np.median):
        for _ in range(warmup):
            run()
        at = []
        for _ in range(times):
            start = clock()
            run()
            at.append(clock() - start)
        return which(at)
