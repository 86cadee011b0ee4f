"""What latent codes are worth to a classifier."""

from sklearn.neighbors import KNeighborsClassifier


def accuracy(model, X_train, X_test, y_train, y_test):
    """Return a 5-nearest-neighbours classifier's share of correct labels from the codes."""
    classifier = KNeighborsClassifier(5).fit(model.transform(X_train), y_train)
    return classifier.score(model.transform(X_test), y_test)
