"""Drive a rig in Blender by a BVH of `omniges generate`, bone for bone by a table of bone names.

blender -b rig.blend -P tools/blender/retarget.py -- seed0.bvh omniges/rendering/data/mixamo.json out.blend

Rotations are taken over relative to the rest pose, in the world, after each bone that has one
successor is turned to point at rest where the BVH's points (an A-pose becomes a T-pose). The rig must stand
upright and look along -y, as Blender imports Mixamo's and Unreal's rigs.
"""

import json
import sys
from pathlib import Path

import bpy
from mathutils import Matrix, Quaternion, Vector


def import_bvh(path: str) -> "bpy.types.Object":
    """Import with the axes of docs/exports.md."""
    bpy.ops.import_anim.bvh(filepath=path, axis_forward="-Z", axis_up="Y", rotate_mode="NATIVE")
    return bpy.context.object


def retarget(source: "bpy.types.Object", rig: "bpy.types.Object", table: dict) -> int:
    """Keyframe `rig` over the scene's frames; returns their number."""
    names = {table["prefix"] + bone: joint for joint, bone in table["bones"].items() if bone is not None}
    bones = [bone for bone in rig.data.bones if bone.name in names]
    aligned = _aligned(source, rig, bones, names)
    first, last = (round(value) for value in source.animation_data.action.frame_range)
    for bone in bones:
        rig.pose.bones[bone.name].rotation_mode = "QUATERNION"
    scale = _hip_height(rig, bones[0].name) / _hip_height(source, names[bones[0].name])
    for frame in range(first, last + 1):
        bpy.context.scene.frame_set(frame)
        _pose(source, rig, names, aligned, scale)
        for bone in bones:
            rig.pose.bones[bone.name].keyframe_insert("rotation_quaternion", frame=frame)
        rig.pose.bones[bones[0].name].keyframe_insert("location", frame=frame)
    return last - first + 1


def _rest(owner: "bpy.types.Object", name: str) -> Matrix:
    return owner.matrix_world @ owner.data.bones[name].matrix_local


def _turn(matrix: Matrix) -> Quaternion:
    return matrix.to_quaternion()


def _aligned(source, rig, bones, names) -> dict[str, Quaternion]:
    """How each bone is turned, in the world, so that at rest it points where the BVH's does; a bone
    without one successor follows its parent.
    """
    turns: dict[str, Quaternion] = {}
    for bone in bones:
        ends = [child for child in bone.children if child.name in names]
        turn = turns.get(bone.parent.name, Quaternion()) if bone.parent else Quaternion()
        if len(ends) == 1:
            got = _head(rig, ends[0].name) - _head(rig, bone.name)
            wanted = _head(source, names[ends[0].name]) - _head(source, names[bone.name])
            turn = got.rotation_difference(wanted)
        turns[bone.name] = turn
    return turns


def _head(owner: "bpy.types.Object", name: str) -> Vector:
    return owner.matrix_world @ owner.data.bones[name].head_local


def _hip_height(owner: "bpy.types.Object", hips: str) -> float:
    heads = [(owner.matrix_world @ bone.head_local).z for bone in owner.data.bones]
    return _head(owner, hips).z - min(heads)


def _pose(source, rig, names, aligned, scale) -> None:
    placed: dict[str, Matrix] = {}  # in the rig's own space, which may be turned and scaled in the world
    world = rig.matrix_world
    for bone in rig.data.bones:  # parents come before their children
        rest, above = bone.matrix_local, bone.parent
        carried = rest
        if above is not None:
            carried = placed[above.name] @ above.matrix_local.inverted() @ rest
        placed[bone.name] = carried
        if bone.name not in names:
            continue
        joint = names[bone.name]
        moved = source.matrix_world @ source.pose.bones[joint].matrix
        change = _turn(moved) @ _turn(_rest(source, joint)).inverted()
        turned = _turn(world).inverted() @ change @ aligned[bone.name] @ _turn(world @ rest)
        wanted = turned.to_matrix().to_4x4()
        wanted.translation = carried.translation
        if above is None or above.name not in names:
            step = scale * (moved.translation - _rest(source, joint).translation)
            wanted.translation = rest.translation + world.to_3x3().inverted() @ step
        basis = carried.inverted() @ wanted
        posed = rig.pose.bones[bone.name]
        posed.rotation_quaternion, posed.location = basis.to_quaternion(), basis.translation
        placed[bone.name] = wanted


def main(arguments: list[str]) -> None:
    bvh, table, out = arguments
    rigs = [item for item in bpy.data.objects if item.type == "ARMATURE"]
    if len(rigs) != 1:
        raise SystemExit(f"got {len(rigs)} armatures in the file, wanted one: the rig")
    frames = retarget(import_bvh(bvh), rigs[0], json.loads(Path(table).read_text("utf-8")))
    bpy.ops.wm.save_as_mainfile(filepath=out)
    print(f"{out}: {frames} frames")


if __name__ == "__main__" and "--" in sys.argv:
    main(sys.argv[sys.argv.index("--") + 1 :])
