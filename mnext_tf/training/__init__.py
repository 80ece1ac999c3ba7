"""Recipes and the loop that trains by them."""
