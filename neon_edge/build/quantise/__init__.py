"""Quantisation of a backbone's graphs: which products, how, and whether it may move a motor.

    float graph ─▶ walk (activations) ─▶ QuantisedLinear a Linear ─▶ place (Q/DQ) ─▶ lint
                                                                      └▶ build/cpu for ONNX Runtime

Only products with constant weights are ever touched; norms, residual sums, softmax, attention
products and rotary tables stay in float, and `lint` fails where they do not.
"""
