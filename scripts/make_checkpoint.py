"""Write a demo checkpoint: upstream's exact layout, seeded random weights, gentle motion.

The networks are drawn as torch draws them, then made presentable, so that a demo moves visibly and
smoothly about the standing pose:

- the last layer of every head is scaled until its outputs spread by `--swing` of half a joint's
  range over random observations, and its bias puts the resting pose at upstream's default pose;
- step embeddings run along low-frequency waves, so that neighbouring rows of a chunk are close.

These weights were never trained. `action_space.json` says so in a field that upstream never reads,
and `neon-edge run` refuses plans made from them on a real robot.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from neon_edge.checkpoint.actions import ActionSpace, action_space_of
from neon_edge.checkpoint.config import BackboneSource, NeonConfig, TribeSource, as_dict
from neon_edge.checkpoint.joints import MODES
from neon_edge.checkpoint.load import PICTURE
from neon_edge.checkpoint.networks.heads import NeonHeads
from neon_edge.checkpoint.networks.mlp import ChunkingHead, MlpDecoder, SeparateHeads, SingleHead
from neon_edge.checkpoint.refuse import refuse_impossible
from neon_edge.errors import NeonEdgeError

OBSERVATIONS = 64


def make_checkpoint(out: Path, config: NeonConfig, seed: int, swing: float) -> None:
    """Write `config.json`, `action_space.json` and `neon_weights.pt` into `out`."""
    actions = action_space_of(config, demo_seed=seed)
    refuse_impossible(config, actions)
    generator = torch.Generator().manual_seed(seed)
    heads = NeonHeads(config, actions, PICTURE).eval().requires_grad_(False)
    _draw(heads, generator)
    _rest_at_default(heads, actions, generator, swing)
    out.mkdir(parents=True, exist_ok=True)
    (out / "config.json").write_text(json.dumps(as_dict(config), indent=2) + "\n")
    (out / "action_space.json").write_text(
        json.dumps({k: getattr(actions, k) for k in actions.__struct_fields__}, indent=2) + "\n"
    )
    state = {name: tensor.clone() for name, tensor in heads.named_parameters()}
    torch.save(state, out / "neon_weights.pt")


def _draw(heads: NeonHeads, generator: torch.Generator) -> None:
    for module in heads.modules():
        if isinstance(module, (nn.Linear, nn.Conv2d)):
            bound = 1 / math.sqrt(module.weight[0].numel())
            module.weight.uniform_(-bound, bound, generator=generator)
            if module.bias is not None:
                module.bias.uniform_(-bound, bound, generator=generator)
        elif isinstance(module, nn.Embedding):
            module.weight.copy_(_waves(module.num_embeddings, module.embedding_dim, generator))


def _waves(steps: int, width: int, generator: torch.Generator) -> Tensor:
    cycles = torch.rand(width, generator=generator) / 4
    phase = torch.rand(width, generator=generator)
    at = torch.arange(steps)[:, None] / steps
    return torch.sin(2 * math.pi * (cycles * at + phase)) * math.sqrt(2)


def _rest_at_default(
    heads: NeonHeads, actions: ActionSpace, generator: torch.Generator, swing: float
) -> None:
    default = torch.tensor([joint.default for joint in actions.joints])
    rest = torch.zeros(actions.action_dim)
    rest[: len(default)] = default
    rest = torch.atanh(((rest - heads.middle) / heads.half_range).clamp(-0.95, 0.95))
    at = 0
    for decoder, last in _last_layers(heads):
        features = heads.fused(**_observations(heads, actions, generator))
        last.bias.zero_()
        decoded = torch.atanh(decoder(features).clamp(-0.999999, 0.999999))
        spread = decoded.reshape(-1, last.out_features).std(dim=0)
        centre = decoded.reshape(-1, last.out_features).mean(dim=0)
        gain = swing / spread
        last.weight.mul_(gain[:, None])
        last.bias.copy_(rest[at : at + last.out_features] - centre * gain)
        at += last.out_features


def _last_layers(heads: NeonHeads) -> list[tuple[nn.Module, nn.Linear]]:
    # In the order in which their outputs are joined.
    head = heads.action_head
    if isinstance(head, SeparateHeads):
        decoders: list[nn.Module] = [head.heads[name] for name in head.ORDER if name in head.heads]
    else:
        assert isinstance(head, SingleHead)
        decoders = [head.head]
    return [(decoder, _last_layer(decoder)) for decoder in decoders]


def _last_layer(decoder: nn.Module) -> nn.Linear:
    last: nn.Module | None = decoder.output_proj if isinstance(decoder, MlpDecoder) else None
    if isinstance(decoder, ChunkingHead):
        last = decoder.decoder[-1]
    assert isinstance(last, nn.Linear)
    return last


def _observations(
    heads: NeonHeads, actions: ActionSpace, generator: torch.Generator
) -> dict[str, Tensor]:
    def normal(*shape: int) -> Tensor:
        return torch.randn(OBSERVATIONS, *shape, generator=generator)

    spread = torch.rand(OBSERVATIONS, actions.action_dim, generator=generator) * 2 - 1
    observed = {
        "pooled": normal(heads.pooled_width),
        "joints": spread * heads.half_range + heads.middle,
    }
    observed.update({sensor.name: normal(*sensor.shape) for sensor in heads.sensors})
    return observed


def _of_tribe(chosen: argparse.Namespace) -> dict[str, Any]:
    """The fields of a checkpoint on TRIBE, with as many fusion heads as the tiny recipe."""
    if not chosen.tribe:
        return {}
    ids = chosen.backbone_id.split(" + ")
    video, audio, text = ids if len(ids) == 3 else ids * 3
    heads = 4 if len(ids) == 1 else 8
    source = TribeSource(chosen.pooled, video, audio, text, num_fusion_heads=heads)
    return {"backbone_type": "tribe", "tribe_backbone": source}


def main() -> None:
    """Parse the command line and write the checkpoint."""
    parser = argparse.ArgumentParser(
        description="Write a demo checkpoint in upstream's layout, with seeded random weights."
    )
    parser.add_argument("out", type=Path, help="directory to write")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--mode", choices=sorted(MODES), default="whole_body", help="control mode")
    parser.add_argument("--pooled", type=int, default=128, help="width of the pooled features")
    parser.add_argument("--backbone-id", default="neon-edge/qwen-omni-tiny")
    parser.add_argument(
        "--tribe", action="store_true", help="on a tribe backbone; up to three ids, joined by ' + '"
    )
    parser.add_argument("--steps", type=int, default=16, help="rows of a chunk")
    parser.add_argument("--hidden", type=int, default=512, help="width of the head")
    parser.add_argument("--separate", action="store_true", help="one decoder a joint group")
    parser.add_argument("--no-chunking", action="store_true", help="one row a chunk")
    parser.add_argument("--no-locomotion", action="store_true", help="no base velocity")
    parser.add_argument("--no-proprioception", action="store_true")
    parser.add_argument("--no-imu", action="store_true")
    parser.add_argument(
        "--swing", type=float, default=0.1, help="spread of the motion, of half a joint's range"
    )
    chosen = parser.parse_args()
    config = NeonConfig(
        **_of_tribe(chosen),
        backbone=BackboneSource(model_id=chosen.backbone_id, hidden_size=chosen.pooled),
        control_mode=chosen.mode,
        include_locomotion=not chosen.no_locomotion,
        num_action_steps=chosen.steps,
        mlp_hidden=chosen.hidden,
        use_separate_heads=chosen.separate,
        use_action_chunking=not chosen.no_chunking,
        use_proprioception=not chosen.no_proprioception,
        use_imu=not chosen.no_imu,
    )
    try:
        make_checkpoint(chosen.out, config, chosen.seed, chosen.swing)
    except NeonEdgeError as wrong:
        print(wrong, file=sys.stderr)
        sys.exit(wrong.exit_code)
    print(f"wrote {chosen.out}: {chosen.mode}, random weights from seed {chosen.seed}")


if __name__ == "__main__":
    main()
