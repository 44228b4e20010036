"""How the systems reach each other: mailboxes, wire frames, hosts and drivers.

    tick --state--> [mailbox] --> planner host --subgoal--> [mailbox] --> actor --chunk--> [mailbox] --> tick

Importing this package pulls in neither ray nor torch: the tick's process lives here.
"""

from dualsys.bridge.mailbox import Codec as Codec
from dualsys.bridge.mailbox import Mailbox as Mailbox
from dualsys.bridge.mailbox import Stamps as Stamps
