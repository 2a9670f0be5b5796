"""Vision transformers for small data: the tested code behind the book."""
