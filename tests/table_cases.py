"""Columns of many dtypes, and frames of them, for tests of the encoding."""

import numpy as np
import pandas as pd
import polars as pl
import skops.io

from skvae.data.encoding import TableEncoding

GAPS = [1, None, 3, 4]
STRINGS = ["x", None, "b", "x"]


def categories(values, levels=None, ordered=False):
    return pd.Series(pd.Categorical(values, categories=levels, ordered=ordered))


# Each with the kind that is found.
PANDAS_COLUMNS = {
    "int64": ("number", pd.Series([1, 2, 3, -4])),
    "int8 at its limits": ("number", pd.Series([1, 127, -128, 0], dtype="int8")),
    "uint64": ("number", pd.Series([1, 2, 3, 4], dtype="uint64")),
    "float64": ("number", pd.Series([1.5, np.nan, 0, 1])),
    "float32": ("number", pd.Series([1.5, np.nan, 0, 1], dtype="float32")),
    "float16": ("number", pd.Series([1.5, np.nan, 0, 1], dtype="float16")),
    "Int64": ("number", pd.Series(GAPS, dtype="Int64")),
    "UInt8": ("number", pd.Series(GAPS, dtype="UInt8")),
    "Float32": ("number", pd.Series(GAPS, dtype="Float32")),
    "objects of int": ("number", pd.Series(GAPS, dtype=object)),
    "objects of float": ("number", pd.Series([1.5, None, 3.0, 4.0], dtype=object)),
    "sparse": ("number", pd.Series(pd.arrays.SparseArray([0, 1, 0, 2]))),
    "bool": ("flag", pd.Series([True, False, True, True])),
    "boolean": ("flag", pd.Series([True, None, True, False], dtype="boolean")),
    "objects of bool": ("flag", pd.Series([True, None, True, False], dtype=object)),
    "category": ("category", categories(STRINGS)),
    "unused and ordered": ("category", categories(STRINGS, ["x", "y", "b"], ordered=True)),
    "category of int": ("category", categories([3, 1, None, 3])),
    "category of float": ("category", categories([3.5, 1, None, 3])),
    "category of bool": ("category", categories([True, False, None, True])),
    "category of several types": ("category", categories(["a", 1, None, "a"])),
    "category of Int64": ("category", pd.Series(GAPS, dtype="Int64").astype("category")),
    "category of string": ("category", pd.Series(STRINGS, dtype="string").astype("category")),
    "intervals": ("category", pd.cut(pd.Series([1, 5, 10, np.nan]), 3)),
    "intervals closed on the left": (
        "category",
        pd.cut(pd.Series([1, 5, 10, np.nan]), [0, 4, 11], right=False),
    ),
}

POLARS_COLUMNS = {
    **{
        name: ("number", pl.Series(GAPS, dtype=getattr(pl, name)))
        for name in ("Int8", "Int64", "UInt16", "UInt64", "Float32", "Float64")
    },
    "Boolean": ("flag", pl.Series([True, None, False, True])),
    "Categorical": ("category", pl.Series(STRINGS, dtype=pl.Categorical)),
    "Enum": ("category", pl.Series(STRINGS, dtype=pl.Enum(["x", "unused", "b"]))),
}

# A few rows like those of the table Adult.
ADULT = {
    "age": [39, 50, 38, 53],
    "workclass": ["State-gov", None, "Private", "Private"],
    "capital-gain": [2174.0, 0.0, float("nan"), 0.0],
    "hours": [40, 13, None, 40],
    "over-50K": [False, False, True, True],
}


def adult_in_pandas():
    frame = pd.DataFrame(ADULT, index=[7, 3, 5, 1])
    return frame.astype({"workclass": "category", "hours": "Int8"})


def adult_in_polars():
    frame = pl.DataFrame(ADULT).with_columns(pl.col("capital-gain").fill_nan(None))
    return frame.cast({"workclass": pl.Enum(["Private", "State-gov"]), "hours": pl.Int8})


def encode_store_decode(X, **options):
    """Return X encoded, and decoded again by an encoding that was stored in between."""
    encoding = TableEncoding.fit(X, **options)
    U = encoding.encode(X)
    stored = skops.io.loads(skops.io.dumps(encoding.to_arrays()))
    return encoding, U, TableEncoding.from_arrays(stored).decode(U)
