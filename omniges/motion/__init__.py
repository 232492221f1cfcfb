"""SMPL-X motion: joint layout, rotations, features, skeleton and forward kinematics."""
