"""Define Muon, an optimizer whose updates of convolutions are orthogonal matrices.

For the weights of a convolution as a matrix W (out, in * k * k), their mean gradient G, learning
rate lr and momentum m:

    V' = m V - lr G
    W' = sqrt(out) W / |W| + ANGLE lr U(m V' - lr G)

|W| is the Frobenius norm. U(D) is about the orthogonal matrix nearest to D: its singular values are
between 0.7 and 1.2. It is the result of STEPS iterations X' = a X + (b A + c A^2) X with A = X X^T
and (a, b, c) = COEFFICIENTS, from X = D / |D|. Where G is 0, as in a path that the step drops, W
only gets the norm sqrt(out). Because of this norm, weight decay would have no effect; before batch
normalisation, the norm itself has none.

Other parameters are updated as by "nesterov" in engine.optimizer.

Jordan et al., "Muon: An optimizer for hidden layers in neural networks"; the norm is that of their
training script for CIFAR-10.
"""

ANGLE = 0.15  # so that one learning rate suits all parameters
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
STEPS = 5
SMALLEST_NORM = 1e-30  # smaller norms count as 0, and are not divided by
