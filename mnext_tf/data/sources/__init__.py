"""Where images come from: one module for each layout on disk."""
