"""LeRobot's plug-in: `--policy.type=dualsys` is a controller of dualsys, `--env.type=dualsys` a task of it.

    lerobot-eval --policy.type=dualsys --env.type=dualsys --env.task=humanoid/touch --eval.n_episodes=10 --seed=8000

Importing it registers both; LeRobot finds policies and processors by the names of these modules.
"""

from lerobot_policy_dualsys.configuration_dualsys import DualsysConfig as DualsysConfig
from lerobot_policy_dualsys.environment_dualsys import DualsysEnv as DualsysEnv
