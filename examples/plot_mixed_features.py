"""
Numbers and categories together
===============================

Diabetes patients: numbers are standardised, sex and an age group are one-hot encoded, and one
model codes both in three dimensions. Decoded, the numbers come back as numbers and the
categories by the largest of their columns.
"""

import matplotlib.pyplot as plt
import numpy as np
from sklearn.compose import make_column_transformer
from sklearn.datasets import load_diabetes
from sklearn.decomposition import PCA
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from skvae import VAETransformer
from skvae.display import LatentSpaceDisplay
from skvae.likelihoods import Gaussian

data = load_diabetes(scaled=False, as_frame=True).data
data["sex"] = data["sex"].map({1.0: "a", 2.0: "b"}).astype(object)
data["age"] = np.array(["young", "middle", "old"], dtype=object)[
    np.digitize(data["age"], [40, 55])
]
categories, numbers = ["sex", "age"], [c for c in data if c not in ("sex", "age")]
train, test = train_test_split(data, random_state=0)

encode = make_column_transformer(
    (OneHotEncoder(sparse_output=False), categories), (StandardScaler(), numbers)
)
vae = VAETransformer(3, likelihood=Gaussian(noise="isotropic"), random_state=0)
for model in (PCA(3), vae):
    pipe = make_pipeline(encode, model).fit(train)
    decoded = model.inverse_transform(pipe.transform(test))
    one_hot = encode.fit(train).named_transformers_["onehotencoder"]
    decoded_categories = one_hot.inverse_transform(decoded[:, :5])
    right = (decoded_categories == test[categories].to_numpy()).mean(axis=0)
    print(
        f"{type(model).__name__}: sex right for {right[0]:.0%} of the held-out patients, "
        f"age group for {right[1]:.0%}; log-likelihood {pipe.score(test):.2f} nats"
    )

LatentSpaceDisplay.from_estimator(pipe, test, test["age"])
plt.show()
