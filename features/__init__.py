"""What a decision can see: a visitor's state, and the numbers made of it. One definition for training and serving."""
