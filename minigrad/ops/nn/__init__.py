"""Operations of neural networks: activations, softmax, embedding, convolution, pooling."""
