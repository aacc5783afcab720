"""Loss curves and the calibration of observation errors; figures are the same when made again."""

import numpy as np
import pytest
from figures.made import curve, residuals

from slams import figures
from slams.errors import SlamsError
from slams.figures.operators import binned


def test_losses(drawn):
    drawn(figures.losses({"autoencoder": curve(), "prior-pixel": curve(30)}))
    small, negative = curve(), curve()
    small[["train_loss", "validation_loss"]] = 0.5 + small[["train_loss", "validation_loss"]] / 9
    negative[["train_loss", "validation_loss"]] -= 0.5
    figure = figures.losses({"wide": curve(), "small": small, "likelihood": negative})
    drawn(figure)
    assert [axes.get_yscale() for axes in figure.axes] == ["log", "linear", "linear"]
    with pytest.raises(SlamsError, match="no loss curve"):
        figures.losses({})


class TestOperators:
    def test_drawn(self, drawn):
        drawn(figures.operator_fit(residuals()))
        drawn(figures.operator_fit(residuals(constant=True)))
        with pytest.raises(SlamsError, match="no residual"):
            figures.operator_fit(residuals().iloc[:0])

    def test_inflated_errors_are_hollow_and_named(self, drawn):
        figure = figures.operator_fit(residuals(inflation=3.0))
        labels = [text.get_text() for text in figure.legends[0].get_texts()]
        assert labels == ["error model", "as assimilated (inflated)", "calibrated"]
        assert not [line for line in figure.axes[0].lines if line.get_marker() == "s"]
        assert [line for line in figure.axes[1].lines if line.get_marker() == "s"]
        drawn(figure)

    def test_a_much_inflated_error_is_told_instead(self, drawn):
        figure = figures.operator_fit(residuals(inflation=50.0))
        assert figure.axes[1].get_xlim()[1] < 12
        assert [text.get_text()[:17] for text in figure.axes[1].texts] == ["assimilated with "]
        drawn(figure)

    def test_gross_errors_are_counted_and_left_out(self):
        table = residuals()
        table.loc[table["refused"], "residual"] = 1e6
        figure = figures.operator_fit(table)
        assert figure.axes[0].get_title(loc="left") == "stations\n998 observations, 2 gross"
        assert figure.axes[0].get_ylim()[1] < 20
        with pytest.raises(SlamsError, match="stream stations: every residual is refused"):
            figures.operator_fit(table.assign(refused=True))

    def test_a_right_error_model_lies_on_the_line(self):
        predicted, actual, count = binned(residuals(), "predicted_sd", 10)
        assert count == pytest.approx(np.full(10, 200))
        assert abs(actual / predicted - 1).max() < 4 / np.sqrt(2 * 200)


def test_saving_again_gives_the_same_bytes(tmp_path):
    def once(name):
        return [
            p.read_bytes() for p in figures.save(figures.losses({"a": curve()}), tmp_path / name)
        ]

    assert once("a") == once("b")
