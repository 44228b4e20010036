"""Who has the say over the robot: the policy, a person, a pose to go to, or another controller.

A source offers targets and claims the say; of those that claim it the first in `PRIORITY` has it, and where none does,
the policy (planner, actor, chunks). It loses the say by an offer that claims nothing, or to one before it:

    teleoperation       ======claims======
    controller    ====claims====================
    the say   policy | con.  | teleoperation | con. | policy

A source begins with an offer that is fresh. Once it has the say it keeps it, however old its last offer gets: then the
motion is held (or what `CoreConfig.source` says), and never goes back to the policy by itself.

Offers come at rates of their own, often lower than the tick's. Between two the target moves in a straight line, over
the time that lay between the last two; so it comes one such time late, instead of jumping.
"""

from dataclasses import dataclass
from typing import Any, final, get_args

import numpy as np

from dualsys.chunking import LARGEST_ROW, is_number, is_vector
from dualsys.events import Offered, SourceName
from dualsys.messages import FloatArray
from dualsys.settings import StaleAction, StalenessConfig
from dualsys.staleness import FUTURE_S, action_for, freshness

PRIORITY: tuple[SourceName, ...] = get_args(SourceName)
"""Who goes before whom; the policy comes last."""
LONGEST_MOVE_S = 0.1
"""After a longer pause between two offers the target still moves no longer than this from one to the other."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Stream:
    """A source's newest offer, and where its target came from."""

    before: FloatArray
    target: FloatArray
    since_s: float
    span_s: float
    stamp_s: float
    claims: bool

    def at(self, now_s: float) -> FloatArray:
        share = (now_s - self.since_s) / self.span_s if self.span_s > 0 else 1.0
        if share >= 1.0:
            return self.target
        return self.before + max(share, 0.0) * (self.target - self.before)


@final
class Sources:
    """Newest offers of all sources but the policy.

    Args:
        num_actions: `nu`.
        config: Up to which age an offer can be used, and what is done then.
        counts: Counters to add to, under the names in `dualsys.counters`.
    """

    def __init__(self, num_actions: int, config: StalenessConfig, counts: dict[str, int]) -> None:
        self.holder: SourceName | None = None
        """Who has the say; None: the policy."""
        self._num_actions = num_actions
        self._config = config
        self._counts = counts
        self._streams: dict[SourceName, _Stream] = {}

    def take(self, event: Offered) -> None:
        """Take in an offer, or refuse and count it."""
        known = self._streams.get(event.source) if self._is_usable(event) else None
        # A stamp from the future is a broken clock's: what comes after it must not be refused for being older.
        if not self._is_usable(event) or (
            known is not None and event.stamp_s < known.stamp_s <= event.now_s + FUTURE_S
        ):
            self._counts["offers_refused"] += 1
            return
        self._counts["offers"] += 1
        goes_on = known is not None and known.claims
        self._streams[event.source] = _Stream(
            before=known.at(event.now_s) if known is not None and goes_on else event.target,
            target=np.array(event.target, dtype=np.float64),
            since_s=float(event.now_s),
            span_s=min(max(event.stamp_s - known.stamp_s, 0.0), LONGEST_MOVE_S) if known is not None else 0.0,
            stamp_s=float(event.stamp_s),
            claims=event.claims,
        )

    def settle(self, now_s: float) -> bool:
        """Settle who has the say from now on; whether that is another one than before."""
        before = self.holder
        self.holder = next((name for name in PRIORITY if self._may_have_it(name, now_s)), None)
        self._counts["handovers"] += self.holder != before
        return self.holder != before

    def target(self, now_s: float) -> FloatArray:
        """Target `(nu,)` of who has the say; only where it isn't the policy's."""
        assert self.holder is not None
        return self._streams[self.holder].at(now_s)

    def action(self, now_s: float) -> StaleAction:
        """What is to be done about the age of the holder's newest offer."""
        assert self.holder is not None
        return action_for(freshness(now_s - self._streams[self.holder].stamp_s, self._config), self._config)

    def _may_have_it(self, name: SourceName, now_s: float) -> bool:
        stream = self._streams.get(name)
        if stream is None or not stream.claims:
            return False
        return name == self.holder or freshness(now_s - stream.stamp_s, self._config) in ("fresh", "usable")

    def _is_usable(self, event: Any) -> bool:
        """Whether an offer, anybody's, is one."""
        named = isinstance(event.source, str) and event.source in PRIORITY and isinstance(event.claims, bool)
        timed = is_number(event.now_s) and is_number(event.stamp_s)
        return named and timed and is_vector(event.target, self._num_actions) and _is_small(event.target)


def _is_small(target: FloatArray) -> bool:
    return bool((np.abs(target) <= LARGEST_ROW).all())
