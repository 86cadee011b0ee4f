"""What the readers of tables have in common, whatever the library."""


class TableReader:
    """Base of the classes that read the columns of a table.

    Subclasses set `names`, the labels of the columns or None, `shape`, and `library` and
    `text_remedy`. They implement `dtype`, `kind`, `column`, `is_missing`, `numbers`, `values`
    and `filled`.
    """

    def place(self, j):
        """Return how errors name column j."""
        return f"feature {j}" if self.names is None else f"column {self.names[j]!r}"

    def layout(self):
        """Return what else a table of this kind is made from."""
        return {}

    def filled(self, new):
        """Return a copy of the table with other values in some cells.

        Parameters
        ----------
        new : dict of int to (Column, ndarray)
            Column number -> the column of `fit`, and its numbers or codes for those cells;
            NaN for all others.
        """
        raise NotImplementedError
