#!/usr/bin/env python3
"""Writes tests/optim/golden.h: what PyTorch's optimizers make of three numbers in twelve steps, in double.

usage: tests/optim/make_golden.py > tests/optim/golden.h    (needs PyTorch)
"""
import math

import torch

START = [1.0, -2.0, 0.5]
STEPS = 12
CASES = [
    ("sgd", torch.optim.SGD, dict(lr=0.1)),
    ("sgd_weight_decay", torch.optim.SGD, dict(lr=0.1, weight_decay=0.05)),
    ("sgd_momentum", torch.optim.SGD, dict(lr=0.1, momentum=0.9)),
    ("sgd_dampening", torch.optim.SGD, dict(lr=0.1, momentum=0.9, dampening=0.3, weight_decay=0.05)),
    ("sgd_nesterov", torch.optim.SGD, dict(lr=0.1, momentum=0.9, nesterov=True, weight_decay=0.05)),
    ("adam", torch.optim.Adam, dict()),
    ("adam_options", torch.optim.Adam, dict(lr=0.1, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.2)),
    ("adam_amsgrad", torch.optim.Adam, dict(lr=0.1, betas=(0.5, 0.6), amsgrad=True)),
    ("adamw", torch.optim.AdamW, dict()),
    ("adamw_options", torch.optim.AdamW, dict(lr=0.1, betas=(0.8, 0.95), eps=1e-3, weight_decay=0.2)),
    ("adamw_amsgrad", torch.optim.AdamW, dict(lr=0.1, betas=(0.5, 0.6), weight_decay=0.2, amsgrad=True)),
]


def gradient(values, step):
    """The gradient in step 1, 2, ...: test_optim.cpp computes the same."""
    return [(k + 1) * x + 3 * math.cos(step * (k + 1)) for k, x in enumerate(values)]


def trajectory(optimizer, options):
    parameter = torch.nn.Parameter(torch.tensor(START, dtype=torch.float64))
    sgd = optimizer([parameter], **options)
    after = {}
    for step in range(1, STEPS + 1):
        parameter.grad = torch.tensor(gradient(parameter.tolist(), step), dtype=torch.float64)
        sgd.step()
        after[step] = parameter.tolist()
    return after


def main():
    print("#pragma once")
    print("// Written by tests/optim/make_golden.py with PyTorch " + torch.__version__.split("+")[0] + "; do not edit.")
    print()
    print("namespace golden {")
    for name, optimizer, options in CASES:
        after = trajectory(optimizer, options)
        rows = ",\n    ".join("{" + ", ".join(repr(x) for x in after[step]) + "}" for step in (1, 2, 3, STEPS))
        print(f"\n// {optimizer.__name__}({', '.join(f'{k}={v}' for k, v in options.items())}): after steps 1, 2, 3, 12")
        print(f"inline constexpr double {name}[4][3] = {{\n    {rows},\n}};")
    print()
    print("}  // namespace golden")


if __name__ == "__main__":
    main()
