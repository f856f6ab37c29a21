"""Operations of neural networks, with the arguments of `torch.nn.functional`."""
