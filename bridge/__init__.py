"""How the systems reach each other: mailboxes, wire frames, hosts and drivers.

    tick --state--> [mailbox] --> planner host --subgoal--> [mailbox] --> actor --chunk--> [mailbox] --> tick

Importing this package pulls in neither ray nor torch: the tick's process lives here.
"""

from dualsys.bridge.latest_value import Codec as Codec
from dualsys.bridge.latest_value import Mailbox as Mailbox
from dualsys.bridge.latest_value import Stamps as Stamps
from dualsys.bridge.run_folder import RunFolder as RunFolder
from dualsys.bridge.wire import ArrayCodec as ArrayCodec
