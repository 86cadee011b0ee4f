"""Methods that draw from a fitted model: new rows, and missing values of given ones."""

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from skvae.data.frames import fill_missing
from skvae.data.inputs import as_table
from skvae.estimators.imputation import fill_rows
from skvae.estimators.validation import check_bool, check_positive_integer, is_encoded
from skvae.randomness import random_generator


class SamplingMixin:
    """`sample` and `impute` of an estimator with a prior."""

    def sample(self, n_samples=1, *, mean=False, random_state=None):
        """Draw new rows from the model.

        Parameters
        ----------
        n_samples : int, default=1
            Rows to draw.
        mean : bool, default=False
            Return the means of p(x|z) at codes drawn from the prior, without the
            likelihood's own noise, as is usual for images; of coded categories the most likely.
        random_state : int, RandomState instance or None, default=None
            Seeds the draws; None gives new draws on each call.

        Returns
        -------
        ndarray or frame of shape (n_samples, n_features)
            In the units of the data. If `fit` was given a pandas or polars frame, such a frame
            with its columns and dtypes; numbers are rounded for those of integers.
        """
        check_is_fitted(self)
        check_positive_integer(n_samples, "n_samples")
        check_bool(mean, "mean")
        rng = random_generator(random_state)
        codes = rng.standard_normal((n_samples, self._n_features_out))

        def draw(model, z):
            if mean:
                return model.decoded_rows(z)
            return torch.from_numpy(model.decoder.head.draw(model.decoder(z), rng))

        return self._decode(self._apply(draw, codes, units=None), are_means=mean)

    def impute(self, X, *, sample=False, random_state=None):
        """Fill the missing values of X.

        Parameters
        ----------
        X : {array-like, sparse matrix, frame} of shape (n_samples, n_features)
            With NaN, or what its library uses, for missing values.
        sample : bool, default=False
            False fills in the conditional means given the values of the row that are there, or
            the most likely of coded categories: they minimise the squared error or the number
            of errors, and are the same on every call. True draws from the conditional
            distribution; several calls with different seeds are multiple imputations.
        random_state : int, RandomState instance or None, default=None
            Seeds the draws; None gives new draws on each call.

        Returns
        -------
        array, sparse matrix or frame of shape (n_samples, n_features)
            A copy of `X` of the same type, columns and dtypes, in which only missing values
            have changed, and categories that `fit` did not see, which count as missing. In
            columns of integers or booleans they are rounded. Of a tensor it is an array.

        Notes
        -----
        Both are by self-normalised importance sampling with 256 draws of the code per row
        (Mattei & Frellsen 2019, eqs. 10 to 12), whose weights are truncated (Ionides 2008).
        Rows of which fewer than 20 draws count get 512, from proposals that adapt to the row
        (Cornuet et al. 2012). A row without any value gets the mean of the model, or a new
        row. Complete rows cost nothing.
        """
        check_is_fitted(self)
        check_bool(sample, "sample")
        X = as_table(X)
        rows = self._validate(X)
        rng = random_generator(random_state) if sample else None
        to_data = self._units.to_data if sample else self._units.means_to_data
        missing = np.isnan(rows.toarray() if hasattr(rows, "toarray") else rows)
        values = np.zeros(missing.shape, dtype=rows.dtype)
        gaps = np.flatnonzero(missing.any(axis=1))
        if len(gaps):
            values[gaps] = to_data(fill_rows(self._apply, rows[gaps], rng))
        if is_encoded(self._encoding):
            return self._encoding.fill(X, values, missing)
        return fill_missing(X, missing, values)
