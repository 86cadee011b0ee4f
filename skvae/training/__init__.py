"""Training of modules on rows, independent of the estimators."""
