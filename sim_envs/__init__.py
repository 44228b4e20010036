"""Simulated tasks behind one interface: `make("humanoid/touch", seed=0)`.

Importing this is light: MuJoCo is imported when an environment is made.
"""

from dualsys.sim_envs.making import load_suite as load_suite
from dualsys.sim_envs.making import make as make
from dualsys.sim_envs.making import robot_of as robot_of
from dualsys.sim_envs.making import suite_of as suite_of
from dualsys.sim_envs.making import suites as suites
from dualsys.sim_envs.making import task_names as task_names
from dualsys.sim_envs.options import EnvironmentOptions as EnvironmentOptions
