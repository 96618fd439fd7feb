"""Lesson 16: what students write. The docstring of a wrong answer is what its message must contain."""
from __future__ import annotations

import math


class blocks:
    def wrong_rounded_down(n, threads):
        """round up, not down"""
        return n // threads

    def wrong_one_more_always(n, threads):
        """Where threads divides"""
        return n // threads + 1

    def wrong_a_float(n, threads):
        """// divides whole numbers"""
        return n / threads

    def right_by_ceil(n, threads):
        return math.ceil(n / threads)

    def right_upside_down(n, threads):
        return -(-n // threads)


class affine:
    def wrong_no_guard():
        """which has
        a thread must ask whether its number is below n"""
        return "int i = blockIdx.x * blockDim.x + threadIdx.x; y[i] = a * x[i] + b;"

    def wrong_guard_one_too_far():
        """a thread must ask whether its number is below n"""
        return "int i = blockIdx.x * blockDim.x + threadIdx.x; if (i <= n) y[i] = a * x[i] + b;"

    def wrong_thread_number_only():
        """Two threads write to the same element
        Each needs a number of its own"""
        return "int i = threadIdx.x; if (i < n) y[i] = a * x[i] + b;"

    def wrong_threads_and_blocks_swapped():
        """Thread number i of the whole grid"""
        return "int i = threadIdx.x * blockDim.x + blockIdx.x; if (i < n) y[i] = a * x[i] + b;"

    def wrong_size_of_block_fixed():
        """Thread number i of the whole grid"""
        return "int i = blockIdx.x * 8 + threadIdx.x; if (i < n && threadIdx.x < 8) y[i] = a * x[i] + b;"

    def wrong_does_not_compile():
        """the compiler does not understand it
        error:"""
        return "int i = blockIdx.x * blockDim.x + threadIdx.x\n if (i < n) y[i] = a * x[i] + b;"

    def wrong_formula():
        """Thread number i of the whole grid"""
        return "int i = blockIdx.x * blockDim.x + threadIdx.x; if (i < n) y[i] = a * (x[i] + b);"

    def right_leaves_early():
        return "int i = threadIdx.x + blockDim.x * blockIdx.x; if (i >= n) return; y[i] = b + x[i] * a;"

    def right_a_loop_over_the_grid():
        return ("int step = gridDim.x * blockDim.x; "
                "for (int i = blockIdx.x * blockDim.x + threadIdx.x; i < n; i += step) y[i] = a * x[i] + b;")


class sums:
    def wrong_no_barrier():
        """with no barrier between them
        all must wait"""
        return "for (int apart = 32; apart > 0; apart /= 2) if (t < apart) s[t] += s[t + apart];"

    def wrong_barrier_in_the_if():
        """Every thread must come to each __syncthreads()"""
        return "for (int apart = 32; apart > 0; apart /= 2) if (t < apart) { s[t] += s[t + apart]; __syncthreads(); }"

    def wrong_stops_too_soon():
        """then with 16, 8, 4, 2 and 1"""
        return "for (int apart = 32; apart > 1; apart /= 2) { if (t < apart) s[t] += s[t + apart]; __syncthreads(); }"

    def wrong_begins_too_far():
        """Indices of an array begin at 0"""
        return "for (int apart = 64; apart > 0; apart /= 2) { if (t < apart) s[t] += s[t + apart]; __syncthreads(); }"

    def wrong_one_thread_does_all():
        """with no barrier between them"""
        return "float sum = 0; for (int k = 0; k < 64; k++) sum += s[k]; s[0] = sum;"

    def wrong_two_add_to_one():
        """with no barrier between them"""
        return "s[0] += s[t];"

    def right_from_near_to_far():
        return ("for (int apart = 1; apart < 64; apart *= 2) "
                "{ if (t % (2 * apart) == 0) s[t] += s[t + apart]; __syncthreads(); }")

    def right_barrier_first():
        return "for (int apart = 64; apart >>= 1;) { __syncthreads(); if (t < apart) s[t] = s[t] + s[t + apart]; }"


FILL = "as[y][x] = a[row * n + k + x]; bs[y][x] = b[(k + y) * n + column];"
ADD = "for (int i = 0; i < 16; i++) sum += as[y][i] * bs[i][x];"


class tiled:
    def wrong_first_barrier_missing():
        """All that is read from shared memory must have been written before"""
        return f"{FILL} {ADD} __syncthreads();"

    def wrong_second_barrier_missing():
        """Two barriers
        before anybody fills them anew"""
        return f"{FILL} __syncthreads(); {ADD}"

    def wrong_from_far_memory():
        """are enough
        the loop over i reads as and bs"""
        return "for (int i = 0; i < 16; i++) sum += a[row * n + k + i] * b[(k + i) * n + column];"

    def wrong_tile_turned():
        """Thread (x, y) fills [y][x] of both"""
        return f"{FILL.replace('as[y][x]', 'as[x][y]')} __syncthreads(); {ADD} __syncthreads();"

    def wrong_always_the_first_tile():
        """as is the tile of a in the rows of this block and columns k to k + 15"""
        return f"as[y][x] = a[row * n + x]; bs[y][x] = b[y * n + column]; __syncthreads(); {ADD} __syncthreads();"

    def wrong_indices_of_the_sum():
        """as[y][i] · bs[i][x]"""
        return f"{FILL} __syncthreads(); for (int i = 0; i < 16; i++) sum += as[i][x] * bs[y][i]; __syncthreads();"

    def right_tiles_the_other_way_round():
        return ("as[x][y] = a[row * n + k + x]; bs[x][y] = b[(k + y) * n + column]; __syncthreads(); "
                "for (int i = 0; i < 16; i++) sum += as[i][y] * bs[x][i]; __syncthreads();")

    def right_barrier_before_filling():
        return f"__syncthreads(); {FILL} __syncthreads(); {ADD}"
