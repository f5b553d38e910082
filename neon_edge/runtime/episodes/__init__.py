"""Episodes recorded on the robot itself, to calibrate on: a LeRobot dataset that grows by each.

limp robot ─▶ record ─▶ dataset (film · sound · rows · stats)
"""
