"""Whether the tables of bone names drive rigs in Blender. Run by a Python that has `bpy`:

python benchmarks/retargeting_in_blender.py seed0.bvh joints.npy

joints.npy: [T, 55, 3] metres, `omniges.motion.skeleton.joint_positions` of the same motion. The rigs are
built here: the tables' names, other proportions than the BVH's, random rolls, centimetres and a turned object
as FBX files give them, and for Unreal arms that hang by 45 degrees at rest. Afterwards every bone with one
successor must point where the joints say.
"""

import json
import math
import random
import sys
from pathlib import Path

import bpy
import numpy as np
from mathutils import Matrix, Vector

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tools" / "blender"))
from retarget import import_bvh, retarget  # noqa: E402

GOAL_DEG = 0.1


def build(source, table, droop_deg):
    """An armature with the table's names around the BVH's rest pose, changed."""
    draw = random.Random(0)
    bpy.ops.object.armature_add(enter_editmode=True)
    rig = bpy.context.object
    rig.data.edit_bones.remove(rig.data.edit_bones[0])
    old = source.matrix_world.to_3x3()
    made, heads = {}, {}
    for bone in source.data.bones:
        name = table["bones"].get(bone.name)
        parent = bone.parent.name if bone.parent else None
        offset = old @ (bone.head_local - (bone.parent.head_local if parent else Vector()))
        side = 1 if bone.name.startswith("left") else -1
        if parent and "shoulder" in _ancestors(bone):
            offset = Matrix.Rotation(side * math.radians(droop_deg), 3, "Y") @ offset
        head = (heads[parent] if parent else Vector()) + offset * draw.uniform(0.8, 1.2)
        heads[bone.name] = head
        if name is None:
            continue
        new = rig.data.edit_bones.new(table["prefix"] + name)
        new.head, new.tail, new.roll = head, head + Vector((0, 0, 0.05)), draw.uniform(-3, 3)
        new.parent = made.get(parent)
        made[bone.name] = new
    for bone in made.values():
        ends = [other for other in made if made[other].parent == bone]
        if len(ends) == 1:
            bone.tail = heads[ends[0]]
            bone.roll = draw.uniform(-3, 3)
    bpy.ops.object.mode_set(mode="OBJECT")
    placed = Matrix.Rotation(math.radians(90), 4, "X") @ Matrix.Scale(0.01, 4)
    rig.data.transform(placed.inverted())
    rig.matrix_world = placed
    bpy.context.view_layer.update()
    return rig


def _ancestors(bone):
    above = []
    while bone.parent:
        bone = bone.parent
        above.append(bone.name)
    return " ".join(above)


def worst_deg(rig, table, joints, order):
    """Largest angle between a bone's direction and the joints', over frames and bones."""
    worst, bones = 0.0, {table["prefix"] + b: j for j, b in table["bones"].items() if b}
    checked = 0
    for frame in range(0, len(joints), 7):
        bpy.context.scene.frame_set(frame + 1)
        evaluated = rig.evaluated_get(bpy.context.evaluated_depsgraph_get())
        for bone in rig.data.bones:
            ends = [child.name for child in bone.children]
            if len(ends) != 1:
                continue
            got = evaluated.pose.bones[ends[0]].head - evaluated.pose.bones[bone.name].head
            got = evaluated.matrix_world.to_3x3() @ got
            a, b = (joints[frame, order.index(bones[name])] for name in (ends[0], bone.name))
            x, y, z = a - b
            worst = max(worst, math.degrees(got.angle(Vector((x, -z, y)))))
            checked += 1
    return worst, checked


def main():
    bvh, places = sys.argv[1:]
    joints = np.load(places)
    for kind, droop in (("mixamo", 0.0), ("unreal", 45.0)):
        bpy.ops.wm.read_factory_settings(use_empty=True)
        table = json.loads((ROOT / "omniges" / "rendering" / "data" / f"{kind}.json").read_text("utf-8"))
        source = import_bvh(bvh)
        rig = build(source, table, droop)
        frames = retarget(source, rig, table)
        worst, checked = worst_deg(rig, table, joints, list(table["bones"]))
        late, _ = worst_deg(rig, table, np.roll(joints, 1, axis=0), list(table["bones"]))
        print(f"{kind}: against joints of one frame earlier, as a control: {late:.1f} degrees")
        print(f"{kind}: {len(rig.data.bones)} bones, {frames} frames, {checked} directions")
        print(f"{kind}_worst_deg: {worst:.4f} (goal {GOAL_DEG:g})")


if __name__ == "__main__":
    main()
