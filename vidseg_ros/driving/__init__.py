"""A small driver that sees nothing but label images."""
