"""Child networks: a genotype as something that can be trained."""
