"""Calibration: moments of the robot's own work, and how far activations reach on them.

limp robot ─▶ record ─▶ LeRobot dataset
clip · LeRobot dataset ─▶ draw (stratified, seeded) ─▶ CalibrationSet ─▶ build --calibration
                                                           └▶ ranges.json, to read and compare
"""
