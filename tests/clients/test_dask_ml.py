"""dask-ml transforms arrays in blocks, and searches."""

import numpy as np
import pytest
from sklearn import model_selection
from sklearn.datasets import load_wine

from skvae import VAETransformer

pytest.importorskip("dask_ml")
pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


def test_parallel_post_fit_transforms_block_by_block():
    import dask.array as da
    from dask_ml.wrappers import ParallelPostFit

    X = load_wine().data
    vae = VAETransformer(2, max_iter=0, random_state=0).fit(X)
    codes = ParallelPostFit(vae).transform(da.from_array(X, chunks=(50, X.shape[1])))
    np.testing.assert_allclose(codes.compute(), vae.transform(X), rtol=1e-6)


def test_a_search_gives_what_that_of_scikit_learn_gives():
    from dask_ml.model_selection import GridSearchCV

    X = load_wine().data
    arguments = VAETransformer(max_iter=0), {"latent_dim": [1, 2]}
    search = GridSearchCV(*arguments, cv=2).fit(X)
    expected = model_selection.GridSearchCV(*arguments, cv=2).fit(X)
    assert search.best_params_ == expected.best_params_
    np.testing.assert_allclose(
        search.cv_results_["mean_test_score"], expected.cv_results_["mean_test_score"]
    )
