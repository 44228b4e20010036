"""Statistics against numpy on the plain data."""

import numpy as np

from dualsys.data.summaries import QUANTILES, column_statistics, image_statistics, pooled_statistics


def test_columns_leave_nan_out() -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(50, 3))
    values[::2, 1] = np.nan
    values[:, 2] = np.nan
    found = column_statistics(values)
    present = values[1::2, 1]
    assert found["mean"][0] == values[:, 0].mean()
    np.testing.assert_allclose(found["mean"][1], present.mean())
    np.testing.assert_allclose(found["std"][1], present.std())
    np.testing.assert_allclose(found["q10"][1], np.quantile(present, 0.1))
    assert (found["min"][2], found["max"][2], found["std"][2]) == (0, 0, 0)
    assert found["count"].tolist() == [50]


def test_scalars_have_one_component() -> None:
    found = column_statistics(np.arange(11, dtype=np.int64))
    assert found["q50"].tolist() == [5.0]
    assert found["max"].shape == (1,)


def test_images_by_channel() -> None:
    rng = np.random.default_rng(1)
    frames = rng.integers(0, 256, (4, 8, 8, 3)).astype(np.uint8)
    frames[..., 2] //= 2
    found = image_statistics(frames)
    plain = frames.reshape(-1, 3) / 255.0
    assert found["mean"].shape == (3, 1, 1)
    np.testing.assert_allclose(found["mean"].ravel(), plain.mean(axis=0))
    np.testing.assert_allclose(found["std"].ravel(), plain.std(axis=0))
    np.testing.assert_allclose(found["min"].ravel(), plain.min(axis=0))
    np.testing.assert_allclose(found["max"].ravel(), plain.max(axis=0))
    for q in QUANTILES:
        exact = np.quantile(plain, q, axis=0, method="inverted_cdf")
        np.testing.assert_allclose(found[f"q{round(100 * q):02d}"].ravel(), exact)


def test_pooling_is_exact_but_for_quantiles() -> None:
    rng = np.random.default_rng(2)
    parts = [rng.normal(i, 1 + i, size=(10 * (i + 1), 2)) for i in range(3)]
    pooled = pooled_statistics([column_statistics(part) for part in parts])
    whole = column_statistics(np.concatenate(parts))
    for name in ("min", "max", "mean", "std", "count"):
        np.testing.assert_allclose(pooled[name], whole[name], rtol=1e-12)
    lows, highs = (np.array([column_statistics(part)[name] for part in parts]) for name in ("q10", "q90"))
    np.testing.assert_array_equal(pooled["q10"], lows.min(axis=0))
    np.testing.assert_array_equal(pooled["q90"], highs.max(axis=0))
