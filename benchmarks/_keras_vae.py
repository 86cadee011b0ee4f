"""The VAE of Keras' own example, on any backend."""

import keras
from keras import layers, ops

LATENT = 2


class Sampling(layers.Layer):
    """Draws codes and adds the KL term to the loss."""

    def __init__(self):
        super().__init__()
        self.seeds = keras.random.SeedGenerator(0)

    def call(self, raw):
        mean, log_var = raw[:, :LATENT], raw[:, LATENT:]
        kl = -0.5 * (1 + log_var - ops.square(mean) - ops.exp(log_var))
        self.add_loss(ops.mean(ops.sum(kl, axis=1)))
        eps = keras.random.normal(ops.shape(mean), seed=self.seeds)
        return mean + ops.exp(0.5 * log_var) * eps


def build(kind):
    """Return the compiled model."""
    x = keras.Input((784,))
    if kind == "dense":
        raw = layers.Dense(2 * LATENT)(layers.Dense(512, activation="relu")(x))
        out = layers.Dense(512, activation="relu")(Sampling()(raw))
        out = layers.Dense(784)(out)
    else:
        options = {"strides": 2, "padding": "same", "activation": "relu"}
        h = layers.Reshape((28, 28, 1))(x)
        h = layers.Conv2D(32, 3, **options)(h)
        h = layers.Flatten()(layers.Conv2D(64, 3, **options)(h))
        raw = layers.Dense(2 * LATENT)(layers.Dense(16, activation="relu")(h))
        h = layers.Dense(3136, activation="relu")(Sampling()(raw))
        h = layers.Reshape((7, 7, 64))(h)
        h = layers.Conv2DTranspose(64, 3, **options)(h)
        h = layers.Conv2DTranspose(32, 3, **options)(h)
        out = layers.Flatten()(layers.Conv2DTranspose(1, 3, padding="same")(h))
    model = keras.Model(x, out)

    def cross_entropy(wanted, logits):
        elements = (
            ops.maximum(logits, 0) - logits * wanted + ops.log1p(ops.exp(-ops.abs(logits)))
        )
        return ops.sum(elements, axis=1)

    model.compile(keras.optimizers.Adam(1e-3), loss=cross_entropy)
    return model
