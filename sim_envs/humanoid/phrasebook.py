"""The templates and words that each task's instructions are made of; `grammar.py` puts them together."""

from dualsys.sim_envs.humanoid.goals import TaskName, Verb
from dualsys.sim_envs.humanoid.grammar import Grammar

NOUNS = ("block", "box", "brick", "piece")
_PICK_VERBS = ("pick up", "lift", "grab", "take", "raise", "hold up")

TOUCH = Grammar(
    verbs=("touch", "tap", "press", "poke", "reach", "pat"),
    nouns=NOUNS,
    train=(
        "{verb} the {colour} {noun}",
        "please {verb} the {colour} {noun}",
        "{verb} the {colour} {noun} please",
        "can you {verb} the {colour} {noun}",
        "could you please {verb} the {colour} {noun}",
        "{verb} the {noun} that is {colour}",
        "{verb} the {noun} which is {colour} please",
        "the {colour} {noun} is the one to {verb}",
        "{colour} is the {noun} to {verb}",
        "find the {colour} {noun} and {verb} it",
        "look for the {colour} {noun} then {verb} it",
        "i want you to {verb} the {colour} {noun}",
        "i would like you to {verb} the {noun} that is {colour}",
        "now {verb} the {colour} one",
        "{verb} the {colour} one with your hand",
        "with your hand {verb} the {colour} {noun}",
        "use your hand to {verb} the {colour} {noun}",
        "use either hand and {verb} the {colour} {noun} on the table",
        "{verb} the {colour} {noun} on the table",
        "on the table there is a {colour} {noun} {verb} it",
        "there is a {colour} {noun} please {verb} it",
        "go and {verb} the {colour} {noun}",
        "go to the {colour} {noun} and {verb} it now",
        "{verb} only the {colour} {noun}",
        "only {verb} the {noun} that is {colour}",
        "move your hand to the {colour} {noun}",
        "move to the {noun} which is {colour}",
        "your hand should {verb} the {colour} {noun}",
        "{colour} {noun} please",
        "{verb} {colour}",
    ),
    held_out=(
        "please find the {noun} that is {colour} and {verb} it",
        "could you {verb} the {colour} one on the table",
        "the {noun} to {verb} is the {colour} one",
        "i want the {colour} {noun} please {verb} it with your hand",
        "now go to the table and {verb} the {noun} which is {colour}",
        "would you please {verb} only the {colour} {noun}",
    ),
)

PICK = Grammar(
    verbs=_PICK_VERBS,
    nouns=NOUNS,
    train=(
        "{verb} the {colour} {noun}",
        "please {verb} the {colour} {noun}",
        "{verb} the {colour} {noun} please",
        "can you {verb} the {colour} {noun}",
        "could you please {verb} the {colour} {noun}",
        "{verb} the {noun} that is {colour}",
        "the {colour} {noun} is the one to {verb}",
        "find the {colour} {noun} and {verb} it",
        "i want you to {verb} the {colour} {noun}",
        "i would like you to {verb} the {noun} that is {colour}",
        "now {verb} the {colour} one",
        "{verb} the {colour} {noun} from the table",
        "on the table there is a {colour} {noun} {verb} it",
        "there is a {colour} {noun} please {verb} it",
        "go and {verb} the {colour} {noun}",
        "use either hand and {verb} the {colour} {noun}",
        "with one hand {verb} the {colour} {noun}",
        "{verb} only the {colour} {noun}",
        "your hand should {verb} the {colour} {noun}",
        "{verb} {colour}",
    ),
    held_out=(
        "please find the {noun} that is {colour} and {verb} it",
        "could you {verb} the {colour} one from the table",
        "the {noun} to {verb} is the {colour} one",
        "would you please {verb} only the {colour} {noun}",
    ),
)

