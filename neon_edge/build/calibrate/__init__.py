"""Calibration: moments of the robot's own work, and how far activations reach on them.

limp robot ─▶ record ─▶ LeRobot dataset
clip · LeRobot dataset ─▶ split (by episode, or with a gap) ─▶ draw (stratified, seeded)
    ├─ most of it ─▶ CalibrationSet ─▶ build --calibration
    │                  └▶ ranges.json, to read and compare
    └─ set aside ─▶ CalibrationSet ─▶ what decides on layers in float · what plans are judged on
"""
