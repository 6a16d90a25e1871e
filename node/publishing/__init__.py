"""Tasks that people publish, from their images to the bytes that the network serves."""
