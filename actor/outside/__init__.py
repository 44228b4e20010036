"""Policies of other programs as actors: they are asked for chunks over a wire, by openpi's protocol or GR00T's.

    openpi_actor    a policy behind openpi's websocket server
    groot_actor     a policy behind GR00T's ZMQ server
    keys            what a policy calls a robot's states, cameras and joints, as data

Such a policy is both systems in one call, so there is no planner beside it and no subgoal: what it takes to think is
the actor's latency. Nothing here unpickles: arrays come as bytes with a type and a shape, bounded in size.
"""
