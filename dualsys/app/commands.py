"""The table of commands: where each lives and what it is for. Nothing of them is imported here."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandEntry:
    """Where a command lives and what it is for."""

    config: str
    """`module:name` of the options' dataclass."""
    function: str
    """`module:name` of the function that takes the options and returns the exit status."""
    summary: str


COMMANDS: dict[str, CommandEntry] = {
    "run": CommandEntry(
        config="dualsys.app.run_config:RunConfig",
        function="dualsys.app.run:main",
        summary="Drive one task live with both systems, with a table, a video and a log.",
    ),
    "stop": CommandEntry(
        config="dualsys.app.emergency:StopConfig",
        function="dualsys.app.emergency:stop",
        summary="Emergency stop of a run in processes on this machine: it comes to rest, and stays so.",
    ),
    "reset": CommandEntry(
        config="dualsys.app.emergency:ResetConfig",
        function="dualsys.app.emergency:reset",
        summary="End an emergency stop, when somebody has looked: the motion begins anew, from rest.",
    ),
    "serve": CommandEntry(
        config="dualsys.app.serve:ServeConfig",
        function="dualsys.app.serve:main",
        summary="Serve one planner to many robots of a Ray cluster, until Ctrl-C.",
    ),
    "policy serve": CommandEntry(
        config="dualsys.app.policy_serve:PolicyServeConfig",
        function="dualsys.app.policy_serve:main",
        summary="Serve a controller to programs that speak openpi's or GR00T's protocol, until Ctrl-C.",
    ),
    "policy ask": CommandEntry(
        config="dualsys.app.policy_ask:PolicyAskConfig",
        function="dualsys.app.policy_ask:main",
        summary="Ask a policy's server for chunks of a task's robot: what it says of itself, how long it takes.",
    ),
    "replay": CommandEntry(
        config="dualsys.app.replay:ReplayConfig",
        function="dualsys.app.replay:main",
        summary="Decide a recorded run again and compare every command to the bit.",
    ),
    "eval": CommandEntry(
        config="dualsys.app.evaluation.config:EvalConfig",
        function="dualsys.app.evaluate:main",
        summary="Success rate of a suite or a task on the virtual clock, latencies as arguments.",
    ),
    "measure": CommandEntry(
        config="dualsys.app.measure:MeasureConfig",
        function="dualsys.app.measure:main",
        summary="Measure how long planner, actor and cameras take on this machine, as a trace for evaluations.",
    ),
    "demos": CommandEntry(
        config="dualsys.app.demos:DemosConfig",
        function="dualsys.app.demos:main",
        summary="Record demonstrations of the scripted expert as a LeRobot dataset.",
    ),
    "data check": CommandEntry(
        config="dualsys.app.data_check:DataCheckConfig",
        function="dualsys.app.data_check:main",
        summary="Check datasets: rate, alignment, frozen cameras, saturated joints, duplicates, where they come from.",
    ),
    "data import": CommandEntry(
        config="dualsys.app.data_import:DataImportConfig",
        function="dualsys.app.data_import:main",
        summary="Import demonstrations: LeRobot, ACT, robomimic, LIBERO, Diffusion Policy, RLDS, MCAP, tapes of runs.",
    ),
    "import": CommandEntry(
        config="dualsys.app.import_checkpoint:ImportConfig",
        function="dualsys.app.import_checkpoint:main",
        summary="Import a published checkpoint of pi0, pi0.5, SmolVLA or GR00T as a controller.",
    ),
    "train": CommandEntry(
        config="dualsys.app.train_config:TrainConfig",
        function="dualsys.app.train:main",
        summary="Train a planner and an actor together on a dataset.",
    ),
    "finetune": CommandEntry(
        config="dualsys.app.finetune:FinetuneConfig",
        function="dualsys.app.finetune:main",
        summary="Teach a trained controller a new task from a few dozen demonstrations.",
    ),
    "subtasks": CommandEntry(
        config="dualsys.app.subtasks:SubtasksConfig",
        function="dualsys.app.subtasks:main",
        summary="Teach a controller's planner to say which step of a long instruction it is at.",
    ),
    "correct": CommandEntry(
        config="dualsys.app.correct:CorrectConfig",
        function="dualsys.app.correct:main",
        summary="Let a controller act and the expert step in: data for the next training.",
    ),
    "report": CommandEntry(
        config="dualsys.app.report:ReportConfig",
        function="dualsys.app.report:main",
        summary="Make the page of a training anew, with videos.",
    ),
    "list": CommandEntry(
        config="dualsys.app.listing:ListConfig",
        function="dualsys.app.listing:main",
        summary="Tasks, planners, actors, chunk policies, experts, robots, protocols, perturbations and checkpoints "
        "that are there.",
    ),
    "check": CommandEntry(
        config="dualsys.app.check:CheckConfig",
        function="dualsys.app.check:main",
        summary="Try every task of every suite: it builds, steps, draws, conforms, and its expert solves it.",
    ),
    "doctor": CommandEntry(
        config="dualsys.app.doctor:DoctorConfig",
        function="dualsys.app.doctor:main",
        summary="Check this machine: versions, rendering, shared memory, Ray, assets; say how to mend what is wrong.",
    ),
}
