"""How a model is trained: it knows modules, rows and objectives, and no estimators."""
