#!/usr/bin/env python3
"""Writes tests/autograd/loss_golden.h: what PyTorch's losses give, in double, and their gradients.

usage: tests/autograd/make_loss_golden.py > tests/autograd/loss_golden.h    (needs PyTorch)
"""
import math
import textwrap

import torch
import torch.nn.functional as F


# test_losses.cpp makes the same tensors.
def wave(rows, columns, phase):
    values = [2 * math.sin(1.7 * i + phase) for i in range(rows * columns)]
    return torch.tensor(values, dtype=torch.float64).reshape(rows, columns)


ROWS, CLASSES = 5, 4
X = wave(ROWS, CLASSES, 0.3)
Y = wave(ROWS, CLASSES, 1.1)
Z = wave(ROWS, CLASSES, 2.6)
P = torch.sigmoid(X)
Q = torch.sigmoid(Y)
HARD = (Y > 0).double()
SPARSE = Q * HARD
SIGNS = torch.tensor([1, -1, -1, 1, -1])
WEIGHT = torch.tensor([0.5, 1.25, 2.0, 0.75], dtype=torch.float64)
LABELS = torch.tensor([3, 0, 2, 2, 1])
IGNORED = torch.tensor([3, -100, 2, 0, -100])
FIRST_IGNORED = torch.tensor([3, 1, 2, 0, 1])
SOFT = F.softmax(Y, 1)

# Name, input that is differentiated, function of it and of the options, options.
CASES = [
    ("mse", X, lambda x, **o: F.mse_loss(x, Y, **o), {}),
    ("l1", X, lambda x, **o: F.l1_loss(x, Y, **o), {}),
    ("huber", X, lambda x, **o: F.huber_loss(x, Y, **o), {}),
    ("huber delta", X, lambda x, **o: F.huber_loss(x, Y, **o), dict(delta=0.7)),
    ("smooth_l1", X, lambda x, **o: F.smooth_l1_loss(x, Y, **o), {}),
    ("smooth_l1 beta", X, lambda x, **o: F.smooth_l1_loss(x, Y, **o), dict(beta=0.7)),
    ("smooth_l1 beta 0", X, lambda x, **o: F.smooth_l1_loss(x, Y, **o), dict(beta=0.0)),
    ("bce", P, lambda x, **o: F.binary_cross_entropy(x, Q, **o), {}),
    ("bce weight", P, lambda x, **o: F.binary_cross_entropy(x, Q, **o), dict(weight=WEIGHT)),
    ("bce_logits", X, lambda x, **o: F.binary_cross_entropy_with_logits(x, Q, **o), {}),
    ("bce_logits hard", X, lambda x, **o: F.binary_cross_entropy_with_logits(x, HARD, **o), {}),
    ("bce_logits weights", X, lambda x, **o: F.binary_cross_entropy_with_logits(x, Q, **o),
     dict(weight=Q + 0.5, pos_weight=WEIGHT)),
    ("kl_div", X, lambda x, **o: F.kl_div(F.log_softmax(x, 1), SOFT, **o), {}),
    ("kl_div zeros", X, lambda x, **o: F.kl_div(x, SPARSE, **o), {}),
    ("kl_div log_target", X, lambda x, **o: F.kl_div(F.log_softmax(x, 1), F.log_softmax(Y, 1), **o),
     dict(log_target=True)),
    ("cosine_embedding", X, lambda x, **o: F.cosine_embedding_loss(x, Y, SIGNS, **o), {}),
    ("cosine_embedding margin", X, lambda x, **o: F.cosine_embedding_loss(x, Y, SIGNS, **o), dict(margin=-0.6)),
    ("triplet", X, lambda x, **o: F.triplet_margin_loss(x, Y, Z, **o), {}),
    ("triplet swap", X, lambda x, **o: F.triplet_margin_loss(x, Y, Z, **o), dict(margin=2.0, swap=True)),
    ("triplet p 1", X, lambda x, **o: F.triplet_margin_loss(x, Y, Z, **o), dict(p=1.0)),
    ("triplet p 3", X, lambda x, **o: F.triplet_margin_loss(x, Y, Z, **o), dict(p=3.0)),
    ("nll", X, lambda x, **o: F.nll_loss(x, LABELS, **o), {}),
    ("nll weight ignore", X, lambda x, **o: F.nll_loss(x, IGNORED, **o), dict(weight=WEIGHT)),
    ("cross_entropy", X, lambda x, **o: F.cross_entropy(x, LABELS, **o), {}),
    ("cross_entropy ignore", X, lambda x, **o: F.cross_entropy(x, IGNORED, **o), {}),
    ("cross_entropy ignore_index", X, lambda x, **o: F.cross_entropy(x, FIRST_IGNORED, **o), dict(ignore_index=1)),
    ("cross_entropy weight", X, lambda x, **o: F.cross_entropy(x, LABELS, **o), dict(weight=WEIGHT)),
    ("cross_entropy weight ignore", X, lambda x, **o: F.cross_entropy(x, IGNORED, **o), dict(weight=WEIGHT)),
    ("cross_entropy smoothing", X, lambda x, **o: F.cross_entropy(x, LABELS, **o), dict(label_smoothing=0.2)),
    ("cross_entropy smoothing 1", X, lambda x, **o: F.cross_entropy(x, LABELS, **o), dict(label_smoothing=1.0)),
    ("cross_entropy all", X, lambda x, **o: F.cross_entropy(x, IGNORED, **o),
     dict(weight=WEIGHT, label_smoothing=0.2)),
    ("cross_entropy soft", X, lambda x, **o: F.cross_entropy(x, SOFT, **o), {}),
    ("cross_entropy soft weight", X, lambda x, **o: F.cross_entropy(x, SOFT, **o), dict(weight=WEIGHT)),
    ("cross_entropy soft all", X, lambda x, **o: F.cross_entropy(x, SOFT, **o),
     dict(weight=WEIGHT, label_smoothing=0.2)),
]


def numbers(tensor):
    return [float(x) for x in tensor.detach().flatten()]


def golden(name, start, function, options, reduction):
    """The loss, then the gradient of its sum, weighted by 1, 1.5, 2, ... if it is not reduced."""
    x = start.detach().clone().requires_grad_(True)
    loss = function(x, reduction=reduction, **options)
    seed = 1 + torch.arange(loss.numel(), dtype=torch.float64).reshape(loss.shape) / 2
    loss.backward(seed)
    rows = ["{" + ", ".join(repr(v) for v in numbers(t)) + "}" for t in (loss, x.grad)]
    return f'    {{"{name}, {reduction}",\n' + ",\n".join(
        textwrap.fill(row, 116, initial_indent=" " * 5, subsequent_indent=" " * 6) for row in rows) + "},"


def main():
    print("#pragma once")
    print("// Written by tests/autograd/make_loss_golden.py with PyTorch " + torch.__version__.split("+")[0]
          + "; do not edit.")
    print("#include <vector>")
    print("\nnamespace golden {\n")
    print("struct Loss {\n  const char* name;\n  std::vector<double> value;\n  std::vector<double> gradient;\n};\n")
    print("// clang-format off")
    print("inline const Loss losses[] = {")
    for case in CASES:
        for reduction in ("mean", "sum", "none"):
            print(golden(*case, reduction))
    print("};")
    print("// clang-format on")
    print("\n}  // namespace golden")


if __name__ == "__main__":
    main()
