"""Shapes of answers and errors as the clients of other vendors read them."""
