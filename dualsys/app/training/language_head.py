"""Training of a language head beside a frozen planner: words from the grammar, progress from told episodes.

Shape legend: N moments, K subgoal tokens, C their width, X states.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from dualsys.app.training.step_words import StepWords, draw_step_words
from dualsys.app.training.told_steps import ToldMoments
from dualsys.messages import FloatArray
from dualsys.planner.language_head import LanguageHead

OnStep = Callable[[int, float], None]
THRESHOLDS = np.round(np.arange(0.3, 0.96, 0.05), 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class SureCount:
    """What a threshold does on episodes kept out of training."""

    sure: float
    steps: int
    """Steps that were done."""
    noticed: int
    """Of them, those that were noticed at all while their words lingered, and not too early."""
    false_alarms: int
    """Steps that counted as done before they were, of all."""
    of: int
    """Steps looked at."""


def train_words(
    head: LanguageHead, *, steps: int, batch_size: int, seed: int, on_step: OnStep, learning_rate: float = 2e-3
) -> float:
    """Teach the words; the loss a token of the last steps."""
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    optimizer = torch.optim.AdamW(head.words.parameters(), lr=learning_rate, weight_decay=0.01, betas=(0.9, 0.98))
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, learning_rate, total_steps=steps, pct_start=0.1)
    last = float("nan")
    head.words.train()
    for step in range(steps):
        batch = [draw_step_words(rng) for _ in range(batch_size)]
        instructions, before, said = zip(*batch, strict=True)
        loss = head.loss(instructions, before, said)
        last = _descend(optimizer, loss, head.words)
        schedule.step()
        on_step(step, last)
    head.words.eval()
    return last


def words_right(head: LanguageHead, cases: Sequence[StepWords]) -> float:
    """Share of cases whose step is said word for word."""
    return float(np.mean([head.next_step(case.instruction, case.before) == case.step for case in cases]))


def train_sense(
    head: LanguageHead, moments: Sequence[ToldMoments], *, steps: int, batch_size: int, seed: int, on_step: OnStep
) -> float:
    """Teach progress; the loss of the last steps. A step that was never done tells only that it was not."""
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    tokens_NKC, state_NX, velocity_NX, since_N, behind_N, done_N = map(
        torch.cat, zip(*map(_tensors, moments), strict=True)
    )
    head.sense.state_mean_X.copy_(state_NX.mean(0))
    head.sense.state_deviation_X.copy_(state_NX.std(0).clamp(min=0.05))
    optimizer = torch.optim.AdamW(head.sense.parameters(), lr=1e-3, weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, total_steps=steps, pct_start=0.1)
    last = float("nan")
    head.sense.train()
    for step in range(steps):
        rows = torch.randint(len(tokens_NKC), (batch_size,), generator=generator)
        noise = 0.05 * torch.randn(tokens_NKC[rows].shape, generator=generator)
        shaken = 0.01 * torch.randn(state_NX[rows].shape, generator=generator)
        logits_N2 = head.sense(tokens_NKC[rows] + noise, state_NX[rows] + shaken, velocity_NX[rows], since_N[rows])
        known_N = behind_N[rows] >= 0
        behind = F.binary_cross_entropy_with_logits(logits_N2[known_N, 0], behind_N[rows][known_N])
        done = F.binary_cross_entropy_with_logits(logits_N2[:, 1], done_N[rows])
        last = _descend(optimizer, done + 0.3 * behind, head.sense)
        schedule.step()
        on_step(step, last)
    head.sense.eval()
    return last


def sure_counts(head: LanguageHead, moments: Sequence[ToldMoments]) -> list[SureCount]:
    """What each threshold does on steps kept out of training, with the head's patience and `in_a_row`."""
    felt = [(steps, _done_probabilities(head, steps)) for steps in moments]
    return [_count(head, felt, float(sure)) for sure in THRESHOLDS]


def best_threshold(counts: Sequence[SureCount]) -> SureCount:
    """Fewest mistakes: a false alarm and a step that isn't noticed each spoil an episode."""
    return min(counts, key=lambda count: (count.false_alarms + count.steps - count.noticed, -count.sure))


def _count(head: LanguageHead, felt: Sequence[tuple[ToldMoments, FloatArray]], sure: float) -> SureCount:
    noticed = early = done = 0
    for moments, done_N in felt:
        since_s = moments.stamps_s - moments.stamps_s[0]
        is_sure_N = (done_N >= sure) & (since_s >= head.config.patience_s)
        run = np.convolve(is_sure_N, np.ones(head.config.in_a_row), "full")[: len(is_sure_N)] >= head.config.in_a_row
        was_done = bool(moments.done_N.any())
        done += was_done
        if run.any():
            first = int(np.argmax(run))
            early += not bool(moments.done_N[first])
            noticed += bool(moments.done_N[first])
    return SureCount(sure=sure, steps=done, noticed=noticed, false_alarms=early, of=len(felt))


@torch.inference_mode()
def _done_probabilities(head: LanguageHead, moments: ToldMoments) -> FloatArray:
    tokens_NKC, state_NX, velocity_NX, since_N, _, _ = _tensors(moments)
    probabilities: FloatArray = head.sense(tokens_NKC, state_NX, velocity_NX, since_N)[:, 1].sigmoid().double().numpy()
    return probabilities


def _tensors(moments: ToldMoments) -> tuple[Tensor, ...]:
    """Tokens, state, velocity, seconds in the step, share behind (below 0: unknown), done."""
    state_NX, stamps_s = moments.state_NX, moments.stamps_s
    velocity_NX = np.zeros_like(state_NX)
    if len(stamps_s) > 1:
        velocity_NX[1:] = np.diff(state_NX, axis=0) / np.diff(stamps_s)[:, None]
    length_s = moments.done_s - stamps_s[0]
    behind_N = np.full(len(stamps_s), -1.0)
    if np.isfinite(length_s) and length_s > 0:
        behind_N = np.clip((stamps_s - stamps_s[0]) / length_s, 0.0, 1.0)
    arrays = (moments.tokens_NKC, state_NX, velocity_NX, stamps_s - stamps_s[0], behind_N, moments.done_N)
    return tuple(torch.from_numpy(np.asarray(array)).float() for array in arrays)


def _descend(optimizer: torch.optim.Optimizer, loss: Tensor, module: torch.nn.Module) -> float:
    optimizer.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(module.parameters(), 1.0)
    optimizer.step()
    return float(loss.detach())
