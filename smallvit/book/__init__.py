"""What the chapters need: figures, tables and exercises."""
