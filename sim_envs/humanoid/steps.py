"""The steps of an instruction in plain words: what a planner is to say while it does them."""

from dualsys.sim_envs.humanoid.goals import Goal


def step_text(goals: tuple[Goal, ...]) -> str:
    """One step's goals as a sentence of the training grammar, always the same one for the same goals."""
    first = goals[0]
    if len(goals) > 1:
        return f"pick up the {first.colour} block and the {goals[1].colour} block with both hands"
    verb = {"touch": "touch", "pick": "pick up", "point": "point at", "hold": "hold still over"}[first.verb]
    with_hand = f" with your {first.hand} hand" if first.hand is not None and first.verb == "pick" else ""
    return f"{verb} the {first.colour} block{with_hand}"


def steps_of(goals: tuple[Goal, ...], *, together: bool) -> tuple[str, ...]:
    """The steps of an episode, in order."""
    return (step_text(goals),) if together else tuple(step_text((goal,)) for goal in goals)