PICK_WITH = Grammar(
    verbs=_PICK_VERBS,
    nouns=NOUNS,
    train=(
        "{verb} the {colour} {noun} with your {hand} hand",
        "please {verb} the {colour} {noun} with the {hand} hand",
        "with your {hand} hand {verb} the {colour} {noun}",
        "with the {hand} hand please {verb} the {colour} {noun}",
        "use your {hand} hand to {verb} the {colour} {noun}",
        "use the {hand} hand and {verb} the {noun} that is {colour}",
        "can you {verb} the {colour} {noun} with your {hand} hand",
        "{verb} the {noun} that is {colour} using the {hand} hand",
        "find the {colour} {noun} and {verb} it with your {hand} hand",
        "i want you to {verb} the {colour} {noun} with your {hand} hand",
        "your {hand} hand should {verb} the {colour} {noun}",
        "{hand} hand {verb} the {colour} {noun}",
        "now {verb} the {colour} one {hand} handed",
        "there is a {colour} {noun} {verb} it with the {hand} hand",
    ),
    held_out=(
        "can you please {verb} the {colour} one using your {hand} hand",
        "the {noun} to {verb} with the {hand} hand is the {colour} one",
        "please use the {hand} hand and {verb} the {colour} {noun}",
    ),
)

BIMANUAL = Grammar(
    verbs=_PICK_VERBS,
    nouns=NOUNS,
    train=(
        "{verb} the {colour} {noun} and the {other} {noun} with both hands",
        "please {verb} the {colour} {noun} and the {other} {noun}",
        "with both hands {verb} the {colour} and the {other} {noun}",
        "use both hands and {verb} the {colour} and the {other} one",
        "{verb} both the {colour} {noun} and the {other} {noun}",
        "one in each hand {verb} the {colour} and the {other} {noun}",
        "can you {verb} the {colour} {noun} and the {other} {noun}",
        "{verb} the {colour} {noun} with the {hand} hand and the {other} {noun} with the {other_hand} hand",
        "with your {hand} hand {verb} the {colour} {noun} and with your {other_hand} hand the {other} one",
        "{hand} hand {colour} {noun} {other_hand} hand {other} {noun} {verb} both",
    ),
    held_out=(
        "can you please {verb} the {colour} and the {other} {noun} one in each hand",
        "please use both hands and {verb} the {colour} {noun} and the {other} one",
        "use your {hand} hand and {verb} the {colour} {noun} and with your {other_hand} hand the {other} {noun}",
    ),
)

POINT = Grammar(
    verbs=("point at", "show", "indicate", "mark"),
    nouns=NOUNS,
    train=(
        "{verb} the {colour} {noun}",
        "please {verb} the {colour} {noun}",
        "hold your hand over the {colour} {noun}",
        "hold your hand over the {noun} that is {colour} please",
        "can you {verb} the {colour} {noun}",
        "{verb} the {noun} which is {colour} with your hand",
        "your hand should stay over the {colour} {noun}",
        "stay over the {colour} one and do not touch it",
        "{verb} the {colour} one",
        "now {verb} the {colour} one with your hand please",
        "use your hand and {verb} the {colour} {noun}",
        "with your hand {verb} the {noun} that is {colour}",
        "there is a {colour} {noun} please {verb} it",
        "on the table there is a {colour} {noun} {verb} it",
    ),
    held_out=(
        "please stay over the {colour} {noun}",
        "can you hold your hand over the {colour} one",
        "use your hand please and {verb} the {noun} which is {colour}",
    ),
)

REACH_AND_HOLD = Grammar(
    verbs=("guard", "shield", "cover", "keep"),
    nouns=NOUNS,
    train=(
        "{verb} the {colour} {noun} with your hand",
        "please {verb} the {colour} {noun} with your hand",
        "reach out and hold still over the {colour} {noun}",
        "hold your hand still over the {colour} {noun} whatever pushes it",
        "{verb} the {noun} that is {colour} with your hand please",
        "reach over the {colour} {noun} and stay there",
        "{verb} the {colour} one and do not touch it",
        "use your hand to {verb} the {colour} {noun}",
        "your hand should {verb} the {colour} {noun} and not be pushed away",
        "can you {verb} the {colour} {noun} with your hand",
        "now {verb} the {colour} one with your hand",
        "with your hand {verb} the {noun} which is {colour}",
        "do not let anything push your hand off the {colour} {noun}",
        "there is a {colour} {noun} {verb} it with your hand",
    ),
    held_out=(
        "can you reach over the {colour} one and stay there",
        "please {verb} the {noun} which is {colour} whatever pushes your hand",
        "use your hand and hold still over the {colour} {noun}",
    ),
)

GRAMMARS: dict[TaskName | Verb, Grammar] = {
    "touch": TOUCH,
    "pick": PICK,
    "pick-with": PICK_WITH,
    "bimanual": BIMANUAL,
    "point": POINT,
    "reach-and-hold": REACH_AND_HOLD,
}
"""Sequences join sentences of these."""
