"""Train a small network with mini-batches in JAX, with every tenth target wrong.

The data are synthetic: a smooth function of two inputs with a little noise. In every tenth row the
target is far too large, as from a broken sensor. The error is measured on new rows without noise.
The network is from equinox and the optimizer from optax; lossless replaces the losses of optax.

    python examples/jax_training.py
"""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax

import lossless

ROWS, BATCH, EPOCHS = 4096, 128, 12


def truth(x):
    return jnp.sin(3 * x[:, 0]) * x[:, 1]


def data(key):
    places, noise, broken = jax.random.split(key, 3)
    x = jax.random.uniform(places, (ROWS, 2), minval=-1)
    y = truth(x) + 0.05 * jax.random.normal(noise, (ROWS,))
    return x, jnp.where(jax.random.uniform(broken, (ROWS,)) < 0.1, y + 5, y)


def squared_error(predictions, targets):
    return optax.squared_error(predictions, targets).mean()


def huber(predictions, targets):
    return lossless.huber_loss(predictions, targets, delta=0.1, reduction="mean")


def train(loss, x, y):
    key = jax.random.key(1)  # the same network and batches for every loss
    model = eqx.nn.MLP(2, "scalar", 64, depth=2, activation=jax.nn.gelu, key=key)
    optimizer = optax.adam(3e-3)
    state = optimizer.init(eqx.filter(model, eqx.is_array))

    @eqx.filter_jit
    def step(model, state, batch):
        # A network with a scalar output, so that predictions have the shape of the targets.
        value, gradients = eqx.filter_value_and_grad(
            lambda m: loss(jax.vmap(m)(x[batch]), y[batch])
        )(model)
        updates, state = optimizer.update(gradients, state)
        return eqx.apply_updates(model, updates), state, value

    for epoch in range(EPOCHS):
        order = jax.random.permutation(jax.random.fold_in(key, epoch), ROWS)
        total = 0.0
        for batch in np.asarray(order).reshape(-1, BATCH):
            model, state, value = step(model, state, batch)
            total += value
        if (epoch + 1) % 4 == 0:
            print(f"  epoch {epoch + 1:2}: loss {total * BATCH / ROWS:.5f}")
    return model


def main():
    x, y = data(jax.random.key(0))
    fresh = jax.random.uniform(jax.random.key(2), (ROWS, 2), minval=-1)
    for loss in (squared_error, huber):
        print(loss.__name__)
        model = train(loss, x, y)
        error = jnp.abs(jax.vmap(model)(fresh) - truth(fresh)).mean().item()
        print(f"  mean error on new rows: {error:.3f}")


if __name__ == "__main__":
    main()
