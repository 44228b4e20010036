"""How an actor is to go on from the motion that runs while it computes.

A chunk is made from an observation and played some rows later. An actor that knows which rows run meanwhile can make
its chunk continue them, in one of these ways:

    identity, jacobian   each flow step is pulled towards the rows
    freeze-and-ramp      the rows stand in for noise, and are let go by degrees
    trained-prefix       the actor has learned to continue rows that it is given
    roll-forward         the state is moved on by what the rows will have moved it

How it is done is the actor's business (`dualsys.actor.guidance`), that it is asked for is the policy's
(`dualsys.chunk_policies`), and a policy that asks for what an actor can't do is refused when the two meet.
"""

from typing import Protocol, runtime_checkable

from dualsys.errors import SpecMismatch
from dualsys.messages import Guidance
from dualsys.protocols import Actor


@runtime_checkable
class Guided(Protocol):
    """An actor that reads `prefix`."""

    @property
    def guidances(self) -> frozenset[Guidance]:
        """Ways in which it can be asked to."""
        ...


def require_guidance(actor: Actor, guidance: Guidance | None) -> None:
    """Raise `SpecMismatch` where a policy asks an actor for what it can't do."""
    offered = actor.guidances if isinstance(actor, Guided) else frozenset[Guidance]()
    if guidance is not None and guidance not in offered:
        known = ", ".join(sorted(offered)) or "none"
        raise SpecMismatch(
            f"the chunk policy needs an actor with guidance {guidance!r}, and {type(actor).__name__} offers {known}; "
            "choose another --core.chunk-policy (skip-by-delay needs none)"
        )
