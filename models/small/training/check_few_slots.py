"""Shows that `few_slots` equals the whole 1,024 slots as long as the connector mixes nothing between slots."""

import torch

import data
from tokenizer import build
from train_transformer import models
from transformer import positions

torch.manual_seed(0)
tokenizer = build()
text, transformer = models(tokenizer.size)
torch.nn.init.normal_(transformer.proj_out.weight)
with torch.no_grad():
    prompts = [tokenizer(data.draw(i).caption) for i in range(3)] + [tokenizer("")]
    tokens, sigma = torch.randn(4, 48, 128), torch.full((4,), 0.9)
    outs = [transformer(tokens, sigma[:, None].expand(4, 48), sigma, *text(prompts, few=few), positions(3, 4, 4))
            for few in (True, False)]
    error = float((outs[0] - outs[1]).norm() / outs[1].norm())
print(f"relative L2 error {error:.1e}")
raise SystemExit(error > 1e-4)
