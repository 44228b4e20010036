"""Embed the trained controller in a program of your own. Run: python examples/embed_in_ten_lines.py."""

import dualsys

environment = dualsys.sim_envs.make("humanoid/touch", images="on-demand")
environment.reset(seed=8000)
print(environment.instruction)
with dualsys.Controller.from_checkpoint("humanoid-table", embodiment=environment.embodiment) as controller:
    over = False
    while not over:
        command = controller.step(environment.observe())
        _, _, terminated, truncated, _ = environment.step(command.target)
        over = terminated or truncated
print("success" if environment.success else "failure")
