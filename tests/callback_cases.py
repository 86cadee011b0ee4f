"""Callbacks that note what they are told, use it, fail or stop the training."""


def path_of(context):
    """Return (name, id) of each task from the root to this one."""
    above = [] if context.parent is None else path_of(context.parent)
    return [*above, (context.task_name, context.task_id)]


class Recorder:
    """Notes the tasks; subclasses ask for more."""

    def __init__(self):
        self.begun, self.ended, self.lives, self.sizes = [], [], [], {}

    def setup(self, estimator, context):
        self.lives.append("setup")

    def on_fit_task_begin(self, estimator, context):
        self.begun.append(path_of(context))
        self.sizes[context.task_name] = context.max_subtasks

    def on_fit_task_end(self, estimator, context):
        self.ended.append(path_of(context))

    def teardown(self, estimator, context):
        self.lives.append("teardown")


class User(Recorder):
    """Asks for everything, in the first epoch four times, and uses it."""

    first_epoch_tasks = 4

    def __init__(self):
        super().__init__()
        self.models = {}

    def on_fit_task_end(self, estimator, context, *, X, y, metadata, fitted_estimator):
        super().on_fit_task_end(estimator, context)
        if fitted_estimator is not None:
            fitted_estimator.inverse_transform(fitted_estimator.transform(X))
            score = fitted_estimator.score(X, y)
            self.models[tuple(path_of(context)[1:])] = fitted_estimator, score


class Failing(Recorder):
    """Fails in a hook: in those of a task when it has the name."""

    def __init__(self, hook, name="epoch", error=RuntimeError):
        super().__init__()
        self.hook, self.name, self.error = hook, name, error

    def _fail(self, hook, name=None):
        if hook == self.hook and name in (None, self.name):
            raise self.error("the callback's own")

    def setup(self, estimator, context):
        super().setup(estimator, context)
        self._fail("setup")

    def on_fit_task_begin(self, estimator, context):
        self._fail("begin", context.task_name)

    def on_fit_task_end(self, estimator, context):
        self._fail("end", context.task_name)

    def teardown(self, estimator, context):
        super().teardown(estimator, context)
        self._fail("teardown")


class Stopper(Recorder):
    """Asks to stop at the end of one task."""

    def __init__(self, *path, first_epoch_tasks=0):
        super().__init__()
        self.path, self.first_epoch_tasks = list(path), first_epoch_tasks

    def on_fit_task_end(self, estimator, context):
        super().on_fit_task_end(estimator, context)
        return path_of(context)[1:] == self.path
