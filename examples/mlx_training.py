"""Train a small network with mini-batches in MLX, with every tenth target wrong.

The data are synthetic: a smooth function of two inputs with a little noise. In every tenth row the
target is far too large, as from a broken sensor. The error is measured on new rows without noise.
`lossless` replaces `mlx.nn.losses` in MLX's usual training loop.

    python examples/mlx_training.py
"""

from functools import partial

import mlx.core as mx
import mlx.nn as nn
import mlx.optimizers as optim

import lossless as losses

ROWS, BATCH, EPOCHS = 4096, 128, 12


class Network(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = [nn.Linear(2, 64), nn.Linear(64, 64), nn.Linear(64, 1)]

    def __call__(self, x: mx.array) -> mx.array:
        for layer in self.layers[:-1]:
            x = nn.gelu(layer(x))
        # (rows, 1) to (rows,): lossless does not broadcast predictions against targets.
        return self.layers[-1](x).squeeze(-1)


def truth(x: mx.array) -> mx.array:
    return mx.sin(3 * x[:, 0]) * x[:, 1]


def data() -> tuple[mx.array, mx.array]:
    x = mx.random.uniform(-1, 1, (ROWS, 2))
    y = truth(x) + 0.05 * mx.random.normal((ROWS,))
    return x, mx.where(mx.random.uniform(shape=(ROWS,)) < 0.1, y + 5, y)


def squared_error(predictions: mx.array, targets: mx.array) -> mx.array:
    return nn.losses.mse_loss(predictions, targets, reduction="mean")


def huber(predictions: mx.array, targets: mx.array) -> mx.array:
    return losses.huber_loss(predictions, targets, delta=0.1, reduction="mean")


def train(loss, x: mx.array, y: mx.array) -> Network:
    mx.random.seed(1)  # the same network and batches for every loss
    model = Network()
    optimizer = optim.Adam(learning_rate=3e-3)
    state = [model.state, optimizer.state]

    @partial(mx.compile, inputs=state, outputs=state)  # on Linux this needs g++
    def step(x: mx.array, y: mx.array) -> mx.array:
        value, gradients = nn.value_and_grad(model, lambda x, y: loss(model(x), y))(x, y)
        optimizer.update(model, gradients)
        return value

    for epoch in range(EPOCHS):
        order = mx.random.permutation(ROWS)
        total = 0.0
        for start in range(0, ROWS, BATCH):
            batch = order[start : start + BATCH]
            value = step(x[batch], y[batch])
            mx.eval(value, state)  # MLX is lazy: this computes the step
            total += value.item()
        if (epoch + 1) % 4 == 0:
            print(f"  epoch {epoch + 1:2}: loss {total * BATCH / ROWS:.5f}")
    return model


def main() -> None:
    mx.random.seed(0)
    x, y = data()
    fresh = mx.random.uniform(-1, 1, (ROWS, 2))
    for loss in (squared_error, huber):
        print(loss.__name__)
        model = train(loss, x, y)
        error = mx.abs(model(fresh) - truth(fresh)).mean().item()
        print(f"  mean error on new rows: {error:.3f}")


if __name__ == "__main__":
    main()
