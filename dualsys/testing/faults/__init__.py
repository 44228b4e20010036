"""Things that go wrong, for tests of one's own: models, streams, clocks, links, processes, disks.

    from dualsys.testing.faults import Dropped, FaultyRobot

    robot = FaultyRobot(MyRobot(), [Dropped()])
    ...
    robot.active = True     # from now on nothing new is sensed

`dualsys.testing.check_robot_under_faults` does all of it to a robot and tells whether the tick bears it.
"""

from dualsys.testing.faults.clocks import JumpingClock as JumpingClock
from dualsys.testing.faults.disks import FullFile as FullFile
from dualsys.testing.faults.disks import SmallDisk as SmallDisk
from dualsys.testing.faults.disks import file_size_limit as file_size_limit
from dualsys.testing.faults.disks import small_disk as small_disk
from dualsys.testing.faults.links import LostLink as LostLink
from dualsys.testing.faults.misfortune import Misfortune as Misfortune
from dualsys.testing.faults.models import Failure as Failure
from dualsys.testing.faults.models import FaultyActor as FaultyActor
from dualsys.testing.faults.models import FaultyPlanner as FaultyPlanner
from dualsys.testing.faults.models import InjectedError as InjectedError
from dualsys.testing.faults.processes import go_on as go_on
from dualsys.testing.faults.processes import kill as kill
from dualsys.testing.faults.processes import slowed as slowed
from dualsys.testing.faults.processes import stop as stop
from dualsys.testing.faults.processes import stopped as stopped
from dualsys.testing.faults.processes import waited_s as waited_s
from dualsys.testing.faults.robots import FaultyRobot as FaultyRobot
from dualsys.testing.faults.streams import ClockJump as ClockJump
from dualsys.testing.faults.streams import Delayed as Delayed
from dualsys.testing.faults.streams import Dropped as Dropped
from dualsys.testing.faults.streams import Duplicated as Duplicated
from dualsys.testing.faults.streams import FrozenCamera as FrozenCamera
from dualsys.testing.faults.streams import Reordered as Reordered
from dualsys.testing.faults.streams import SpoiledState as SpoiledState
from dualsys.testing.faults.streams import StreamFault as StreamFault
