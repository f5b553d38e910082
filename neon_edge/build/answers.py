"""What the original networks answer on moments that were set aside: plans are compared with it."""

from __future__ import annotations

from typing import Literal

import numpy as np

from neon_edge.build.calibrate.moments import CalibrationSet, fingerprint, joint_rows
from neon_edge.build.heads import can_attend, sample_inputs, torch_chunk, torch_undenoised
from neon_edge.build.recipe import Recipe
from neon_edge.build.reference import ReferenceBackbone
from neon_edge.build.samples import POSES, SEED, Samples, camera_frames, sound_windows
from neon_edge.build.weights import Weights
from neon_edge.checkpoint.load import Checkpoint
from neon_edge.engine.attended import TOKENS, padded
from neon_edge.engine.manifest import AudioGeometry, Judged
from neon_edge.errors import ConfigWrong
from neon_edge.types import Float32

_BEYOND = 1.5
"""Of a joint's half range around its middle; recorded states leave their limits by little."""


def answers(
    checkpoint: Checkpoint, recipe: Recipe, weights: Weights, moments: CalibrationSet
) -> Samples:
    """The original networks in torch on every moment, and on POSES joint states a moment.

    Where `moments` hold joint states, those are used; all else that heads take is drawn. Raises
    `ConfigWrong` where recorded joints or sound do not fit.
    """
    sounds = _sounds(recipe.adaptor.audio, moments)
    # Joints that do not fit are refused ahead of a backbone's minutes.
    _place_recorded(checkpoint, moments, [])
    reference = ReferenceBackbone(recipe, weights)
    frames = [camera_frames(seen) for seen in moments.frames]
    heard = None if sounds is None else list(sounds)
    if not recipe.text.cut.tokens:
        pooled = reference.pooled_each(frames, moments.instructions, heard).astype(np.float32)
        del reference
        return heads_answers(checkpoint, moments, pooled, sounds)
    tokens = reference.tokens_each(frames, moments.instructions, heard)
    del reference
    pooled = np.stack([rows.mean(axis=0, dtype=np.float64) for rows in tokens]).astype(np.float32)
    rows = max(map(len, tokens))
    return heads_answers(checkpoint, moments, pooled, sounds, tokens)._replace(
        tokens=np.stack([padded(each, rows) for each in tokens]),
        counts=np.array([len(each) for each in tokens]),
    )


def heads_answers(
    checkpoint: Checkpoint,
    moments: CalibrationSet,
    pooled: Float32,
    sounds: Float32 | None,
    tokens: list[Float32] | None = None,
) -> Samples:
    """The heads' part of `answers`, from pooled features (n, width) of every moment.

    Heads that can attend to `tokens` (count, width) do.
    """
    attended = tokens if can_attend(checkpoint) else None
    rows = sample_inputs(checkpoint, len(moments.names) * POSES, SEED)
    _place_recorded(checkpoint, moments, rows)
    chunks, predicted, undenoised = [], [], []
    for index, inputs in enumerate(rows):
        inputs["pooled"] = pooled[None, index // POSES]
        if attended is not None:
            inputs[TOKENS] = attended[index // POSES][None]
        chunks.append(torch_chunk(checkpoint, inputs)[0])
        made = torch_undenoised(checkpoint, inputs)
        if made is not None:
            predicted.append(made.predicted)
            undenoised.append(made.chunk[0])
    names = [name for name in rows[0] if name not in ("pooled", TOKENS)]
    return Samples(
        cameras=moments.cameras,
        instructions=moments.instructions,
        names=moments.names,
        inputs={name: np.concatenate([row[name] for row in rows]) for name in names},
        pooled=pooled,
        chunk=np.stack(chunks),
        sounds=sounds,
        predicted=np.stack(predicted) if predicted else None,
        undenoised=np.stack(undenoised) if undenoised else None,
        tuning=moments.tuning,
    )


def judged_on(moments: CalibrationSet, recipe: Recipe) -> Judged:
    """What the manifest says of them."""
    heard: Literal["recorded", "drawn"] = "recorded" if moments.sounds is not None else "drawn"
    return Judged(
        source=moments.source,
        episodes=sorted(set(moments.episodes)),
        moments=len(moments.names),
        tuning=moments.tuning,
        seed=moments.seed,
        sha256=fingerprint(moments),
        joints="recorded" if _felt(moments) else "drawn",
        sound=heard if recipe.adaptor.audio is not None else "",
    )


def _felt(moments: CalibrationSet) -> bool:
    return bool(moments.robot) and moments.joints.shape[1] > 0


def _place_recorded(
    checkpoint: Checkpoint, moments: CalibrationSet, rows: list[dict[str, Float32]]
) -> None:
    """Base velocities, which no recording holds, stay drawn."""
    if not _felt(moments):
        return
    names = checkpoint.actions.joint_names
    joints = joint_rows(moments, names)
    _check_units(checkpoint, moments, joints)
    for index, row in enumerate(rows):
        if "joints" in row:
            row["joints"][0, : len(names)] = joints[_from(moments, *divmod(index, POSES))]


def _from(moments: CalibrationSet, moment: int, pose: int) -> int:
    """Whose state: the moment's own first, then those of the moments after it in the same half."""
    begin, end = (0, moments.tuning) if moment < moments.tuning else (moments.tuning, None)
    several = range(len(moments.names))[begin:end]
    return several[(moment - several[0] + pose) % len(several)]


def _check_units(checkpoint: Checkpoint, moments: CalibrationSet, joints: Float32) -> None:
    """Degrees or percent would saturate the heads, and nothing would show in any gate."""
    names, count = checkpoint.actions.joint_names, joints.shape[1]
    middle, half = (
        np.asarray(v[:count]) for v in (checkpoint.actions.middle, checkpoint.actions.half_range)
    )
    beyond = np.abs(joints - middle) / half
    if beyond.max() > _BEYOND:
        moment, joint = np.unravel_index(int(beyond.argmax()), beyond.shape)
        raise ConfigWrong(
            "recorded joint states lie far outside the joints' limits",
            f"{names[joint]} at {joints[moment, joint]:.4g}, {moments.names[moment]}; its range is "
            f"{middle[joint] - half[joint]:.4g} to {middle[joint] + half[joint]:.4g} rad",
            "record in rad (grippers from 0 to 1), not in degrees or percent",
        )


def _sounds(audio: AudioGeometry | None, moments: CalibrationSet) -> Float32 | None:
    if audio is None:
        return None
    if moments.sounds is None:
        return sound_windows(audio, len(moments.names), SEED)
    if (moments.rate_hz, moments.sounds.shape[1]) != (audio.rate_hz, audio.samples):
        raise ConfigWrong(
            "the moments' sound is not what this backbone hears",
            f"{moments.sounds.shape[1]} samples at {moments.rate_hz} Hz, "
            f"{audio.samples} at {audio.rate_hz} Hz wanted",
            "calibrate with this recipe",
        )
    return moments.sounds
