"""The tutorial's script, which the project grew out of and is measured against.

    python benchmarks/tutorial.py

Trains on 55,000 images, as `fit` does by default, so that both do the same work.
"""

import time

import torch
from torch import nn
from torch.utils.data import DataLoader
from torchvision.datasets import MNIST
from torchvision.transforms import Compose, Normalize, ToTensor

torch.manual_seed(42)
transform = Compose([ToTensor(), Normalize((0.1307,), (0.3081,))])
training_set = MNIST("data", train=True, download=True, transform=transform)
training_set.data = training_set.data[:55_000]
test_set = MNIST("data", train=False, download=True, transform=transform)
training_loader = DataLoader(training_set, batch_size=64, shuffle=True)
test_loader = DataLoader(test_set, batch_size=64)

model = nn.Sequential(
    nn.Flatten(),
    nn.Linear(784, 128),
    nn.ReLU(),
    nn.Linear(128, 64),
    nn.ReLU(),
    nn.Linear(64, 10),
)
loss_function = nn.CrossEntropyLoss()
optimizer = torch.optim.SGD(model.parameters(), lr=0.01)

for epoch in range(5):
    start = time.perf_counter()
    for step, (images, labels) in enumerate(training_loader):
        optimizer.zero_grad()
        loss = loss_function(model(images), labels)
        loss.backward()
        optimizer.step()
        if step % 100 == 0:
            print(f"epoch {epoch}, step {step}: loss {loss.item():.4f}")
    print(f"epoch {epoch}: {time.perf_counter() - start:.4f} s")

correct = 0
with torch.no_grad():
    for images, labels in test_loader:
        correct += (model(images).argmax(dim=1) == labels).sum().item()
print(f"test accuracy: {correct / len(test_set):.4f}")
