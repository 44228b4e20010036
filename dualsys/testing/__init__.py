"""For your own tests: does my planner, actor, environment, expert or robot conform, and what happens when a part fails?

    from dualsys.testing import check_actor

    def test_my_actor_conforms():
        check_actor(MyActor())

The checks raise `NotConforming`, an `AssertionError` that says what was called, what came back and what was expected.
Needs numpy only; brings no test framework.
"""

from dualsys.errors import NotConforming as NotConforming
from dualsys.testing.actors import check_actor as check_actor
from dualsys.testing.environments import check_environment as check_environment
from dualsys.testing.examples import ActorExample as ActorExample
from dualsys.testing.examples import PlannerExample as PlannerExample
from dualsys.testing.experts import check_expert as check_expert
from dualsys.testing.fake_environment import ReachEnvironment as ReachEnvironment
from dualsys.testing.fakes import IdealRobot as IdealRobot
from dualsys.testing.fakes import KnownPlanner as KnownPlanner
from dualsys.testing.fakes import PoseActor as PoseActor
from dualsys.testing.fakes import fake_embodiment as fake_embodiment
from dualsys.testing.faults import FaultyActor as FaultyActor
from dualsys.testing.faults import FaultyPlanner as FaultyPlanner
from dualsys.testing.groups import GroupActor as GroupActor
from dualsys.testing.groups import mobile_embodiment as mobile_embodiment
from dualsys.testing.planners import check_planner as check_planner
from dualsys.testing.robots import check_robot as check_robot
from dualsys.testing.under_faults import ROBOT_FAULTS as ROBOT_FAULTS
from dualsys.testing.under_faults import RobotFault as RobotFault
from dualsys.testing.under_faults import check_robot_under_faults as check_robot_under_faults
