"""What may go otherwise than in training: light, cameras, looks, friction, mass, pushes, sensors, words.

Each kind is a frozen value with its strength; `presets.py` names some of them at three levels, `perturbed.py` puts them
on an environment. All that is drawn comes from the episode's seed, each kind in a stream of its own. Importing this is
light: neither MuJoCo nor gymnasium.
"""

from dualsys.sim_envs.perturbations.presets import LEVELS as LEVELS
from dualsys.sim_envs.perturbations.presets import PRESETS as PRESETS
from dualsys.sim_envs.perturbations.presets import described as described
from dualsys.sim_envs.perturbations.presets import perturbations_of as perturbations_of
