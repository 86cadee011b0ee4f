"""Data of the benchmarks, from scikit-learn's data folder."""

import numpy as np
from sklearn.datasets import fetch_openml, get_data_home


def load_images(name):
    """Return training and test images in [0, 1], float32."""
    X = fetch_openml(name, version=1, as_frame=False).data
    X = (X / 255).astype(np.float32)
    return X[:60_000], X[60_000:]


def load_frey_faces(seed):
    """Return training faces and a held-out tenth, 28x20, from frey_faces.npy."""
    faces = np.load(f"{get_data_home()}/frey_faces.npy").reshape(1965, -1)
    faces = (faces / 255).astype(np.float32)
    order = np.random.RandomState(seed).permutation(len(faces))
    return faces[order[196:]], faces[order[:196]]


def load_colour_images():
    """Return training images and a held-out tenth, 32x32x3, from cifar10_sample.npz."""
    images = np.load(f"{get_data_home()}/cifar10_sample.npz")["X"]
    images = (images.reshape(len(images), -1) / 255).astype(np.float32)
    # The file is sorted by class: its last tenth would be of one class.
    order = np.random.RandomState(0).permutation(len(images))
    return images[order[:3600]], images[order[3600:]]


def load_labelled_images(name):
    """Return training and test images in [0, 1], float32, and their labels."""
    labels = fetch_openml(name, version=1, as_frame=False).target
    return *load_images(name), labels[:60_000], labels[60_000:]
