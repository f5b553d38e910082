"""English about robot tasks: passages to calibrate on, and others, never seen, to judge by."""

from __future__ import annotations

import random

PASSAGE_SENTENCES = 24

_CALIBRATION = (
    "Pick up the {colour} {thing} and put it in the {place}.",
    "Move the {thing} to the left of the {thing2}.",
    "The arm reaches for the {colour} {thing}, closes its gripper and lifts it slowly.",
    "Open the {place}, take out the {thing}, and close it again.",
    "Stack the {colour} {thing} on top of the {thing2} without knocking anything over.",
    "Wipe the {place} with a cloth until it is clean.",
    "If the {thing} slips, stop at once and open the gripper.",
    "Hand the {thing} to the person standing by the {place}.",
    "Which of the two {thing}s is closer to the {place}?",
    "Turn the {thing} upright before you carry it to the {place}.",
    "Joint four is near its limit, so approach the {thing} from the other side.",
    "Sort every {thing} by colour and leave the {thing2} where it is.",
)
_HELD_OUT = (
    "Please bring me a {colour} {thing} from the {place} when you have a moment.",
    "Walk over to the {place}, look around, and tell me whether there is a {thing}.",
    "Insert the {thing} into the slot beside the {thing2} and press until it clicks.",
    "The wrist camera sees a {colour} {thing} behind the {thing2}.",
    "Slide the {thing} towards the edge of the {place}, grasp it from above, then wait.",
    "Do not touch the {colour} {thing}; it is fragile and still hot.",
    "Pour half of the {thing} into the {thing2} and stir gently three times.",
    "After folding the towel, lay it flat on the {place} next to the {thing}.",
    "Unscrew the lid of the {thing} with the right hand while the left one holds it.",
    "Drive forward two metres, turn towards the {place} and park there.",
)
_COLOURS = ("red", "blue", "green", "yellow", "white", "black", "transparent", "orange")
_THINGS = ("cube", "mug", "screwdriver", "sponge", "bottle", "battery", "bolt", "apple", "box")
_OTHER_THINGS = ("spoon", "kettle", "jar", "connector", "book", "pear", "bracket", "carton")
_PLACES = ("drawer", "bin", "shelf", "table", "sink", "cupboard", "tray", "conveyor belt")
_OTHER_PLACES = ("workbench", "fridge", "kitchen counter", "charging station", "basket", "rack")


def calibration_texts(count: int, seed: int) -> list[str]:
    """Long enough to fill 256 tokens."""
    return _passages(count, f"calibration {seed}", _CALIBRATION, _THINGS, _PLACES)


def held_out_texts(count: int, seed: int) -> list[str]:
    """Other sentences, other things, other places."""
    return _passages(count, f"held out {seed}", _HELD_OUT, _OTHER_THINGS, _OTHER_PLACES)


def _passages(
    count: int, seed: str, forms: tuple[str, ...], things: tuple[str, ...], places: tuple[str, ...]
) -> list[str]:
    chance = random.Random(seed)
    passages = []
    for _ in range(count):
        chosen = [forms[i % len(forms)] for i in range(PASSAGE_SENTENCES)]
        chance.shuffle(chosen)
        passages.append(
            " ".join(
                form.format(
                    colour=chance.choice(_COLOURS),
                    thing=chance.choice(things),
                    thing2=chance.choice(things),
                    place=chance.choice(places),
                )
                for form in chosen
            )
        )
    return passages
