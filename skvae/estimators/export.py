"""Encoder and decoder of a fitted model as plain torch modules."""

from sklearn.utils.validation import check_is_fitted

from skvae.model.export import DecoderModule, EncoderModule


class ExportMixin:
    """`encoder_module` and `decoder_module` of the estimators."""

    def encoder_module(self):
        """Return the encoder as a plain torch module, for export.

        Returns
        -------
        Module
            Maps rows (n, n_features) in the units of the data to codes (n, latent_dim), as
            `transform`. It is a copy in float32, in inference mode, on the device `device_`;
            its parameters have no gradient. It takes rows of any dtype.

        Notes
        -----
        Values outside the support of the likelihood are clipped where `transform` clips them,
        but no value is refused and nothing is warned of. The codes of a row with a missing
        value are NaN: `impute` it first. In a model of a frame with other columns than numbers,
        rows are matrices with the columns of the frame: flags are 0 and 1, and a category is
        its position in the list ``module.categories[j]`` of column j. Other codes count as
        missing.

        Examples
        --------
        >>> import torch
        >>> from sklearn.datasets import load_iris
        >>> from skvae import VAETransformer
        >>> X = load_iris().data
        >>> vae = VAETransformer(random_state=0, device="cpu").fit(X)
        >>> encoder = vae.encoder_module()
        >>> encoder(torch.tensor(X)).shape
        torch.Size([150, 2])
        >>> any_number = {0: torch.export.Dim("n_rows")}
        >>> program = torch.export.export(
        ...     encoder, (torch.zeros(2, 4),), dynamic_shapes=(any_number,)
        ... )
        >>> program.module()(torch.zeros(7, 4)).shape
        torch.Size([7, 2])
        """
        check_is_fitted(self)
        module = EncoderModule(
            self._fitted.module, self._units, self._architecture.likelihood, self._categories()
        )
        return module.to(self.device_).eval()

    def decoder_module(self):
        """Return the decoder as a plain torch module, for export.

        Returns
        -------
        Module
            Maps codes (n, latent_dim) to the means of p(x|z) (n, n_features), as
            `inverse_transform`. It is a copy as that of `encoder_module`.

        Notes
        -----
        In a model of a frame with other columns than numbers, rows are matrices as there: of a
        flag the probability, of a category the code of the most likely one.
        """
        check_is_fitted(self)
        module = DecoderModule(self._fitted.module, self._units, self._categories())
        return module.to(self.device_).eval()

    def _categories(self):
        return None if self._encoding is None else self._encoding.levels
