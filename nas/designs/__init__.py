"""What may be searched: spaces, genotypes, and the verdict on a design before any training."""
