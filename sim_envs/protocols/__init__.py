"""How benchmarks are evaluated, as data: a file each, as the benchmark's own code has it.

`protocol_called("openpi-libero")` reads one, `protocol_names()` lists them, `dualsys eval --protocol` plays by them.
"""

from dualsys.sim_envs.protocols.catalogue import protocol_called as protocol_called
from dualsys.sim_envs.protocols.catalogue import protocol_names as protocol_names
from dualsys.sim_envs.protocols.evaluation_protocol import EvaluationProtocol as EvaluationProtocol
