"""The estimators: scikit-learn's side of the package."""
