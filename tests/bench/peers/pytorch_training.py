# SPDX-License-Identifier: Apache-2.0
"""pytorch_training.py MODEL THREADS PRECISION STEPS BATCH [SEQUENCE]: times training steps of plain torch.nn models, of the shapes of
bert-base-uncased (masked language model), gpt2, resnet-18 and ds-cnn-s, on one batch of random data, and prints a line of JSON: the
median step, the fastest, the first loss, peak resident memory. AdamW for transformers, SGD with momentum for convolutions, whose
tensors are channels last. PRECISION: f32, or bf16 by autocast. Called by pytorch_training.sh, which clears the environment."""
import json
import resource
import statistics
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn


class Block(nn.Module):
    """A transformer's layer: post-norm and exact GELU as BERT, or pre-norm, causal and tanh GELU as GPT-2."""

    def __init__(self, width, heads, causal):
        super().__init__()
        self.heads, self.causal = heads, causal
        self.qkv = nn.Linear(width, 3 * width) if causal else nn.ModuleList(nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.up, self.down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)

    def attend(self, x, mask):
        b, t, w = x.shape
        parts = self.qkv(x).split(w, dim=2) if self.causal else [p(x) for p in self.qkv]
        q, k, v = (p.view(b, t, self.heads, w // self.heads).transpose(1, 2) for p in parts)
        scores = q @ k.transpose(-1, -2) / (w // self.heads) ** 0.5 + mask
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).reshape(b, t, w))

    def forward(self, x, mask):
        if self.causal:
            x = x + self.attend(self.norm1(x), mask)
            return x + self.down(F.gelu(self.up(self.norm2(x)), approximate="tanh"))
        x = self.norm1(x + self.attend(x, mask))
        return self.norm2(x + self.down(F.gelu(self.up(x))))


class Bert(nn.Module):
    def __init__(self, vocabulary=30522, width=768, layers=12):
        super().__init__()
        self.word, self.place, self.kind = nn.Embedding(vocabulary, width), nn.Embedding(512, width), nn.Embedding(2, width)
        self.norm = nn.LayerNorm(width)
        self.blocks = nn.ModuleList(Block(width, 12, False) for _ in range(layers))
        self.transform, self.transform_norm = nn.Linear(width, width), nn.LayerNorm(width)
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def forward(self, tokens, labels):
        mask = torch.zeros(tokens.shape[0], 1, 1, tokens.shape[1])
        x = self.norm(self.word(tokens) + self.place(torch.arange(tokens.shape[1])) + self.kind(torch.zeros_like(tokens)))
        for block in self.blocks:
            x = block(x, mask)
        # Autocast leaves layer_norm alone, which on CPUs takes no bf16 with weights of f32.
        x = F.linear(self.transform_norm(F.gelu(self.transform(x)).float()), self.word.weight, self.bias)
        return F.cross_entropy(x.view(-1, x.shape[-1]), labels.view(-1))


class Gpt2(nn.Module):
    def __init__(self, vocabulary=50257, width=768, layers=12):
        super().__init__()
        self.word, self.place = nn.Embedding(vocabulary, width), nn.Embedding(1024, width)
        self.blocks = nn.ModuleList(Block(width, 12, True) for _ in range(layers))
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens, labels):
        t = tokens.shape[1]
        mask = torch.full((t, t), float("-inf")).triu(1)
        x = self.word(tokens) + self.place(torch.arange(t))
        for block in self.blocks:
            x = block(x, mask)
        x = F.linear(self.norm(x), self.word.weight)[:, :-1]
        return F.cross_entropy(x.reshape(-1, x.shape[-1]), labels[:, 1:].reshape(-1))


def unit(n_in, n_out, kernel, stride=1, groups=1):
    padding = kernel // 2 if isinstance(kernel, int) else tuple(k // 2 for k in kernel)
    return nn.Sequential(nn.Conv2d(n_in, n_out, kernel, stride, padding, groups=groups, bias=False), nn.BatchNorm2d(n_out))


class Residual(nn.Module):
    def __init__(self, n_in, n_out, stride):
        super().__init__()
        self.first, self.second = unit(n_in, n_out, 3, stride), unit(n_out, n_out, 3)
        self.side = unit(n_in, n_out, 1, stride) if stride > 1 or n_in != n_out else nn.Identity()

    def forward(self, x):
        return F.relu(self.second(F.relu(self.first(x))) + self.side(x))


class ResNet18(nn.Module):
    def __init__(self):
        super().__init__()
        sizes = [(64, 64, 1), (64, 64, 1), (64, 128, 2), (128, 128, 1), (128, 256, 2), (256, 256, 1), (256, 512, 2), (512, 512, 1)]
        self.stem = nn.Sequential(unit(3, 64, 7, 2), nn.ReLU(), nn.MaxPool2d(3, 2, 1))
        self.body = nn.Sequential(*(Residual(*s) for s in sizes))
        self.head = nn.Linear(512, 1000)

    def forward(self, x, labels):
        return F.cross_entropy(self.head(self.body(self.stem(x)).mean((2, 3))), labels)


class DsCnn(nn.Module):
    def __init__(self, width=64):
        super().__init__()
        self.stem = nn.Sequential(unit(1, width, (10, 4), 2), nn.ReLU())
        self.body = nn.Sequential(*(nn.Sequential(unit(width, width, 3, 1, width), nn.ReLU(), unit(width, width, 1), nn.ReLU())
                                    for _ in range(4)))
        self.head = nn.Linear(width, 12)

    def forward(self, x, labels):
        return F.cross_entropy(self.head(self.body(self.stem(x)).mean((2, 3))), labels)


def main():
    name, threads, precision, steps, batch = sys.argv[1], int(sys.argv[2]), sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
    length = int(sys.argv[6]) if len(sys.argv) > 6 else 128
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    if name in ("bert-base-uncased", "gpt2"):
        model, vocabulary = (Bert(), 30522) if name != "gpt2" else (Gpt2(), 50257)
        data = torch.randint(0, vocabulary, (batch, length))
        labels = torch.randint(0, vocabulary, (batch, length))
        optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)
    else:
        model, shape, classes = (ResNet18(), (batch, 3, 224, 224), 1000) if name == "resnet-18" else (DsCnn(), (batch, 1, 49, 10), 12)
        model = model.to(memory_format=torch.channels_last)
        data = torch.randn(shape).to(memory_format=torch.channels_last)
        labels = torch.randint(0, classes, (batch,))
        optimizer = torch.optim.SGD(model.parameters(), lr=1e-5, momentum=0.9)
    times, cpu, losses = [], [], []
    for _ in range(steps):
        start, start_cpu = time.perf_counter(), time.process_time()
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=precision == "bf16"):
            loss = model(data, labels)
        loss.backward()
        optimizer.step()
        losses.append(float(loss))
        times.append(1e3 * (time.perf_counter() - start))
        cpu.append(1e3 * (time.process_time() - start_cpu))
    kept = times[2:] if steps > 2 else times[-1:]
    print(json.dumps({"step_ms": statistics.median(kept), "min_ms": min(kept), "cpu_ms": statistics.median(cpu[2:] or cpu), "loss": losses[0],
                      "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
                      "parameters": sum(p.numel() for p in model.parameters())}))


main()
