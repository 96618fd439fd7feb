"""Deep Q-learning (Mnih et al. 2015) from a replay memory, with a target network: the way out of a maze."""

import copy

import numpy as np
import torch
from torch import nn

GAMMA, SIZE, GOAL = 0.95, 6, (5, 5)
WALLS = {(1, 1), (1, 2), (1, 3), (3, 2), (3, 3), (3, 4), (4, 0), (2, 5)}
MOVES = [(-1, 0), (1, 0), (0, -1), (0, 1)]
CELLS = [(r, c) for r in range(SIZE) for c in range(SIZE) if (r, c) not in WALLS | {GOAL}]


def build():
    return (nn.Sequential(nn.Linear(2 * SIZE, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4)),)


def move(cell, action):
    """(next cell, reward, whether that ends it)"""
    row, column = (here + step for here, step in zip(cell, MOVES[action], strict=True))
    if not (0 <= row < SIZE and 0 <= column < SIZE) or (row, column) in WALLS:
        row, column = cell
    done = (row, column) == GOAL
    return (row, column), 1.0 if done else -0.05, done


def observe(cells):
    """Row and column, one-hot."""
    rows, columns = torch.tensor(cells).unbind(dim=1)
    return torch.cat([nn.functional.one_hot(rows, SIZE), nn.functional.one_hot(columns, SIZE)], dim=1).float()


def replay_memory(rng, size):
    """What a walker saw who chose at random."""
    cells = [CELLS[k] for k in rng.integers(len(CELLS), size=size)]
    actions = rng.integers(4, size=size)
    next_cells, rewards, dones = zip(*map(move, cells, actions), strict=True)
    return (
        observe(cells), torch.from_numpy(actions), torch.tensor(rewards), observe(next_cells), torch.tensor(dones)
    )  # fmt: skip


def train(q_network, rng):
    memory = replay_memory(rng, 2000)
    target_network = copy.deepcopy(q_network).requires_grad_(False)
    optimizer = torch.optim.RMSprop(q_network.parameters(), lr=2e-3, alpha=0.95, eps=1e-4)
    criterion = nn.SmoothL1Loss()
    losses = []
    for step in range(800):
        batch = torch.from_numpy(rng.integers(2000, size=64))
        states, actions, rewards, next_states, dones = (column[batch] for column in memory)

        predicted = q_network(states).gather(1, actions.unsqueeze(1)).squeeze(1)
        with torch.no_grad():
            best = q_network(next_states).argmax(dim=1, keepdim=True)  # double Q-learning
            value = target_network(next_states).gather(1, best).squeeze(1).masked_fill(dones, 0.0)
            target = rewards + GAMMA * value
        loss = criterion(predicted, target)

        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_value_(q_network.parameters(), 1.0)
        optimizer.step()
        losses.append(loss.item())
        if step % 20 == 19:
            target_network.load_state_dict(q_network.state_dict())

    return losses, np.mean([finds_out(q_network, cell) for cell in CELLS])


@torch.no_grad()
def finds_out(q_network, cell):
    """Whether from here the best action leads to the goal, again and again."""
    for _ in range(3 * SIZE):
        cell, _, done = move(cell, int(q_network(observe([cell])).argmax()))
        if done:
            return True
    return False
