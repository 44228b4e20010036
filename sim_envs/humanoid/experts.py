"""Which expert is for which of the suite's tasks."""

from dualsys.protocols import Environment, Expert
from dualsys.sim_envs.humanoid.names import WHOLE_BODY


def expert_of(environment: Environment) -> Expert:
    """The expert of an environment's task: of the whole body `StandExpert`, at the table `TableExpert`."""
    if environment.embodiment.name == WHOLE_BODY:
        from dualsys.sim_envs.humanoid.stand_expert import StandExpert

        return StandExpert(environment)  # type: ignore[arg-type]  # an entry point is told of no more
    from dualsys.sim_envs.humanoid.expert import TableExpert

    return TableExpert(environment)  # type: ignore[arg-type]
