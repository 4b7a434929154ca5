"""Muon beside AdamW: the momentum of every inner matrix is made orthogonal before it is applied.

Source: Jordan et al., "Muon: An optimizer for hidden layers in neural networks" (2024); the size of the step follows
Liu et al., "Muon is Scalable for LLM Training" (2025), so that one rate serves both kinds of parameters.
"""

import torch


def orthogonal(g, steps=5):
    """Newton-Schulz iteration over a stack of matrices [N, rows, columns], in the small space of their Gram matrices."""
    a, b, c = 3.4445, -4.7750, 2.0315
    flip = g.shape[1] > g.shape[2]
    x = g.transpose(1, 2) if flip else g
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)
    gram, one = x @ x.transpose(1, 2), torch.eye(x.shape[1])
    whole = one.expand_as(gram)
    for _ in range(steps):
        p = a * one + b * gram + c * gram @ gram
        whole, gram = p @ whole, p @ gram @ p
    x = whole @ x
    return x.transpose(1, 2) if flip else x


class Muon(torch.optim.Optimizer):
    """`scale` multiplies the rate of the matrices. `matrices`: (parameter, groups): a parameter [rows, ...] is treated as `groups` matrices of rows / groups each."""

    def __init__(self, matrices, rest, rate, momentum=0.93, decay=0.01, scale=1.0, steps=5):
        self.groups_of = {p: n for p, n in matrices}
        super().__init__([{"params": [p for p, _ in matrices], "lr": rate}], {})
        self.adam = torch.optim.AdamW(rest, lr=rate, betas=(0.9, 0.98), weight_decay=decay)
        self.momentum, self.decay, self.scale, self.steps = momentum, decay, scale, steps

    def set_rate(self, rate):
        for group in self.param_groups + self.adam.param_groups:
            group["lr"] = rate

    @torch.no_grad()
    def step(self):
        for p in self.param_groups[0]["params"]:
            if p.grad is None:
                continue
            m = self.state[p].setdefault("momentum", torch.zeros_like(p))
            m.lerp_(p.grad, 1 - self.momentum)
            g = p.grad.lerp(m, self.momentum)
            n = self.groups_of[p]
            # Every n-th row belongs together: that is how folded channels are laid out.
            g = g.reshape(p.shape[0] // n, n, -1).transpose(0, 1)
            u = orthogonal(g, self.steps).transpose(0, 1).reshape(p.shape)
            rate = self.param_groups[0]["lr"] * self.scale
            p.mul_(1 - rate * self.decay)
            p.add_(u, alpha=-rate * 0.2 * max(g.shape[1], g.shape[2]) ** 0.5)
        self.adam.step()

    def zero_grad(self):
        super().zero_grad()
        self.adam.zero_grad()

    def state_dict(self):
        return {"muon": super().state_dict(), "adam": self.adam.state_dict()}

    def load_state_dict(self, state):
        super().load_state_dict(state["muon"])
        self.adam.load_state_dict(state["adam"])
