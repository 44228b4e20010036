"""Rows to words and back."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dualsys.actor.action_words import BinWords, FastWords, action_words, cosine_waves, fit_ends, fit_fast
from dualsys.actor.config import FlowActorConfig
from dualsys.actor.head_config import TokensConfig
from dualsys.errors import ConfigError

HORIZON, ACTIONS = 8, 3
SHAPE = FlowActorConfig(horizon=HORIZON, width=16, depth=1, num_heads=2, smoothing_window=0)


def smooth_chunks(count: int, seed: int = 0) -> np.ndarray:
    """Slow waves of every action."""
    rng = np.random.default_rng(seed)
    phase, speed = rng.uniform(0, 6, (count, 1, ACTIONS)), rng.uniform(0.05, 0.3, (count, 1, ACTIONS))
    return np.asarray(np.sin(phase + speed * np.arange(HORIZON)[:, None]))


@pytest.fixture(scope="module")
def fast() -> FastWords:
    chunks = smooth_chunks(400)
    config = fit_ends(TokensConfig(shape=SHAPE, tokenizer="fast", vocabulary=700), chunks.reshape(-1, ACTIONS))
    words = action_words(fit_fast(config, chunks), ACTIONS)
    assert isinstance(words, FastWords)
    return words


@pytest.mark.parametrize("count", [1, 2, 8, 32])
def test_cosines_are_orthonormal_and_are_the_transform_s(count: int) -> None:
    waves = cosine_waves(count)
    np.testing.assert_allclose(waves @ waves.T, np.eye(count), atol=1e-12)
    from scipy.fft import dct

    rows = np.random.default_rng(0).standard_normal((count, 2))
    np.testing.assert_allclose(waves @ rows, dct(rows, axis=0, norm="ortho"), atol=1e-12)


@settings(max_examples=80)
@given(st.integers(2, 300), st.integers(0, 2**31 - 1))
def test_a_bin_is_read_within_half_its_width(bins: int, seed: int) -> None:
    words = BinWords(TokensConfig(shape=SHAPE, bins=bins, low=(-1.0,) * 3, high=(2.0,) * 3), ACTIONS)
    rows = np.random.default_rng(seed).uniform(-1, 2, (HORIZON, ACTIONS))
    said = words.write(rows)
    assert len(said) == words.most == HORIZON * ACTIONS
    assert all(0 <= word < words.size for word in said)
    read = words.read(said)
    assert read.whole
    assert np.abs(read.rows_AU - rows).max() <= 1.5 / bins + 1e-12
    assert words.write(read.rows_AU) == said, "what was read is said the same"


def test_what_lies_beyond_the_ends_is_the_end() -> None:
    words = BinWords(TokensConfig(shape=SHAPE, low=(-1.0,) * 3, high=(1.0,) * 3), ACTIONS)
    read = words.read(words.write(np.full((HORIZON, ACTIONS), 99.0)))
    np.testing.assert_allclose(read.rows_AU, 1.0, atol=1 / 256)


def test_fast_says_smooth_motion_in_fewer_words_and_reads_it_back(fast: FastWords) -> None:
    chunks = smooth_chunks(50, seed=9)
    lengths = []
    for chunk in chunks:
        said = fast.write(chunk)
        read = fast.read(said)
        assert read.whole
        # Rounding by half a step in each of the coefficients, in the ends' units; a little is clipped at the ends.
        assert np.sqrt(np.mean((read.rows_AU - chunk) ** 2)) < 0.08
        lengths.append(len(said))
    assert np.mean(lengths) < 0.6 * HORIZON * ACTIONS


@settings(max_examples=100)
@given(st.lists(st.integers(-5, 2000), max_size=80))
def test_whatever_is_said_is_read_as_rows_within_the_ends(said: list[int]) -> None:
    chunks = smooth_chunks(60)
    config = fit_ends(TokensConfig(shape=SHAPE, tokenizer="fast"), chunks.reshape(-1, ACTIONS))
    for words in (FITTED, BinWords(config, ACTIONS)):
        rows = words.read(said).rows_AU
        assert rows.shape == (HORIZON, ACTIONS)
        assert (rows >= np.array(config.low) - 1e-9).all()
        assert (rows <= np.array(config.high) + 1e-9).all()


def _fitted() -> FastWords:
    chunks = smooth_chunks(60)
    config = fit_ends(TokensConfig(shape=SHAPE, tokenizer="fast"), chunks.reshape(-1, ACTIONS))
    return FastWords(fit_fast(config, chunks), ACTIONS)


FITTED = _fitted()


def test_half_a_chunk_is_told_from_a_whole_one(fast: FastWords) -> None:
    said = fast.write(smooth_chunks(1)[0])
    assert fast.read(said).whole
    assert not fast.read(said[: len(said) // 2]).whole
    assert not fast.read([]).whole
    bins = BinWords(TokensConfig(shape=SHAPE), ACTIONS)
    assert not bins.read([3] * 5).whole


def test_a_chunk_has_a_bounded_number_of_words() -> None:
    chunks = smooth_chunks(60)
    short = fit_fast(TokensConfig(shape=SHAPE, tokenizer="fast", max_words=4), chunks)
    wild = np.random.default_rng(0).uniform(-3, 3, (HORIZON, ACTIONS))
    assert len(FastWords(short, ACTIONS).write(wild)) == 4


def test_a_still_action_has_room_between_its_ends() -> None:
    config = fit_ends(TokensConfig(shape=SHAPE), np.zeros((10, ACTIONS)))
    assert min(np.array(config.high) - np.array(config.low)) > 0.05


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(ConfigError, match="fitted to data first"):
        FastWords(TokensConfig(shape=SHAPE, tokenizer="fast"), ACTIONS)
    with pytest.raises(ConfigError, match="2 and 2 ends in order of 3 actions"):
        BinWords(TokensConfig(shape=SHAPE, low=(0.0, 0.0), high=(1.0, 1.0)), ACTIONS)
